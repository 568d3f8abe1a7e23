"""The cell under `jax.lax.scan` and nothing else: every JAX transform, forward mode included."""

from lstm_jax.cell import LSTMParams, LSTMState, lstm_cell
from lstm_jax.recurrence import scan_cell
from lstm_jax.shapes import Inputs, Lengths, Outputs


def run(
    params: tuple[LSTMParams, ...],
    inputs: Inputs,
    lengths: Lengths,
    initial_states: tuple[LSTMState, ...],
    *,
    reverse: tuple[bool, ...],
    precision: None = None,
) -> tuple[tuple[Outputs, LSTMState], ...]:
    """The contract of `lstm_jax.kernels`, by the equations of `lstm_jax.cell`."""
    return tuple(
        scan_cell(lstm_cell, each, inputs, state, lengths=lengths, reverse=turned)
        for each, state, turned in zip(params, initial_states, reverse, strict=True)
    )
