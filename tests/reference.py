"""The oracle: an LSTM in float64 NumPy, one sequence and one step at a time.

Written from the equations of Hochreiter & Schmidhuber (1997) with Gers et al.'s forget gate,
without batching, masking or scanning, so that it shares no mistake with the library.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(W, U, b, x, h, c):
    """One step of one sequence: x [D], h and c [H]; gates i, f, g, o."""
    H = len(h)
    z = x @ W + h @ U + b
    i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H :]
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def lstm(W, U, b, inputs, lengths, h0, c0, reverse=False):
    """Outputs [B, T, H] and final states [B, H] of inputs [B, T, D]."""
    W, U, b, inputs, h0, c0 = (np.asarray(a, np.float64) for a in (W, U, b, inputs, h0, c0))
    outputs = np.zeros((*inputs.shape[:2], U.shape[0]))
    final_h, final_c = h0.copy(), c0.copy()
    for n, length in enumerate(lengths):
        h, c = h0[n], c0[n]
        for t in range(length)[:: -1 if reverse else 1]:
            h, c = lstm_step(W, U, b, inputs[n, t], h, c)
            outputs[n, t] = h
        final_h[n], final_c[n] = h, c
    return outputs, final_h, final_c


def numerical_gradient(function, array, step=1e-6):
    """Central differences of a scalar function of a float64 array."""
    gradient = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        up, down = array.copy(), array.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient
