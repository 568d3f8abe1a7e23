"""Every way to say what each word counts for a class, under one name each."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from lstm_jax.explain.decomposition import decompose
from lstm_jax.explain.gradients import gradient_x_input, integrated_gradients
from lstm_jax.explain.ledger import logit_ledger
from lstm_jax.explain.lrp import propagate
from lstm_jax.explain.names import Method
from lstm_jax.explain.readout import Readout, read_out
from lstm_jax.explain.trace import Trace, trace_from_vectors, word_vectors
from lstm_jax.explain.words import divided, divided_by_number, linear_credits
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.shapes import Inputs, Lengths, Params, Tokens

# Words whose decompositions are computed together.
_TOGETHER = 64


class Attribution(NamedTuple):
    """What each word counts for a target.

    Attributes:
        words: [B, T], zero past each length; above zero for what speaks for the target.
        base: [B], what of the target is due to no word: biases, or the target of a text of zeros.
        value: [B], the target.
        error: [B], by how much the method's sum misses the target; NaN where it promises none.
    """

    words: Array
    base: Array
    value: Array
    error: Array


class _Read(NamedTuple):
    """What a method starts from."""

    model: TextClassifier
    params: Params
    trace: Trace
    readout: Readout
    target: Array

    def of_inputs(self, inputs: Inputs) -> Array:
        """The target [B] of what the first layer reads, without the linear model."""
        logits = self.model.apply(
            {"params": self.params}, inputs, self.trace.lengths, method="classify"
        )
        return jnp.einsum("bc,bc->b", logits, self.target)


@partial(jax.jit, static_argnames=("model", "method"))
def attribute(
    model: TextClassifier,
    params: Params,
    tokens: Tokens,
    lengths: Lengths,
    target: Array,
    method: Method = "ledger",
) -> Attribution:
    """Says what each word counts for a target.

    What the linear model beside the LSTM adds is a sum over words anyway, and is added to what the
    method says of the LSTM. Products are not rounded to bfloat16.

    Args:
        model, params: the classifier.
        tokens: ids [B, T].
        lengths: valid tokens [B].
        target: weights [B, C] of the logits, such as `lstm_jax.explain.readout.class_target` gives.
        method: any of `METHODS` but "occlusion", which is `occlude`.

    Returns:
        The attribution.

    Raises:
        ValueError: if the method is unknown, or cannot be had for such a model.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(_METHODS)}, got {method!r}")
    model = exact(model)
    vectors = word_vectors(model, params, tokens)
    trace = trace_from_vectors(model, params, vectors, lengths)
    readout = read_out(model, params, trace, target)
    found = _METHODS[method](_Read(model, params, trace, readout, target))
    if model.config.linear:
        words, bias = linear_credits(model, params, tokens, lengths, target)
        value = found.value + words.sum(axis=1) + bias
        found = Attribution(found.words + words, found.base + bias, value, found.error)
    return found


@partial(jax.jit, static_argnames="model")
def phrase_contribution(
    model: TextClassifier,
    params: Params,
    tokens: Tokens,
    lengths: Lengths,
    target: Array,
    phrase: Array,
) -> Array:
    """What a phrase contributes to a target, by contextual decomposition.

    Args:
        model, params, tokens, lengths, target: as for `attribute`.
        phrase: [B, T], true for its words.

    Returns:
        [B]; with what the linear model beside the LSTM says of its words.

    Raises:
        ValueError: as `lstm_jax.explain.decomposition.decompose`.
    """
    model = exact(model)
    trace = trace_from_vectors(model, params, word_vectors(model, params, tokens), lengths)
    readout = read_out(model, params, trace, target)
    found = decompose(model.config, trace, readout, phrase[:, None]).phrase[:, 0]
    if model.config.linear:
        words, _ = linear_credits(model, params, tokens, lengths, target)
        found += (words * phrase).sum(axis=1)
    return found


def exact(model: TextClassifier) -> TextClassifier:
    """The classifier, its products not rounded to bfloat16."""
    return model.clone(config=replace(model.config, precision=None))


