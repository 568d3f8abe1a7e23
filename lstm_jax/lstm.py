"""The standard LSTM over time: forward, backward and bidirectional.

What users pass is checked here, once; the work is done by one of `lstm_jax.kernels`.
"""

from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from lstm_jax.cell import LSTMParams, LSTMState, zero_state
from lstm_jax.kernels import IMPLEMENTATIONS
from lstm_jax.recurrence import zero_padding
from lstm_jax.shapes import Inputs, Lengths, Outputs


def lstm(
    params: LSTMParams,
    inputs: Inputs,
    *,
    lengths: Lengths | None = None,
    initial_state: LSTMState | None = None,
    reverse: bool = False,
    implementation: str = "auto",
) -> tuple[Outputs, LSTMState]:
    """Runs an LSTM over a batch of sequences.

    What stands in the padding changes neither results nor gradients. Two chunks run one after the
    other, the state of the first given to the second, equal one run.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_lstm(jax.random.key(0), features=3, hidden_size=4)
        >>> outputs, state = lstm(params, jnp.ones((2, 5, 3)), lengths=jnp.array([5, 2]))
        >>> outputs.shape, state.hidden.shape
        ((2, 5, 4), (2, 4))

    Args:
        params: weights of the direction, for D inputs and H hidden units.
        inputs: [B, T, D]; B and T may be 0.
        lengths: valid steps per sequence [B], integers with 0 <= lengths <= T (checked unless
            traced); None if all T are valid. Valid steps come first.
        initial_state: hidden and cell state [B, H] to start from; None for zeros.
        reverse: read the valid steps last to first; outputs stay at their own positions.
        implementation: "auto", or one of `implementations()`. "scan" supports every JAX transform;
            the others have hand-written backward passes and no forward mode.

    Returns:
        Outputs [B, T, H], zero past each length, and the `LSTMState` after each sequence's last
        step read, which is the initial state where the length is 0. Their dtype is the one that
        params, inputs and initial state promote to.

    Raises:
        ValueError: if shapes or dtypes do not fit, a length is out of range, or an implementation
            is unknown.

    Source: the equations of `lstm_jax.cell`.
    """
    params = LSTMParams(*(jnp.asarray(array) for array in params))
    inputs = jnp.asarray(inputs)
    _check_shapes(params, inputs)
    batch_size, time, _ = inputs.shape
    if initial_state is None:
        initial_state = zero_state(batch_size, params.hidden_size, inputs.dtype)
    initial_state = LSTMState(*(jnp.asarray(array) for array in initial_state))
    for name, array in zip(LSTMState._fields, initial_state, strict=True):
        if array.shape != (batch_size, params.hidden_size):
            raise ValueError(
                f"initial_state.{name} must have shape (B, H) = "
                f"{(batch_size, params.hidden_size)}, got {array.shape}"
            )
    dtype = jnp.result_type(*params, inputs, *initial_state)
    params, inputs, initial_state = jax.tree.map(
        lambda array: array.astype(dtype), (params, inputs, initial_state)
    )
    if lengths is None:
        lengths = jnp.full(batch_size, time, jnp.int32)
    else:
        lengths = _checked_lengths(lengths, batch_size, time)
        inputs = zero_padding(inputs, lengths)
    run = IMPLEMENTATIONS[choose_implementation(implementation)]
    return run(params, inputs, lengths, initial_state, reverse=reverse)


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
) -> tuple[Bidirectional[Outputs], Bidirectional[LSTMState]]:
    """Runs one LSTM from the first step to the last and another from the last to the first.

    Args:
        params: `Bidirectional` of two `LSTMParams`.
        inputs, lengths, implementation: as for `lstm`.
        initial_state: `Bidirectional` of two `LSTMState`s; None for zeros.

    Returns:
        `Bidirectional` outputs, each [B, T, H], both at the steps' own positions and not merged
        (see `lstm_jax.layers.merge_directions`), and `Bidirectional` final states: the forward
        one after each sequence's last valid step, the backward one after its first.

    Raises:
        ValueError: as `lstm`.

    Source: Schuster & Paliwal (1997); Graves & Schmidhuber (2005).
    """
    states = (None, None) if initial_state is None else initial_state
    forward, backward = (
        lstm(
            direction_params,
            inputs,
            lengths=lengths,
            initial_state=state,
            reverse=reverse,
            implementation=implementation,
        )
        for direction_params, state, reverse in zip(params, states, (False, True), strict=True)
    )
    return Bidirectional(forward[0], backward[0]), Bidirectional(forward[1], backward[1])


def implementations() -> tuple[str, ...]:
    """The names that `implementation` takes beside "auto", preferred ones first."""
    return tuple(IMPLEMENTATIONS)


def choose_implementation(implementation: str) -> str:
    """The implementation that a request leads to; only "auto" leaves a choice.

    Raises:
        ValueError: if there is none of that name.
    """
    if implementation == "auto":
        return implementations()[0]
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"implementation must be one of {('auto', *implementations())}, got {implementation!r}"
        )
    return implementation


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
    return lengths.astype(jnp.int32)
