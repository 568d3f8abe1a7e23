"""Adversarial training: words moved a little, in the direction that raises the loss the most.

For a text's embeddings x and g = ∂L/∂x, the loss at x + r is trained on beside the loss at x, with

    r = ε c s g / ‖g‖₂,

over all words of the text together. s is the length of a typical word vector in the batch: with
it, a model cannot escape the perturbation by making its vectors longer. Miyato et al. normalise the
whole table for that, by the words' frequencies, to vectors of length √E; their ε of 5 is 5/√256 ≈
0.3 in this unit.

c is how sure the model is of the batch's labels, from 0 to 1. So the movement grows with what has
been learnt. If all of it came at the start, where little tells the classes apart, it would hide
that little, and nothing would be learnt.

Source: Miyato, Dai & Goodfellow (2017), "Adversarial Training Methods for Semi-Supervised Text
Classification", eqs. 3 and 5; the unit s and the factor c are ours.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from lstm_jax.recurrence import zero_padding
from lstm_jax.shapes import Embeddings, Lengths


def certainty(targets: Float[Array, "B C"], chances: Float[Array, "B C"]) -> Float[Array, "B"]:
    """Of each text, 0 where the label is no likelier than by chance, 1 where it is certain.

    The mean over a batch is its c.

    Args:
        targets: probabilities of the classes that are to be learnt [B, C]; of class 1 alone [B, 1].
        chances: what the model says they are.
    """
    if targets.shape[-1] == 1:
        targets, chances = (jnp.concatenate([1 - of_1, of_1], 1) for of_1 in (targets, chances))
    classes = targets.shape[-1]
    return jnp.maximum((classes * (targets * chances).sum(-1) - 1) / (classes - 1), 0)


def perturbation(
    embeddings: Embeddings, gradient: Embeddings, lengths: Lengths, size: float | Array
) -> Array:
    """The r of each text.

    Args:
        embeddings: x [B, T, E].
        gradient: ∂L/∂x [B, T, E]; zeros at and past each length.
        lengths: words of each text [B].
        size: ε c, at least 0, in lengths of a typical word vector.

    Returns:
        [B, T, E]; zeros where a text's gradient is zero.
    """
    squares = (zero_padding(embeddings, lengths) ** 2).sum()
    typical = jnp.sqrt(squares / jnp.maximum(lengths.sum(), 1))
    norms = jnp.sqrt((gradient**2).sum((1, 2), keepdims=True))
    return size * typical * gradient / jnp.where(norms > 0, norms, 1)
