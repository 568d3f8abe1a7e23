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
from lstm_jax.lstm import Bidirectional, bidirectional_lstm, implementations, lstm
from lstm_jax.recurrence import scan_cell
