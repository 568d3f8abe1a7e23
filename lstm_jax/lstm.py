"""The standard LSTM over time: forward, backward and bidirectional.

What users pass is checked here, once; the work is done by one of `lstm_jax.kernels`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from lstm_jax import kernels
from lstm_jax.cell import LSTMGates, LSTMParams, LSTMState, lstm_gates
from lstm_jax.kernels import cpu, gpu
from lstm_jax.machine import refuse_after_fork
from lstm_jax.recurrence import as_lengths, hidden_before, in_chunks, zero_padding
from lstm_jax.shapes import Inputs, Lengths, Outputs, StepState
from lstm_jax.sharding import is_split_explicitly, run_by_sequence, varying_alike


def lstm(
    params: LSTMParams,
    inputs: Inputs,
    *,
    lengths: Lengths | None = None,
    initial_state: LSTMState | None = None,
    reverse: bool = False,
    implementation: str = "auto",
    precision: str | None = None,
    chunk_size: int | None = None,
) -> tuple[Outputs, LSTMState]:
    """Runs an LSTM over a batch of sequences.

    What stands in the padding changes neither results nor gradients. Two chunks run one after the
    other, the state of the first given to the second, equal one run.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from lstm_jax import init_lstm, lstm
        >>> params = init_lstm(jax.random.key(0), features=3, hidden_size=4)
        >>> outputs, state = lstm(params, jnp.ones((2, 5, 3)), lengths=jnp.array([5, 2]))
        >>> outputs.shape, state.hidden.shape
        ((2, 5, 4), (2, 4))

    Args:
        params: weights of the direction, for D inputs and H hidden units.
        inputs: [B, T, D]; B and T may be 0.
        lengths: valid steps per sequence [B], integers of any type, 0 <= lengths <= T (checked
            unless traced); None if all T are valid. Valid steps come first.
        initial_state: hidden and cell state [B, H] to start from; None for zeros.
        reverse: read the valid steps last to first; outputs stay at their own positions.
        implementation: "auto", or one of `implementations()`. "scan" is the plain equations;
            the others have hand-written backward passes. Under forward mode, and for derivatives
            beyond the first, they all compute the derivatives of the plain equations.
        precision: None for that of the arrays' dtype. "bfloat16" rounds what enters the matrix
            products of float32 arrays to bfloat16; sums and states stay float32. Not by "scan"; on
            a CPU, "auto" needs the compiled implementation for it, and that AVX512-BF16.
        chunk_size: for long sequences, the steps between two states that are kept for the backward
            pass; what it needs of the steps between them is computed once more. None keeps all.

    Returns:
        Outputs [B, T, H], zero past each length, and the `LSTMState` after each sequence's last
        step read, which is the initial state where the length is 0. Their dtype is the one that
        params, inputs and initial state promote to.

    Raises:
        ValueError: if shapes or dtypes do not fit, a length is out of range, an implementation is
            unknown or cannot run, or a precision is, or is asked of arrays that are not float32.

    Source: the equations of `lstm_jax.cell`.
    """
    (result,) = _run(
        (params,),
        inputs,
        lengths,
        (initial_state,),
        (reverse,),
        implementation,
        precision,
        chunk_size,
    )
    return result


def _run(
    params: Sequence[LSTMParams],
    inputs: Inputs,
    lengths: Lengths | None,
    initial_states: Sequence[LSTMState | None],
    reverse: tuple[bool, ...],
    implementation: str,
    precision: str | None,
    chunk_size: int | None,
) -> kernels.Results:
    """Checks what a user passed and runs every direction."""
    refuse_after_fork()
    each_params = tuple(LSTMParams(*map(jnp.asarray, each)) for each in params)
    inputs = jnp.asarray(inputs)
    for each in each_params:
        _check_shapes(each, inputs)
    batch_size, time, _ = inputs.shape
    states = []
    for each, state in zip(each_params, initial_states, strict=True):
        shape = (batch_size, each.hidden_size)
        if state is None:
            zeros = jnp.zeros(shape, inputs.dtype)
            state = LSTMState(zeros, zeros)
        states.append(LSTMState(*(jnp.asarray(array) for array in state)))
        for name, array in zip(LSTMState._fields, states[-1], strict=True):
            if array.shape != shape:
                raise ValueError(
                    f"initial_state.{name} must have shape (B, H) = {shape}, got {array.shape}"
                )
    dtype = jnp.result_type(*jax.tree.leaves((each_params, inputs, states)))
    each_params, inputs, states = jax.tree.map(
        lambda array: array.astype(dtype), (each_params, inputs, tuple(states))
    )
    if lengths is None:
        lengths = jnp.full(batch_size, time, jnp.int32)
    else:
        lengths = _checked_lengths(lengths, batch_size, time)
    kernels.check(implementation, dtype, precision, each_params[0].hidden_size)
    if implementation == "auto" and cpu.NO_EXPLICIT_AXES and is_split_explicitly(inputs):
        implementation = "xla"
    run = partial(kernels.run, implementation, precision=precision)

    def every_direction(inputs: Inputs, *others: Any) -> kernels.Results:
        inputs, each_params, lengths, states = varying_alike((inputs, *others))
        if (size := chunk_size) is None:
            return run(each_params, inputs, lengths, states, reverse=reverse)

        def one(p: LSTMParams, state: LSTMState, turned: bool) -> tuple[Outputs, LSTMState]:
            def whole(
                inputs: Inputs, state: LSTMState, lengths: Lengths
            ) -> tuple[Outputs, LSTMState]:
                return run((p,), inputs, lengths, (state,), reverse=(turned,))[0]

            return in_chunks(whole, inputs, state, lengths, reverse=turned, size=size)

        return tuple(map(one, each_params, states, reverse))

    return run_by_sequence(every_direction, inputs, each_params, lengths, states)


Each = TypeVar("Each")


class Bidirectional(NamedTuple, Generic[Each]):
    """One value for each of the two directions of reading."""

    forward: Each
    backward: Each


def bidirectional_lstm(
    params: Bidirectional[LSTMParams],
    inputs: Inputs,
    *,
    lengths: Lengths | None = None,
    initial_state: Bidirectional[LSTMState] | None = None,
    implementation: str = "auto",
    precision: str | None = None,
    chunk_size: int | None = None,
) -> tuple[Bidirectional[Outputs], Bidirectional[LSTMState]]:
    """Runs one LSTM from the first step to the last and another from the last to the first.

    Args:
        params: `Bidirectional` of two `LSTMParams`.
        inputs, lengths, implementation, precision, chunk_size: as for `lstm`.
        initial_state: `Bidirectional` of two `LSTMState`s; None for zeros.

    Returns:
        `Bidirectional` outputs, each [B, T, H], both at the steps' own positions and not merged
        (see `lstm_jax.nn.layer.MERGES`), and `Bidirectional` final states: the forward
        one after each sequence's last valid step, the backward one after its first.

    Raises:
        ValueError: as `lstm`.

    Source: Schuster & Paliwal (1997); Graves & Schmidhuber (2005).
    """
    states = (None, None) if initial_state is None else initial_state
    forward, backward = _run(
        params, inputs, lengths, states, (False, True), implementation, precision, chunk_size
    )
    return Bidirectional(forward[0], backward[0]), Bidirectional(forward[1], backward[1])


def recompute_gates(
    params: LSTMParams,
    inputs: Inputs,
    outputs: Outputs,
    *,
    lengths: Lengths | None = None,
    initial_hidden: StepState | None = None,
    reverse: bool = False,
) -> LSTMGates:
    """The gates of every step of a sequence that has been run: one product, since h is known.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from lstm_jax import init_lstm, lstm, recompute_gates
        >>> params = init_lstm(jax.random.key(0), features=3, hidden_size=4)
        >>> inputs = jnp.ones((2, 5, 3))
        >>> outputs, _ = lstm(params, inputs)
        >>> recompute_gates(params, inputs, outputs).forget.shape
        (2, 5, 4)

    Args:
        params, inputs, lengths, reverse: what `lstm` was given.
        outputs: what it returned [B, T, H].
        initial_hidden: the hidden state [B, H] that it began with; None for zeros.

    Returns:
        `LSTMGates`, each [B, T, H], zero past each length.

    Source: the first four equations of `lstm_jax.cell`.
    """
    batch_size, time, hidden_size = outputs.shape
    lengths = jnp.full(batch_size, time) if lengths is None else as_lengths(lengths)
    if initial_hidden is None:
        initial_hidden = jnp.zeros((batch_size, hidden_size), outputs.dtype)

    def gates_of_all(inputs: Inputs, *others: Any) -> LSTMGates:
        params, outputs, lengths, initial_hidden = others
        before = hidden_before(outputs, initial_hidden, lengths, reverse=reverse)
        gates = lstm_gates(params, LSTMState(before, before), inputs)
        return jax.tree.map(lambda gate: zero_padding(gate, lengths), gates)

    return run_by_sequence(gates_of_all, inputs, params, outputs, lengths, initial_hidden)


def choose_implementation(implementation: str) -> str:
    """The implementation that a request leads to on this machine; only "auto" leaves a choice.

    A program lowered for another platform chooses there: see `lstm_jax.kernels.run`.

    Raises:
        ValueError: if there is none of that name, or it is not available here.
    """
    kernels.check(implementation)
    if implementation != "auto":
        return implementation
    chosen = {"cpu": ("cpu", cpu.UNAVAILABLE), "gpu": ("gpu", gpu.unavailable())}
    name, reason = chosen.get(jax.default_backend(), ("xla", ""))
    return "xla" if reason else name


def _check_shapes(params: LSTMParams, inputs: Array) -> None:
    features, hidden_size = params.features, params.hidden_size
    gates = 4 * hidden_size
    expected = ((features, gates), (hidden_size, gates), (gates,))
    for name, array, shape in zip(LSTMParams._fields, params, expected, strict=True):
        if array.shape != shape:
            raise ValueError(
                f"params.{name} must have shape {shape} (D = {features}, H = {hidden_size}, "
                f"4 gates), got {array.shape}"
            )
    if inputs.ndim != 3 or inputs.shape[-1] != features:
        raise ValueError(
            f"inputs must have shape (B, T, D) with D = {features}, got {inputs.shape}"
        )
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ValueError(f"inputs must be floating, got {inputs.dtype}")


def _checked_lengths(lengths: Array, batch_size: int, time: int) -> Array:
    lengths = jnp.asarray(lengths)
    if lengths.shape != (batch_size,):
        raise ValueError(f"lengths must have shape (B,) = ({batch_size},), got {lengths.shape}")
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(f"lengths must be integers, got {lengths.dtype}")
    if not isinstance(lengths, Tracer):
        outside = [n for n in np.asarray(lengths).tolist() if not 0 <= n <= time]
        if outside:
            raise ValueError(f"lengths must be between 0 and T = {time}, got {outside[0]}")
    return as_lengths(lengths)
