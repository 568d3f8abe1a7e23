"""The loops of `lstm_jax.kernels.xla` as XLA runs them fastest on a CPU."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import (
    LSTMGates,
    LSTMParams,
    LSTMState,
    activate_gates,
    per_feature,
    show_cell,
    update_cell,
)
from lstm_jax.kernels.gradients import (
    Arrays,
    factor,
    of_products,
    product,
    through_step,
    where_step,
)
from lstm_jax.recurrence import where_valid


class Saved(NamedTuple):
    """What the backward pass needs of the forward pass; time first."""

    gates: LSTMGates  # [T, B, H] each: as one array, a copy would be made of it at every step
    cells_before: Array  # [T, B, H] the cell state each step started from
    hiddens: Array  # [T, B, H] the hidden state each step ended with


def forward(rounded: bool, arrays: Arrays, valid: Array) -> tuple[tuple[Array, LSTMState], Saved]:
    """The loop forward in time.

    XLA fuses the addition of inputs that were projected ahead of the loop into the activations and
    then does not vectorise them: at B = 32, T = 500, D = 32, H = 100 the loop takes 34 ms so and
    11 ms with the one product [x, h] [W; U] (2 cores of an AMD EPYC of family 26, JAX 0.10.2,
    float32; PyTorch 2.13 takes 7).

    Args:
        rounded: to bfloat16, what enters a product.
        arrays: of the direction.
        valid: [T, B].

    Returns:
        Outputs [T, B, H] and the final state; and what `backward` needs.
    """
    params, inputs, initial_state = arrays
    kernel = jnp.concatenate([params.input_kernel, params.recurrent_kernel])

    def step(state: LSTMState, of_step: tuple[Array, Array]) -> tuple[LSTMState, Saved]:
        x, valid = of_step
        z = product(rounded, jnp.concatenate([x, state.hidden], axis=-1), kernel)
        z += per_feature(params.bias, z)
        gates = activate_gates(z)
        i, f, g, o = gates
        cell = update_cell(state.cell, input=i, forget=f, candidate=g)
        new_state = LSTMState(hidden=show_cell(cell, o), cell=cell)
        new_state = jax.tree.map(partial(where_valid, valid), new_state, state)
        return new_state, Saved(gates, cells_before=state.cell, hiddens=new_state.hidden)

    final_state, saved = jax.lax.scan(step, initial_state, (inputs, valid))
    return (where_step(valid, saved.hiddens), final_state), saved


def backward(
    rounded: bool, arrays: Arrays, valid: Array, saved: Saved, cotangents: tuple[Array, LSTMState]
) -> Arrays:
    """The loop backward in time, and the gradients of parameters and inputs.

    Where a step is a large product and the kernels are small, XLA is faster if each step adds its
    part of their gradients and no ∂z is kept: docs/explanation/speed.md has the times.
    """
    params, inputs, initial_state = arrays
    d_outputs, d_final_state = cotangents
    hiddens_before = jnp.concatenate([initial_state.hidden[None], saved.hiddens])[:-1]
    transposed = factor(rounded, params.recurrent_kernel.T)

    def times_kernel(dz: Array) -> Array:
        return product(rounded, dz, transposed)

    def step(carry: tuple[LSTMState, LSTMParams | None], of_step: tuple) -> tuple[Any, Any]:
        d_state, sums = carry
        x, valid, hidden_before, d_output, (gates, cell_before, _) = of_step
        i, f, g, _ = gates
        tanh_cell = jnp.tanh(update_cell(cell_before, input=i, forget=f, candidate=g))
        before, dz = through_step(
            gates, cell_before, tanh_cell, valid, d_state, d_output, times_kernel
        )
        if sums is None:
            return (before, None), dz
        of_params, d_input = of_products(rounded, params, x, hidden_before, dz)
        return (before, jax.tree.map(jnp.add, sums, of_params)), d_input

    sum_in_loop = _small(params) and inputs.shape[1] >= 64
    sums = jax.tree.map(jnp.zeros_like, params) if sum_in_loop else None
    steps = (inputs, valid, hiddens_before, d_outputs, saved)
    (d_initial_state, sums), found = jax.lax.scan(step, (d_final_state, sums), steps, reverse=True)
    if sums is not None:
        return sums, found, d_initial_state
    d_params, d_inputs = of_products(rounded, params, inputs, hiddens_before, found)
    return d_params, d_inputs, d_initial_state


def _small(params: LSTMParams) -> bool:
    """Whether the kernels' gradients stay in a processor's cache."""
    return sum(array.size * array.dtype.itemsize for array in params) <= 2**21
