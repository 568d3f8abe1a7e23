"""How each output of an LSTM counts in a logit: the pooling and the last layer as one linear map.

For a trace that is given, the target is exactly

    target = Σ_t Σ_k w_tk · h_tk + bias

over the steps t and units k of every direction. `w` are the weights of the last layer, times what
the pooling makes of step t: 1/T for a mean, 1 where it attains the maximum, its weight of
attention, 1 at the last step read. Of two directions that are multiplied, each counts half of the
product.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.explain.trace import Trace
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.recurrence import valid_steps
from lstm_jax.shapes import Encodings, Lengths, Params


class Readout(NamedTuple):
    """The linear map of one target.

    Attributes:
        weights: [B, T, H] of each direction of the last layer; zero past each length.
        bias: [B], what is in the target whatever was read.
        value: [B], the target.
    """

    weights: tuple[Encodings, ...]
    bias: Array
    value: Array


def class_target(outputs: int, classes: Array) -> Array:
    """The target that speaks for a class: weights [B, C] of the C logits.

    Of two classes, whose one logit is that of class 1, it is that logit or its negative. Of more,
    it is the logit of the class less the mean of all logits, since a number that is added to all of
    them changes no probability.

    Args:
        outputs: C.
        classes: [B], the class that each text is explained for.
    """
    if outputs == 1:
        return jnp.where(classes == 1, 1.0, -1.0)[:, None]
    return jax.nn.one_hot(classes, outputs) - 1 / outputs


def read_out(model: TextClassifier, params: Params, trace: Trace, target: Array) -> Readout:
    """The map from the last layer's outputs to a target.

    Args:
        model, params: the classifier, without its linear model.
        trace: of the texts.
        target: weights [B, C] of the logits.

    Returns:
        The map.
    """
    config, last = model.config, trace.layers[-1]
    head = jnp.einsum("fc,bc->bf", params["head"]["kernel"], target)
    if config.pooling == "last":
        weights = _of_last(last.directions, config.merge, head, trace.lengths)
    else:
        of_parts = _of_parts(config.pooling, params.get("pooling"), last.parts, trace.lengths, head)
        weights = _unmerged(config.merge, last.directions, of_parts)
    bias = target @ params["head"]["bias"]
    hidden = [each.steps.hidden for each in last.directions]
    value = bias + sum(jnp.einsum("bth,bth->b", w, h) for w, h in zip(weights, hidden, strict=True))
    return Readout(weights, bias, value)


def _of_parts(
    pooling: str, weights: Any, parts: tuple[Encodings, ...], lengths: Lengths, head: Array
) -> tuple[Encodings, ...]:
    """The weights [B, T, F] of each part of the merged outputs."""
    valid = valid_steps(lengths, parts[0].shape[1])
    if pooling == "attention":
        outputs = jnp.concatenate(parts, axis=-1)
        keys = jnp.tanh(outputs @ weights["keys"]["kernel"] + weights["keys"]["bias"])
        scores = (keys @ weights["query"]["kernel"])[..., 0]
        attention = jax.nn.softmax(jnp.where(valid, scores, jnp.finfo(scores.dtype).min), axis=1)
        attention = jnp.where(valid, attention, 0)
        whole = attention[..., None] * head[:, None]
        return tuple(jnp.split(whole, len(parts), axis=-1))
    pools = pooling.split("_")
    of_features = jnp.split(head, len(pools) * len(parts), axis=-1)
    found = [jnp.zeros_like(part) for part in parts]
    for number, pool in enumerate(pools):
        for place, part in enumerate(parts):
            mine = of_features[number * len(parts) + place][:, None]
            found[place] += mine * (_is_largest(part, valid) if pool == "max" else _mean(valid))
    return tuple(found)


def _is_largest(part: Encodings, valid: Array) -> Encodings:
    """1 at the first step that attains the maximum of a feature, else 0."""
    lowest = jnp.finfo(part.dtype).min
    winner = jnp.where(valid[..., None], part, lowest).argmax(axis=1)
    steps = jnp.arange(part.shape[1])[None, :, None]
    return (steps == winner[:, None]) * valid[..., None].astype(part.dtype)


def _mean(valid: Array) -> Array:
    return (valid / jnp.maximum(valid.sum(axis=1, keepdims=True), 1))[..., None]


def _unmerged(
    merge: str, directions: tuple[Any, ...], of_parts: tuple[Encodings, ...]
) -> tuple[Encodings, ...]:
    """The weights of each direction's outputs, from those of the merged ones."""
    if len(directions) == 1 or merge == "concat":
        return of_parts
    (weights,) = of_parts
    if merge == "mul":
        forward, backward = (each.steps.hidden for each in directions)
        return weights * backward / 2, weights * forward / 2
    weights = weights / 2 if merge == "mean" else weights
    return weights, weights


def _of_last(
    directions: tuple[Any, ...], merge: str, head: Array, lengths: Lengths
) -> tuple[Encodings, ...]:
    """The weights of each direction where the last step read is all that counts."""
    hidden = [each.steps.hidden for each in directions]
    steps = jnp.arange(hidden[0].shape[1])[None]
    at_last = [
        ((steps == (0 if each.reverse else lengths[:, None] - 1)) & (lengths[:, None] > 0))[
            ..., None
        ]
        for each in directions
    ]
    if len(directions) == 1:
        return (at_last[0] * head[:, None],)
    if merge == "concat":
        heads = jnp.split(head, 2, axis=-1)
    elif merge == "mul":
        ends = [(at * h).sum(axis=1) for at, h in zip(at_last, hidden, strict=True)]
        heads = [head * ends[1] / 2, head * ends[0] / 2]
    else:
        heads = [head / 2 if merge == "mean" else head] * 2
    return tuple(at * mine[:, None] for at, mine in zip(at_last, heads, strict=True))
