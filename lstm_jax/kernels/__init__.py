"""Implementations of one contract: a whole LSTM recurrence.

    run(params, inputs, lengths, initial_state, *, reverse) -> (outputs, final_state)

    params          LSTMParams: kernels [D, 4H] and [H, 4H], bias [4H], gates in order i, f, g, o
    inputs          [B, T, D], zero at and past each length
    lengths         [B] int32, 0 <= lengths <= T
    initial_state   LSTMState: hidden and cell [B, H]
    reverse         read the valid steps last to first
    outputs         [B, T, H], each at its own position, zero at and past each length
    final_state     LSTMState after the last step read; the initial state where the length is 0

All arrays but `lengths` have one floating dtype, which the results share. B and T may be 0. Every
implementation is differentiable in reverse mode with respect to `params`, `inputs` and
`initial_state`, and works under `jit` and `vmap`. `lstm_jax.lstm` checks what users pass and calls
these; the same tests run on each (`tests/test_lstm.py`).
"""

from collections.abc import Callable

from lstm_jax.kernels import scan, xla

# In the order of preference of `implementation="auto"`.
IMPLEMENTATIONS: dict[str, Callable] = {"xla": xla.run, "scan": scan.run}
