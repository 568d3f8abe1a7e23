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


def run(step, inputs, lengths, h0, c0, reverse=False):
    """A step `(x, h, c) -> (h, c)` over inputs [B, T, D]: outputs, final h and final c."""
    inputs, h0, c0 = (np.asarray(a, np.float64) for a in (inputs, h0, c0))
    outputs = np.zeros((*inputs.shape[:2], h0.shape[1]))
    final_h, final_c = h0.copy(), c0.copy()
    for n, length in enumerate(lengths):
        h, c = h0[n], c0[n]
        for t in range(length)[:: -1 if reverse else 1]:
            h, c = step(inputs[n, t], h, c)
            outputs[n, t] = h
        final_h[n], final_c[n] = h, c
    return outputs, final_h, final_c


def lstm(W, U, b, inputs, lengths, h0, c0, reverse=False):
    """Outputs [B, T, H] and final states [B, H] of inputs [B, T, D]."""
    weights = [np.asarray(a, np.float64) for a in (W, U, b)]
    return run(lambda *xhc: lstm_step(*weights, *xhc), inputs, lengths, h0, c0, reverse)


def numerical_gradient(function, array, step=1e-6):
    """Central differences of a scalar function of a float64 array."""
    gradient = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        up, down = array.copy(), array.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient


def peephole_step(W, U, b, peepholes, x, h, c):
    """Gers & Schmidhuber (2000): i and f see the old cell state, o the new one."""
    H = len(c)
    z = x @ W + h @ U + b
    p_i, p_f, p_o = peepholes
    i, f = sigmoid(z[:H] + p_i * c), sigmoid(z[H : 2 * H] + p_f * c)
    c = f * c + i * np.tanh(z[2 * H : 3 * H])
    return sigmoid(z[3 * H :] + p_o * c) * np.tanh(c), c


def coupled_step(W, U, b, x, h, c):
    """Greff et al. (2017), CIFG: f = 1 - i; gates i, g, o."""
    i, g, o = np.split(x @ W + h @ U + b, 3)
    c = (1 - sigmoid(i)) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def projected_step(W, U, b, P, x, h, c, clip):
    """Sak et al. (2014): r = m P, and the cell state clipped."""
    i, f, g, o = np.split(x @ W + h @ U + b, 4)
    c = np.clip(sigmoid(f) * c + sigmoid(i) * np.tanh(g), -clip, clip)
    return (sigmoid(o) * np.tanh(c)) @ P, c


def layer_norm_step(W, U, b, norms, x, h, c):
    """Ba et al. (2016), eqs. 20 to 22, with b in the place of their shifts of the products."""

    def normalised(v):
        return (v - v.mean()) / np.sqrt(v.var() + 1e-5)

    of_inputs, of_hidden, cell_scale, cell_shift = norms
    z = of_inputs * normalised(x @ W) + of_hidden * normalised(h @ U) + b
    i, f, g, o = np.split(z, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell_scale * normalised(c) + cell_shift), c