def _ledger(read: _Read) -> Attribution:
    steps = logit_ledger(read.trace, read.readout)
    value = read.of_inputs(read.trace.layers[0].inputs)
    return _summed(divided(read.trace, steps), read.readout.bias, value)


def _lrp(read: _Read) -> Attribution:
    relevance, start = propagate(read.model.config, read.trace, read.readout)
    value = read.of_inputs(read.trace.layers[0].inputs)
    return _summed(divided_by_number(read.trace, relevance), start, value)


def _integrated_gradients(read: _Read) -> Attribution:
    inputs = read.trace.layers[0].inputs
    numbers = integrated_gradients(read.of_inputs, inputs)
    base = read.of_inputs(jnp.zeros_like(inputs))
    return _summed(divided_by_number(read.trace, numbers), base, read.of_inputs(inputs))


def _gradient_x_input(read: _Read) -> Attribution:
    inputs = read.trace.layers[0].inputs
    numbers = gradient_x_input(read.of_inputs, inputs)
    value = read.of_inputs(inputs)
    words = divided_by_number(read.trace, numbers)
    return Attribution(words, jnp.zeros_like(value), value, jnp.full_like(value, jnp.nan))


def _decomposition(read: _Read) -> Attribution:
    """Each word as a phrase of its own; what is promised is that a phrase and its rest add up."""
    trace, time = read.trace, read.trace.layers[0].inputs.shape[1]
    batch_size, blocks = len(trace.lengths), -(-time // _TOGETHER)

    def of_words(places: Array) -> Array:
        phrases = places[:, None] == jnp.arange(time)
        phrases = jnp.broadcast_to(phrases[None], (batch_size, *phrases.shape))
        return decompose(read.model.config, trace, read.readout, phrases).phrase

    places = jnp.arange(blocks * _TOGETHER).reshape(blocks, _TOGETHER)
    words = jnp.concatenate(list(jax.lax.map(of_words, places)), axis=1)[:, :time]
    valid = jnp.arange(time)[None] < trace.lengths[:, None]
    value = read.of_inputs(trace.layers[0].inputs)
    missed = jnp.abs(read.readout.value - value)
    return Attribution(jnp.where(valid, words, 0), read.readout.bias, value, missed)


def _summed(words: Array, base: Array, value: Array) -> Attribution:
    return Attribution(words, base, value, jnp.abs(words.sum(axis=1) + base - value))


_METHODS: dict[str, Callable[[_Read], Attribution]] = {
    "ledger": _ledger,
    "lrp": _lrp,
    "decomposition": _decomposition,
    "integrated_gradients": _integrated_gradients,
    "gradient_x_input": _gradient_x_input,
}


Targets = Callable[[NDArray[np.integer], NDArray[np.integer]], NDArray[np.floating]]


def occlude(targets: Targets, ids: NDArray[np.integer]) -> NDArray[np.floating]:
    """How much a target falls when a word is left out: the check that knows nothing of the model.

    Args:
        targets: of tokens [N, T] and lengths [N]: [N].
        ids: of one text [T]; the start token is never left out.

    Returns:
        [T], zero for the start token.
    """
    length = len(ids)
    if length < 2:
        return np.zeros(length)
    places = np.arange(1, length)
    kept = np.arange(length - 1)[None] + (np.arange(length - 1)[None] >= places[:, None])
    rows = np.concatenate([ids[None], np.pad(ids[kept], ((0, 0), (0, 1)))])
    found = targets(rows, np.array([length, *[length - 1] * (length - 1)], np.int32))
    return np.concatenate([[0.0], found[0] - found[1:]])


def as_read(targets: Targets, ids: NDArray[np.integer]) -> NDArray[np.floating]:
    """The target after each word, as if the text ended there.

    Args:
        targets, ids: as for `occlude`.

    Returns:
        [T].
    """
    rows = np.repeat(ids[None], len(ids), axis=0)
    return targets(rows, np.arange(1, len(ids) + 1, dtype=np.int32))
