"""An LSTM as a pure JAX function, and a text classifier built on it."""

from lstm_jax.cell import (
    LSTMGates,
    LSTMParams,
    LSTMState,
    init_lstm,
    lstm_cell,
    lstm_gates,
    zero_state,
)
from lstm_jax.kernels import implementations
from lstm_jax.lstm import (
    Bidirectional,
    bidirectional_lstm,
    choose_implementation,
    gates_of_outputs,
    lstm,
)
from lstm_jax.machine import keep_memory
from lstm_jax.recurrence import scan_cell
from lstm_jax.run import Run, load
from lstm_jax.variants import Variant

__all__ = [
    "Bidirectional",
    "LSTMGates",
    "LSTMParams",
    "LSTMState",
    "Run",
    "Variant",
    "bidirectional_lstm",
    "choose_implementation",
    "gates_of_outputs",
    "implementations",
    "init_lstm",
    "keep_memory",
    "load",
    "lstm",
    "lstm_cell",
    "lstm_gates",
    "scan_cell",
    "zero_state",
]
