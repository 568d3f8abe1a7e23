"""Adversarial training: words moved a little, in the direction that raises the loss the most.

For a text's embeddings x and g = ∂L/∂x, the loss at x + r is trained on beside the loss at x, with

    r = ε s g / ‖g‖₂,

over all words of the text together. s is the length of a typical word vector in the batch: with
it, a model cannot escape the perturbation by making its vectors longer. Miyato et al. normalise the
whole table for that, by the words' frequencies, to vectors of length √E; their ε of 5 is 5/√256 ≈
0.3 in this unit.

Source: Miyato, Dai & Goodfellow (2017), "Adversarial Training Methods for Semi-Supervised Text
Classification", eqs. 3 and 5; the unit s is ours.
"""

import jax.numpy as jnp
from jax import Array

from lstm_jax.recurrence import zero_padding
from lstm_jax.shapes import Embeddings, Lengths


def perturbation(
    embeddings: Embeddings, gradient: Embeddings, lengths: Lengths, size: float
) -> Array:
    """The r of each text.

    Args:
        embeddings: x [B, T, E].
        gradient: ∂L/∂x [B, T, E]; zeros at and past each length.
        lengths: words of each text [B].
        size: ε, at least 0, in lengths of a typical word vector.

    Returns:
        [B, T, E]; zeros where a text's gradient is zero.
    """
    squares = (zero_padding(embeddings, lengths) ** 2).sum()
    typical = jnp.sqrt(squares / jnp.maximum(lengths.sum(), 1))
    norms = jnp.sqrt((gradient**2).sum((1, 2), keepdims=True))
    return size * typical * gradient / jnp.where(norms > 0, norms, 1)
