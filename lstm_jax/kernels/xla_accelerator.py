"""The loops of `lstm_jax.kernels.xla` for accelerators, where each kernel launch costs a wait.

What a step keeps for the backward pass is one array, so that one kernel writes it; the gates are
computed again from it. `UNROLL` steps stand in the body of each loop, which shares what they have
in common. For an H100 (B = 64, T = 500, D = 32, H = 100, float32) XLA makes of a step, forward +
backward, 15 kernels if the gates are kept and one step stands in a body; 10 with the one array,
and with 2, 4 and 8 steps 7, 6 and 5.6, in 1, 2 and 8 s of compilation (benchmarks/gpu_kernels.py).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import (
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

UNROLL = 4


def forward(
    rounded: bool, arrays: Arrays, valid: Array, *, keep: bool = True
) -> tuple[tuple[Array, LSTMState], Array]:
    """The loop forward in time; the inputs of all steps are projected by one product ahead of it.

    Args:
        rounded: to bfloat16, what enters a product.
        arrays: of the direction.
        valid: [T, B].
        keep: what `backward` needs; else outputs alone.

    Returns:
        Outputs [T, B, H] and the final state; and for each step the preactivations of the gates,
        the cell state after it and the output [T, B, 6H], or the output alone.
    """
    params, inputs, initial_state = arrays
    projected = product(rounded, inputs, params.input_kernel)
    projected += per_feature(params.bias, projected)
    recurrent_kernel = factor(rounded, params.recurrent_kernel)  # once, not in every step

    def step(state: LSTMState, of_step: tuple[Array, Array]) -> tuple[LSTMState, Array]:
        x, valid = of_step
        z = x + product(rounded, state.hidden, recurrent_kernel)
        i, f, g, o = activate_gates(z)
        cell = update_cell(state.cell, input=i, forget=f, candidate=g)
        hidden = show_cell(cell, o)
        output = where_step(valid, hidden)
        new_state = LSTMState(hidden=hidden, cell=cell)
        new_state = jax.tree.map(partial(where_valid, valid), new_state, state)
        return new_state, jnp.concatenate([z, cell, output], axis=-1) if keep else output

    final_state, kept = jax.lax.scan(
        step, initial_state, (projected, valid), unroll=_unroll(inputs)
    )
    hidden_size = params.recurrent_kernel.shape[0]
    return (kept[..., -hidden_size:] if keep else kept, final_state), kept


def backward(
    rounded: bool, arrays: Arrays, valid: Array, kept: Array, cotangents: tuple[Array, LSTMState]
) -> Arrays:
    """The loop backward in time, and the gradients of parameters and inputs behind it.

    Args:
        rounded, arrays, valid: as for `forward`.
        kept: what it returned.
        cotangents: of the outputs and of the final state.

    Returns:
        The gradients of `arrays`.
    """
    params, inputs, initial_state = arrays
    d_outputs, d_final_state = cotangents
    hidden_size = params.recurrent_kernel.shape[0]
    z, cells, outputs = jnp.split(kept, [4 * hidden_size, 5 * hidden_size], axis=-1)

    def before(states: Array, initial: Array) -> Array:
        # Valid steps follow each other: the first of them begins with the initial state.
        there = where_valid(valid, states, jnp.broadcast_to(initial, states.shape))
        return jnp.concatenate([initial[None], there])[:-1]

    transposed = factor(rounded, params.recurrent_kernel.T)

    def times_kernel(dz: Array) -> Array:
        return product(rounded, dz, transposed)

    cells_before = before(cells, initial_state.cell)

    def step(d_state: LSTMState, of_step: tuple) -> tuple[LSTMState, Array]:
        valid, z, cell, cell_before, d_output = of_step
        gates, tanh_cell = activate_gates(z), jnp.tanh(cell)
        return through_step(gates, cell_before, tanh_cell, valid, d_state, d_output, times_kernel)

    steps: Any = (valid, z, cells, cells_before, d_outputs)
    d_initial_state, dz = jax.lax.scan(
        step, d_final_state, steps, reverse=True, unroll=_unroll(inputs)
    )
    hiddens_before = before(outputs, initial_state.hidden)
    d_params, d_inputs = of_products(rounded, params, inputs, hiddens_before, dz)
    return d_params, d_inputs, d_initial_state


def _unroll(inputs: Array) -> int:
    """Steps in the body; 1 where their number is a symbol, in a program that is exported."""
    return UNROLL if isinstance(inputs.shape[0], int) else 1
