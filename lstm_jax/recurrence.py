"""Any cell over time, with `jax.lax.scan`.

Padding is handled one way: a step at or past a sequence's length leaves the state as it was and
gives a zero output. Backward reading needs no flipping then: a scan from the last step to the first
passes the padding before it meets the sequence's last valid step.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool

from lstm_jax.shapes import Inputs, Lengths, Outputs, StepInputs

State = TypeVar("State")
Cell = Callable[[Any, State, StepInputs], tuple[State, Array]]


def scan_cell(
    cell: Cell[State],
    params: Any,
    inputs: Inputs,
    initial_state: State,
    *,
    lengths: Lengths | None = None,
    reverse: bool = False,
) -> tuple[Outputs, State]:
    """Runs a cell over every step of a batch of sequences.

    Args:
        cell: `(params, state, inputs [B, D]) -> (state, output [B, H])`, such as `lstm_cell`.
        params: what the cell takes as its parameters; any pytree.
        inputs: [B, T, D].
        initial_state: a pytree of arrays whose first axis is B.
        lengths: valid steps per sequence [B], 0 <= lengths <= T; None if all T are valid.
        reverse: read the valid steps last to first; outputs stay at their own positions.

    Returns:
        Outputs [B, T, H], zero past a sequence's length, and the state after its last step read
        (the initial state where the length is 0).
    """

    if lengths is not None:
        inputs = zero_padding(inputs, lengths)

    def step(state: State, step_inputs: tuple[Array, Array]) -> tuple[State, Array]:
        time, inputs_at_time = step_inputs
        new_state, output = cell(params, state, inputs_at_time)
        if lengths is None:
            return new_state, output
        valid = time < lengths
        return (
            jax.tree.map(lambda new, old: where_valid(valid, new, old), new_state, state),
            where_valid(valid, output, jnp.zeros_like(output)),
        )

    times = jnp.arange(inputs.shape[1])
    final_state, outputs = jax.lax.scan(
        step, initial_state, (times, jnp.swapaxes(inputs, 0, 1)), reverse=reverse
    )
    return jnp.swapaxes(outputs, 0, 1), final_state


def valid_steps(lengths: Lengths, time: int) -> Bool[Array, "B T"]:
    """Which steps of each sequence are its own and not padding."""
    return jnp.arange(time) < lengths[:, None]


def zero_padding(sequences: Array, lengths: Lengths) -> Array:
    """[B, T, ...] with zeros past each sequence's length.

    What stood there, NaN included, then reaches neither a result nor a gradient: a mask behind the
    computation alone would let 0 × NaN through in the backward pass.
    """
    valid = valid_steps(lengths, sequences.shape[1])
    return where_valid(valid, sequences, jnp.zeros_like(sequences))


def where_valid(valid: Array, new: Array, old: Array) -> Array:
    """`new` where `valid`, a mask over the leading axes, is true; `old` elsewhere."""
    return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - valid.ndim)), new, old)
