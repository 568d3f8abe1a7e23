"""The recurrence with a hand-written backward pass, in plain XLA.

What differentiating `lax.scan` would do inside its loop is done here as one large product behind
it, unless a CPU is faster the other way: the loop backward in time finds ∂L/∂z, the gradient at the
gates' preactivations z [B, 4H],

    ∂L/∂h_t = ∂L/∂(output of t) + ∂L/∂z_{t+1} Uᵀ
    ∂L/∂c_t = ∂L/∂c_{t+1} ∘ f_{t+1} + ∂L/∂h_t ∘ o ∘ (1 - tanh² c_t)
    ∂L/∂z_t = [∂c ∘ g ∘ i(1-i),  ∂c ∘ c_{t-1} ∘ f(1-f),  ∂c ∘ i ∘ (1-g²),  ∂h ∘ tanh c_t ∘ o(1-o)]

and then, over all steps and sequences at once,

    ∂L/∂W = Σ x_tᵀ ∂z_t,   ∂L/∂U = Σ h_{t-1}ᵀ ∂z_t,   ∂L/∂b = Σ ∂z_t,   ∂L/∂x_t = ∂z_t Wᵀ.

Source: derived in docs/reference/equations.md; the form is Graves & Schmidhuber (2005), appendix A.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from operator import itemgetter
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
from lstm_jax.kernels.derivatives import with_backward_pass
from lstm_jax.recurrence import valid_steps, where_valid, zero_padding
from lstm_jax.shapes import Inputs, Lengths, Outputs

Results = tuple[tuple[Outputs, LSTMState], ...]


class _Saved(NamedTuple):
    """What the backward pass needs of the forward pass; time first."""

    gates: LSTMGates  # [T, B, H] each: as one array, a copy would be made of it at every step
    cells_before: Array  # [T, B, H] the cell state each step started from
    hiddens: Array  # [T, B, H] the hidden state each step ended with


class _Way(NamedTuple):
    """How it is computed."""

    on_cpu: bool
    rounded: bool  # to bfloat16, what enters a product


def run(
    params: tuple[LSTMParams, ...],
    inputs: Inputs,
    lengths: Lengths,
    initial_states: tuple[LSTMState, ...],
    *,
    reverse: tuple[bool, ...],
    precision: str | None = None,
) -> Results:
    """The contract of `lstm_jax.kernels` for each direction."""
    how: Any = {"reverse": reverse, "precision": precision}
    return jax.lax.platform_dependent(
        params,
        zero_padding(inputs, lengths),  # a NaN would reach the gradients from a masked step
        lengths,
        initial_states,
        cpu=partial(one_by_one, **how),
        default=partial(at_once, **how),
    )


def one_by_one(
    params: tuple[LSTMParams, ...],
    inputs: Inputs,
    lengths: Lengths,
    initial_states: tuple[LSTMState, ...],
    *,
    reverse: tuple[bool, ...],
    precision: str | None = None,
) -> Results:
    """Each direction in a loop of its own, as suits a CPU."""
    steps, run = _steps(inputs, lengths), _differentiable(_Way(True, precision == "bfloat16"))

    def one(params: LSTMParams, initial_state: LSTMState, turned: bool) -> Any:
        inputs, valid = _turn(steps, turned)
        outputs, final_state = run((params, inputs, initial_state), valid)
        return jnp.swapaxes(_turn(outputs, turned), 0, 1), final_state

    return tuple(map(one, params, initial_states, reverse))


def at_once(
    params: tuple[LSTMParams, ...],
    inputs: Inputs,
    lengths: Lengths,
    initial_states: tuple[LSTMState, ...],
    *,
    reverse: tuple[bool, ...],
    precision: str | None = None,
) -> Results:
    """All directions in one loop: an accelerator waits for each step, not for what is in it."""
    steps, run = _steps(inputs, lengths), _differentiable(_Way(False, precision == "bfloat16"))
    turned_inputs, valid = _stack([_turn(steps, turned) for turned in reverse])
    arrays = _stack(params), turned_inputs, _stack(initial_states)
    outputs, final_states = jax.vmap(run)(arrays, valid)
    return tuple(
        (jnp.swapaxes(_turn(outputs[n], turned), 0, 1), jax.tree.map(itemgetter(n), final_states))
        for n, turned in enumerate(reverse)
    )


def _steps(inputs: Inputs, lengths: Lengths) -> tuple[Array, Array]:
    """The inputs of each step [T, B, D], and which sequences have that step [T, B]."""
    return jnp.swapaxes(inputs, 0, 1), valid_steps(lengths, inputs.shape[1]).T


def _turn(steps: Any, turned: bool) -> Any:
    """Arrays with time as their first axis; last step first if `turned`."""
    return jax.tree.map(lambda array: array[::-1], steps) if turned else steps


def _stack(of_each: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *of_each)


# The parameters, the inputs [T, B, D] and the initial state of one direction.
_Arrays = tuple[LSTMParams, Array, LSTMState]


@cache
def _differentiable(way: _Way) -> Callable[[_Arrays, Array], tuple[Array, LSTMState]]:
    """Outputs [T, B, H] and the final state, of arrays and of where steps are valid [T, B]."""

    def reference(arrays: _Arrays, valid: Array) -> tuple[Array, LSTMState]:
        return _forward(way, arrays, valid)[0]

    return with_backward_pass(reference, partial(_forward, way), partial(_backward, way), reference)


def _forward(way: _Way, arrays: _Arrays, valid: Array) -> tuple[tuple[Array, LSTMState], _Saved]:
    """The loop forward in time.

    On an accelerator the inputs of all steps are projected by one product ahead of the loop. On a
    CPU, XLA fuses the addition of that projection into the activations and then does not vectorise
    them: at B = 32, T = 500, D = 32, H = 100 the loop takes 34 ms so and 11 ms with the one product
    [x, h] [W; U] (2 cores of an AMD EPYC of family 26, JAX 0.10.2, float32; PyTorch 2.13 takes 7).
    """
    params, inputs, initial_state = arrays
    kernel = jnp.concatenate([params.input_kernel, params.recurrent_kernel])
    given, recurrent_kernel = inputs, params.recurrent_kernel
    if not way.on_cpu:
        given = _product(way, inputs, params.input_kernel)
        given += per_feature(params.bias, given)
        recurrent_kernel = _rounded(way, recurrent_kernel)  # once, not in every step

    def step(state: LSTMState, of_step: tuple[Array, Array]) -> tuple[LSTMState, _Saved]:
        x, valid = of_step
        if way.on_cpu:
            z = _product(way, jnp.concatenate([x, state.hidden], axis=-1), kernel)
            z += per_feature(params.bias, z)
        else:
            z = x + _product(way, state.hidden, recurrent_kernel)
        gates = activate_gates(z)
        i, f, g, o = gates
        cell = update_cell(state.cell, input=i, forget=f, candidate=g)
        new_state = LSTMState(hidden=show_cell(cell, o), cell=cell)
        new_state = jax.tree.map(partial(where_valid, valid), new_state, state)
        return new_state, _Saved(gates, cells_before=state.cell, hiddens=new_state.hidden)

    final_state, saved = jax.lax.scan(step, initial_state, (given, valid))
    outputs = where_valid(valid, saved.hiddens, jnp.zeros_like(saved.hiddens))
    return (outputs, final_state), saved


def _backward(
    way: _Way, arrays: _Arrays, valid: Array, saved: _Saved, cotangents: tuple[Array, LSTMState]
) -> _Arrays:
    """The loop backward in time, and the gradients of parameters and inputs.

    Where a step is a large product and the kernels are small, XLA on a CPU is faster if each step
    adds its part of their gradients and no ∂z is kept: docs/explanation/speed.md has the times.
    """
    params, inputs, initial_state = arrays
    d_outputs, d_final_state = cotangents
    hiddens_before = jnp.concatenate([initial_state.hidden[None], saved.hiddens])[:-1]
    recurrent_kernel_transposed = _rounded(way, params.recurrent_kernel.T)

    def gradients(x: Array, hidden_before: Array, dz: Array) -> tuple[LSTMParams, Array]:
        def rows(array: Array) -> Array:
            return array.reshape(-1, array.shape[-1])

        d_params = LSTMParams(
            input_kernel=_product(way, rows(x).T, rows(dz)),
            recurrent_kernel=_product(way, rows(hidden_before).T, rows(dz)),
            bias=rows(dz).sum(0),
        )
        return d_params, _product(way, dz, params.input_kernel.T)

    def step(carry: tuple[LSTMState, LSTMParams | None], of_step: tuple) -> tuple[Any, Any]:
        d_state, sums = carry
        x, valid, hidden_before, d_output, (gates, cell_before, _) = of_step
        i, f, g, o = gates
        tanh_cell = jnp.tanh(update_cell(cell_before, input=i, forget=f, candidate=g))
        d_hidden = d_state.hidden + where_valid(valid, d_output, jnp.zeros_like(d_output))
        d_cell = d_state.cell + d_hidden * o * (1 - tanh_cell**2)
        dz = jnp.concatenate(
            [
                d_cell * g * i * (1 - i),
                d_cell * cell_before * f * (1 - f),
                d_cell * i * (1 - g**2),
                d_hidden * tanh_cell * o * (1 - o),
            ],
            axis=-1,
        )
        before = LSTMState(hidden=_product(way, dz, recurrent_kernel_transposed), cell=d_cell * f)
        before = jax.tree.map(partial(where_valid, valid), before, d_state)
        dz = where_valid(valid, dz, jnp.zeros_like(dz))
        if sums is None:
            return (before, None), dz
        of_params, d_input = gradients(x, hidden_before, dz)
        return (before, jax.tree.map(jnp.add, sums, of_params)), d_input

    sum_in_loop = way.on_cpu and _small(params) and inputs.shape[1] >= 64
    sums = jax.tree.map(jnp.zeros_like, params) if sum_in_loop else None
    steps = (inputs, valid, hiddens_before, d_outputs, saved)
    (d_initial_state, sums), found = jax.lax.scan(step, (d_final_state, sums), steps, reverse=True)
    if sums is not None:
        return sums, found, d_initial_state
    d_params, d_inputs = gradients(inputs, hiddens_before, found)
    return d_params, d_inputs, d_initial_state


def _product(way: _Way, left: Array, right: Array) -> Array:
    """A matrix product; the sums stay in float32 where the factors are rounded."""
    if not way.rounded:
        return left @ right
    factors = _rounded(way, left), _rounded(way, right)
    return jnp.matmul(*factors, preferred_element_type=jnp.float32)


def _rounded(way: _Way, array: Array) -> Array:
    return array.astype(jnp.bfloat16) if way.rounded else array


def _small(params: LSTMParams) -> bool:
    """Whether the kernels' gradients stay in a processor's cache."""
    return sum(array.size * array.dtype.itemsize for array in params) <= 2**21
