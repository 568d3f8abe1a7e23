"""What belongs to which word: n-grams are made of words, and a linear model is a sum over them."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from lstm_jax.explain.trace import Trace
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.recurrence import zero_padding
from lstm_jax.shapes import Encodings, Lengths, Params, Tokens


def to_words(parts: Sequence[Array]) -> Array:
    """Credits of n-grams, divided among their words alike.

    Args:
        parts: [B, T] each: of the tokens, of the n-grams of two tokens that end at each token, of
            three, ...

    Returns:
        [B, T], with the same sum.
    """
    total = parts[0]
    for size, part in enumerate(parts[1:], 2):
        for back in range(size):
            moved = jnp.pad(part, ((0, 0), (0, back)))[:, back:]
            total = total + moved / size
    return total


def divided(trace: Trace, steps: Array) -> Array:
    """What steps of the first layer are credited with, divided among the words that they read.

    A step reads a vector that is a sum, of that of its token and those of the n-grams that end
    there. Each part v of the sum x gets the share v · x / x · x, so that all add up to one.

    Args:
        trace: of the texts.
        steps: [B, T].

    Returns:
        [B, T], with the same sum.
    """
    if len(trace.vectors) == 1:
        return steps
    inputs = trace.layers[0].inputs
    squares = jnp.einsum("bte,bte->bt", inputs, inputs)
    shares = [jnp.einsum("bte,bte->bt", part, inputs) for part in trace.vectors]
    empty = squares == 0
    parts = [jnp.where(empty, 0, share / jnp.where(empty, 1, squares)) for share in shares]
    parts[0] = jnp.where(empty, 1, parts[0])
    return to_words([part * steps for part in parts])


def divided_by_number(trace: Trace, numbers: Encodings) -> Array:
    """What each number that a step reads is credited with, divided among the words likewise.

    A part v of a number gets the share v² / Σ v², which does not grow where parts cancel.

    Args:
        trace: of the texts.
        numbers: [B, T, E].

    Returns:
        [B, T], with the same sum.
    """
    if len(trace.vectors) == 1:
        return numbers.sum(axis=-1)
    squares = [part**2 for part in trace.vectors]
    total: Array = sum(squares[1:], start=squares[0])
    shares = [each / jnp.where(total == 0, 1, total) for each in squares]
    shares[0] = jnp.where(total == 0, 1, shares[0])
    return to_words([(share * numbers).sum(axis=-1) for share in shares])


def linear_credits(
    model: TextClassifier, params: Params, tokens: Tokens, lengths: Lengths, target: Array
) -> tuple[Array, Array]:
    """What each word adds to a target by the linear model beside the LSTM; exactly a sum.

    Args:
        model, params: a classifier with a linear model.
        tokens: [B, T].
        lengths: [B].
        target: weights [B, C] of the logits.

    Returns:
        The credits [B, T], and the bias [B].
    """
    weights = params["linear"]
    ids = [tokens, *(model.ngrams.ids(tokens, jnp) if model.ngrams is not None else [])]
    credits, squares = [], jnp.zeros(len(tokens))
    for size, these in enumerate(ids, 1):
        rows = jnp.take(weights[f"weights_of_{size}"], these, axis=0, mode="fill", fill_value=0)
        credits.append(jnp.einsum("btc,bc->bt", zero_padding(rows, lengths), target))
        of_ids = jnp.take(weights[f"squares_of_{size}"], these, mode="fill", fill_value=0)
        squares += zero_padding(of_ids, lengths).sum(axis=1)
    length = jnp.sqrt(jnp.where(squares > 0, squares, 1))[:, None]
    return to_words(credits) / length, target @ weights["bias"]
