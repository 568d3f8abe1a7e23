"""Any cell over time, with `jax.lax.scan`.

Padding is handled one way: a step at or past a sequence's length leaves the state as it was and
gives a zero output. Backward reading needs no flipping then: a scan from the last step to the first
passes the padding before it meets the sequence's last valid step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool

from lstm_jax.shapes import Inputs, Lengths, Outputs, StepInputs
from lstm_jax.sharding import run_by_sequence, varying_alike

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
    chunk_size: int | None = None,
) -> tuple[Outputs, State]:
    """Runs a cell over every step of a batch of sequences.

    Args:
        cell: `(params, state, inputs [B, D]) -> (state, output [B, H])`, such as `lstm_cell`.
        params: what the cell takes as its parameters; any pytree.
        inputs: [B, T, D].
        initial_state: a pytree of arrays whose first axis is B.
        lengths: valid steps per sequence [B], integers of any type with 0 <= lengths <= T; None if
            all T are valid.
        reverse: read the valid steps last to first; outputs stay at their own positions.
        chunk_size: as for `lstm_jax.lstm`.

    Returns:
        Outputs [B, T, H], zero past a sequence's length, and the state after its last step read
        (the initial state where the length is 0).

    Raises:
        ValueError: if `chunk_size` is below 1.
    """
    if lengths is not None:
        lengths = as_lengths(lengths)

    def whole(inputs: Inputs, *others: Any) -> tuple[Outputs, State]:
        inputs, params, state, lengths = varying_alike((inputs, *others))
        run = partial(_scan_whole, cell, params, reverse=reverse)
        if chunk_size is None:
            return run(inputs, state, lengths)
        return in_chunks(run, inputs, state, lengths, reverse=reverse, size=chunk_size)

    return run_by_sequence(whole, inputs, params, initial_state, lengths)


def _scan_whole(
    cell: Cell[State],
    params: Any,
    inputs: Inputs,
    initial_state: State,
    lengths: Lengths | None,
    *,
    reverse: bool,
) -> tuple[Outputs, State]:
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


def in_chunks(
    run: Callable[[Inputs, State, Lengths], tuple[Outputs, State]],
    inputs: Inputs,
    initial_state: State,
    lengths: Lengths | None,
    *,
    reverse: bool,
    size: int,
) -> tuple[Outputs, State]:
    """Runs a recurrence chunk after chunk, each from the state that the one before ended with.

    For the backward pass only those states are kept; what it needs of the steps between them is
    computed once more, a chunk at a time.

    Args:
        run: `(inputs [B, size, D], state, lengths [B]) -> (outputs [B, size, H], state)`, reading
            in the direction that `reverse` says.
        inputs, initial_state, lengths, reverse: of the whole, as for `scan_cell`; lengths in int32.
        size: the steps of a chunk, at least 1; T need not be a multiple of it.

    Returns:
        What `run` on the whole would.

    Raises:
        ValueError: if `size` is below 1.

    Source: Chen et al. (2016), "Training Deep Nets with Sublinear Memory Cost", section 4.
    """
    if size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {size}")
    batch_size, time, features = inputs.shape
    size = max(1, min(size, time))
    count = -(-time // size)
    if lengths is None:
        lengths = jnp.full(batch_size, time, jnp.int32)
    padded = jnp.pad(inputs, ((0, 0), (0, count * size - time), (0, 0)))
    chunks = jnp.swapaxes(padded.reshape(batch_size, count, size, features), 0, 1)

    def step(state: State, chunk: tuple[Array, Array]) -> tuple[State, Array]:
        start, inputs_of_chunk = chunk
        lengths_in_chunk = jnp.clip(lengths - start, 0, size)
        outputs, state = jax.checkpoint(run, prevent_cse=False)(
            inputs_of_chunk, state, lengths_in_chunk
        )
        return state, outputs

    starts = size * jnp.arange(count, dtype=jnp.int32)
    final_state, outputs = jax.lax.scan(step, initial_state, (starts, chunks), reverse=reverse)
    outputs = jnp.swapaxes(outputs, 0, 1)
    whole = outputs.reshape(batch_size, count * size, outputs.shape[-1])
    return whole[:, :time], final_state


def as_lengths(lengths: Lengths) -> Lengths:
    """Lengths of any integer type as int32: differences and products of steps fit no narrower."""
    return jnp.asarray(lengths).astype(jnp.int32)


def valid_steps(lengths: Lengths, time: int) -> Bool[Array, "B T"]:
    """Which steps of each sequence are its own and not padding."""
    return jnp.arange(time)[None] < as_lengths(lengths)[:, None]


def zero_padding(sequences: Array, lengths: Lengths) -> Array:
    """[B, T, ...] with zeros past each sequence's length.

    What stood there, NaN included, then reaches neither a result nor a gradient: a mask behind the
    computation alone would let 0 × NaN through in the backward pass.
    """
    valid = valid_steps(lengths, sequences.shape[1])
    return where_valid(valid, sequences, jnp.zeros_like(sequences))


def hidden_before(outputs: Array, initial: Array, lengths: Lengths, *, reverse: bool) -> Array:
    """The hidden state [B, T, H] that each valid step began with, at the step's position.

    Args:
        outputs: [B, T, H].
        initial: the hidden state [B, H] that the first step read began with.
        lengths: [B].
        reverse: whether that is the last valid step.
    """
    time = outputs.shape[1]
    first = jnp.minimum(as_lengths(lengths), time)[:, None] - 1 if reverse else 0
    before = jnp.roll(outputs, -1 if reverse else 1, axis=1)
    return where_valid(jnp.arange(time)[None] != first, before, initial[:, None])


def where_valid(valid: Array, new: Array, old: Array) -> Array:
    """`new` where `valid`, a mask over the leading axes, is true; `old` elsewhere."""
    return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - valid.ndim)), new, old)
