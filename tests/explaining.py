"""Small random classifiers to be explained, and what they are explained by in NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lstm_jax.models.classifier import TextClassifier
from lstm_jax.models.config import ModelConfig
from lstm_jax.text import NGrams

V = 30
LENGTHS = (17, 9, 1, 0, 16)
_RNG = np.random.default_rng(0)
NGRAMS = NGrams.find([_RNG.integers(3, 9, 20) for _ in range(30)], V, (20, 10))
TOKENS = _RNG.integers(1, 9, (len(LENGTHS), max(LENGTHS))).astype(np.int32)


def classifier(
    classes: int = 2, ngrams: NGrams | None = NGRAMS, dtype: Any = None, **settings: Any
) -> tuple[TextClassifier, Any]:
    """A classifier whose weights are far from zero, and its parameters."""
    config = ModelConfig(
        **{"embedding_size": 6, "hidden_size": 7, "embedding_scale": 1.0, **settings}
    )
    model = TextClassifier(config, V, classes, ngrams)
    tokens, lengths = jnp.asarray(TOKENS), jnp.asarray(LENGTHS, jnp.int32)
    params = model.init(jax.random.key(1), tokens, lengths)["params"]
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(2)
    leaves = [leaf + 0.3 * rng.normal(size=leaf.shape).astype(leaf.dtype) for leaf in leaves]
    params = jax.tree.unflatten(tree, leaves)
    if "linear" in params:
        params["linear"] = {
            name: jnp.abs(array) if name.startswith("squares") else array
            for name, array in params["linear"].items()
        }
    if dtype is not None:
        params = jax.tree.map(lambda array: jnp.asarray(array, dtype), params)
    return model, params


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def steps(W, U, b, inputs):
    """The gates, cell and hidden states of one sequence [T, D], one step at a time."""
    H = U.shape[0]
    h, c, found = np.zeros(H), np.zeros(H), []
    for x in inputs:
        z = x @ W + h @ U + b
        i, f, g, o = sigmoid(z[:H]), sigmoid(z[H : 2 * H]), np.tanh(z[2 * H : 3 * H]), None
        o = sigmoid(z[3 * H :])
        c = f * c + i * g
        h = o * np.tanh(c)
        found.append((i, f, g, o, c, h, z))
    return [np.array(each) for each in zip(*found, strict=True)]


def lrp_linear(hin, w, b, hout, relevance, count, epsilon):
    """Arras et al.'s rule of a linear layer, w [in, out], with their bias_factor = 1."""
    sign = np.where(hout >= 0, 1.0, -1.0)
    numerator = w * hin[:, None] + (b + epsilon * sign)[None] / count
    return (numerator / (hout + epsilon * sign)[None] * relevance[None]).sum(axis=1)


def lrp(W, U, b, inputs, of_hidden, epsilon):
    """The relevance of inputs [T, D] and of the start, from that of hidden states [T, H]."""
    T, D = inputs.shape
    H = U.shape[0]
    i, f, g, _, c, h, z = steps(W, U, b, inputs)
    part = slice(2 * H, 3 * H)
    of_cell, of_h, found = np.zeros(H), np.zeros(H), np.zeros((T, D))
    for t in reversed(range(T)):
        before_c = c[t - 1] if t else np.zeros(H)
        before_h = h[t - 1] if t else np.zeros(H)
        whole = of_cell + of_h + of_hidden[t]
        sign = np.where(c[t] >= 0, epsilon, -epsilon)
        kept = (f[t] * before_c + sign / 2) / (c[t] + sign) * whole
        wrote = (i[t] * g[t] + sign / 2) / (c[t] + sign) * whole
        arguments = (b[part], z[t, part], wrote, D + H, epsilon)
        found[t] = lrp_linear(inputs[t], W[:, part], *arguments)
        of_h = lrp_linear(before_h, U[:, part], *arguments)
        of_cell = kept
    return found, of_cell.sum() + of_h.sum()


def three(a, b, c, activation):
    """Murdoch et al.'s `decomp_three`: what a contributes beside b, with the bias c."""
    return 0.5 * (activation(a + c) - activation(c) + activation(a + b + c) - activation(b + c))


def contextual_decomposition(W, U, b, inputs, inside):
    """Murdoch et al.'s loop over one sequence: the last hidden state in two parts."""
    H = U.shape[0]
    relevant, irrelevant = np.zeros(H), np.zeros(H)
    relevant_h, irrelevant_h = np.zeros(H), np.zeros(H)
    b_i, b_f, b_g, b_o = np.split(b, 4)
    for t, x in enumerate(inputs):
        rel, irrel = relevant_h @ U, irrelevant_h @ U
        if inside[t]:
            rel = rel + x @ W
        else:
            irrel = irrel + x @ W
        rel_i, rel_f, rel_g, rel_o = np.split(rel, 4)
        irrel_i, irrel_f, irrel_g, irrel_o = np.split(irrel, 4)
        ri, ii, bi = (*pair(rel_i, irrel_i, b_i, sigmoid), sigmoid(b_i))
        rg, ig, bg = (*pair(rel_g, irrel_g, b_g, np.tanh), np.tanh(b_g))
        rf, jf, bf = (*pair(rel_f, irrel_f, b_f, sigmoid), sigmoid(b_f))
        new = ri * (rg + bg) + bi * rg
        other = ii * (rg + ig + bg) + (ri + bi) * ig
        new, other = (new + bi * bg, other) if inside[t] else (new, other + bi * bg)
        new = new + (rf + bf) * relevant
        other = other + (rf + jf + bf) * irrelevant + jf * relevant
        relevant, irrelevant = new, other
        o = sigmoid(rel_o + irrel_o + b_o)
        two = 0.5 * (np.tanh(new) + (np.tanh(new + other) - np.tanh(other)))
        relevant_h, irrelevant_h = o * two, o * (np.tanh(new + other) - two)
    return relevant_h, irrelevant_h


def pair(a, b, c, activation):
    return three(a, b, c, activation), three(b, a, c, activation)
