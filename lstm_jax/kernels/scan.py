"""The cell under `jax.lax.scan` and nothing else: every JAX transform, forward mode included."""

from lstm_jax.cell import LSTMParams, LSTMState, lstm_cell
from lstm_jax.recurrence import scan_cell
from lstm_jax.shapes import Inputs, Lengths, Outputs


def run(
    params: LSTMParams,
    inputs: Inputs,
    lengths: Lengths,
    initial_state: LSTMState,
    *,
    reverse: bool,
) -> tuple[Outputs, LSTMState]:
    """The contract of `lstm_jax.kernels`, by the equations of `lstm_jax.cell`."""
    return scan_cell(lstm_cell, params, inputs, initial_state, lengths=lengths, reverse=reverse)
