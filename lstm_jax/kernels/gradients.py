"""The equations of the backward pass that both loops of `lstm_jax.kernels.xla` share."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import LSTMGates, LSTMParams, LSTMState
from lstm_jax.recurrence import where_valid

# The parameters, the inputs [T, B, D] and the initial state of one direction.
Arrays = tuple[LSTMParams, Array, LSTMState]


def factor(rounded: bool, array: Array) -> Array:
    """An array as a product reads it: in bfloat16, if it is to be rounded."""
    return array.astype(jnp.bfloat16) if rounded else array


def product(rounded: bool, left: Array, right: Array) -> Array:
    """A matrix product; the sums stay in float32 where the factors are rounded."""
    if not rounded:
        return left @ right
    factors = factor(rounded, left), factor(rounded, right)
    return jnp.matmul(*factors, preferred_element_type=jnp.float32)


def through_step(
    gates: LSTMGates,
    cell_before: Array,
    tanh_cell: Array,
    valid: Array,
    d_state: LSTMState,
    d_output: Array,
    times_kernel: Callable[[Array], Array],
) -> tuple[LSTMState, Array]:
    """The gradients of a step at the state before it, and [B, 4H] at the preactivations.

    Args:
        gates: of the step [B, H] each.
        cell_before: the cell state that it began with.
        tanh_cell: of the one that it ended with.
        valid: which sequences have the step [B]; in others the state stays, and its gradient.
        d_state: the gradients at the state that it ended with.
        d_output: and at its output.
        times_kernel: the product of [B, 4H] with Uᵀ.
    """
    i, f, g, o = gates
    d_hidden = d_state.hidden + where_step(valid, d_output)
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
    before = LSTMState(hidden=times_kernel(dz), cell=d_cell * f)
    before = jax.tree.map(partial(where_valid, valid), before, d_state)
    return before, where_step(valid, dz)


def where_step(valid: Array, array: Array) -> Array:
    """Zero in the sequences that have no such step."""
    return where_valid(valid, array, jnp.zeros_like(array))


def of_products(
    rounded: bool, params: LSTMParams, x: Array, hidden_before: Array, dz: Array
) -> tuple[LSTMParams, Array]:
    """The gradients of the parameters, and of the inputs [..., D], of a step or of many.

    Args:
        rounded: to bfloat16, what enters a product.
        params: of the direction.
        x: inputs [..., D].
        hidden_before: hidden states [..., H] that the steps began with.
        dz: gradients [..., 4H] at the preactivations of the gates.
    """

    def rows(array: Array) -> Array:
        return array.reshape(-1, array.shape[-1])

    d_params = LSTMParams(
        input_kernel=product(rounded, rows(x).T, rows(dz)),
        recurrent_kernel=product(rounded, rows(hidden_before).T, rows(dz)),
        bias=rows(dz).sum(0),
    )
    return d_params, product(rounded, dz, params.input_kernel.T)
