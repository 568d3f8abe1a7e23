"""Contextual decomposition: what a phrase alone contributes, and what everything else does.

Every state is a sum of two parts, h = β + γ: β is due to the phrase, γ is not. A nonlinearity of a
sum is divided by L(·), the mean over both orders in which its terms can be added, and products of
gates and candidates are multiplied out: what only the phrase and the biases take part in is β.
So "not good" gets a score of its own beside those of "not" and of "good".

The sums h and c themselves are known, from a trace, so β alone is computed, and γ is what is left.
Before the first step that reads something of a phrase its β is zero, and the loop begins there.

Source: Murdoch, Liu & Yu (2018), "Beyond Word Importance: Contextual Decomposition to Extract
    Interactions from LSTMs", section 3; the division of three terms is that of their code.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.explain.readout import Readout
from lstm_jax.explain.trace import Direction, LayerTrace, Trace, states_before
from lstm_jax.models.config import ModelConfig
from lstm_jax.shapes import Lengths


class Divided(NamedTuple):
    """What is due to a phrase, and what is not."""

    phrase: Array
    rest: Array


def decompose(config: ModelConfig, trace: Trace, readout: Readout, phrases: Array) -> Divided:
    """Divides a target into what a phrase contributes and the rest.

    Args:
        config: the classifier's.
        trace: of the texts.
        readout: of the target.
        phrases: [B, P, T], true for the words of each of the P phrases of a text.

    Returns:
        Both parts [B, P]; with the readout's bias they add up to the target.

    Raises:
        ValueError: for another cell than "lstm", or outputs that are multiplied.
    """
    for name, refused in (("cell", config.cell != "lstm"), ("merge", config.merge == "mul")):
        if refused:
            raise ValueError(
                "method must be another one than decomposition where"
                f" model.{name} is {getattr(config, name)}, got decomposition"
            )
    steps = [_steps(layer, trace.lengths) for layer in trace.layers]

    def of_text(text: tuple[Any, ...]) -> Array:
        steps, weights, vectors, phrases, length = text
        read, outputs = _of_vectors(vectors, phrases), []
        for layer, of_layer in zip(trace.layers, steps, strict=True):
            if outputs:
                read = _of_outputs(config.merge, outputs)
            outputs = [
                _divide(direction, of_direction, read, phrases, length)
                for direction, of_direction in zip(layer.directions, of_layer, strict=True)
            ]
        parts = zip(weights, outputs, strict=True)
        return jnp.sum(jnp.stack([jnp.einsum("th,tph->p", w, h) for w, h in parts]), axis=0)

    texts = (steps, readout.weights, trace.vectors, phrases, trace.lengths)
    phrase = jax.lax.map(of_text, texts)
    return Divided(phrase, (readout.value - readout.bias)[:, None] - phrase)


class _Steps(NamedTuple):
    """The steps of a direction, each [B, T, H], or [T, H] of one text.

    `z` are the preactivations of the gates [B, T, 4H] without their biases.
    """

    z: Array
    input: Array
    forget: Array
    candidate: Array
    output: Array
    cell_before: Array
    cell: Array


def _steps(layer: LayerTrace, lengths: Lengths) -> list[_Steps]:
    """The steps of each direction, with what a trace does not have."""

    def of_direction(direction: Direction) -> _Steps:
        params, reverse, (i, f, g, o, cell, hidden) = direction
        hidden, before = (states_before(each, lengths, reverse=reverse) for each in (hidden, cell))
        z = layer.inputs @ params.input_kernel + hidden @ params.recurrent_kernel
        return _Steps(z, i, f, g, o, before, cell)

    return [of_direction(each) for each in layer.directions]


class _Read(NamedTuple):
    """What a layer reads of the phrases of one text.

    Attributes:
        times: of an input kernel [D, 4H] a function that gives, at a step, their products [P, 4H].
        present: [T], the steps at which there may be something of a phrase.
    """

    times: Callable[[Array], Callable[[Array], Array]]
    present: Array


def _of_vectors(vectors: tuple[Array, ...], phrases: Array) -> _Read:
    """What the first layer reads: an n-gram belongs to a phrase as far as its words do."""
    inside, time = phrases.astype(vectors[0].dtype), phrases.shape[1]

    def share(size: int) -> Array:
        shifted = [jnp.pad(inside, ((0, 0), (back, 0)))[:, :time] for back in range(size)]
        return jnp.stack(shifted).mean(axis=0)

    shares = jnp.stack([share(size).T for size in range(1, len(vectors) + 1)], axis=1)  # [T, n, P]

    def times(kernel: Array) -> Callable[[Array], Array]:
        products = jnp.stack(vectors, axis=1) @ kernel  # [T, n, 4H], once for all phrases
        return lambda t: (shares[t, :, :, None] * products[t, :, None]).sum(axis=0)

    return _Read(times, (shares > 0).any((1, 2)))


def _of_outputs(merge: str, outputs: list[Array]) -> _Read:
    """What the next layer reads: outputs [T, P, H] of one direction or two, merged."""
    if merge == "concat":
        merged = jnp.concatenate(outputs, axis=-1)
    else:
        stacked = jnp.stack(outputs)
        merged = stacked.mean(axis=0) if merge == "mean" else stacked.sum(axis=0)
    return _Read(lambda kernel: lambda t: merged[t] @ kernel, (merged != 0).any((1, 2)))


def _divide(
    direction: Direction, steps: _Steps, read: _Read, phrases: Array, length: Array
) -> Array:
    """What of the hidden states of one text is due to each of its phrases, [T, P, H]."""
    params, reverse, _ = direction
    recurrent_kernel, bias = params.recurrent_kernel, params.bias
    assert bias is not None  # the standard cell has one
    products = read.times(params.input_kernel)
    inside = phrases.astype(steps.cell.dtype)
    alone = _activated(bias[None])

    def step(n: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        hidden, cell, outputs = state  # of the phrases alone, [P, H] each, and of all steps
        t = length - 1 - n if reverse else n
        now = jax.tree.map(lambda each: each[t][None], steps)
        z = products(t) + hidden @ recurrent_kernel
        whole = (now.input, now.forget, now.candidate)
        of_phrase, of_rest = _activated(z + bias), _activated(now.z - z + bias)
        i, f, g = (
            (with_phrase - biases + both - with_rest) / 2
            for with_phrase, biases, both, with_rest in zip(
                of_phrase, alone, whole, of_rest, strict=True
            )
        )
        i_bias, f_bias, g_bias = alone
        cell = (f + f_bias) * cell + i * (g + g_bias) + i_bias * g
        cell += inside[:, t, None] * i_bias * g_bias
        shown = (jnp.tanh(cell) + jnp.tanh(now.cell) - jnp.tanh(now.cell - cell)) / 2
        hidden = now.output * shown
        return hidden, cell, outputs.at[t].set(hidden)

    time = jnp.arange(phrases.shape[1], dtype=length.dtype)
    turn = length - 1 - time if reverse else time
    first = jnp.where(read.present & (time < length), turn, length).min(initial=length)
    zeros = jnp.zeros((len(phrases), steps.cell.shape[-1]), steps.cell.dtype)
    outputs = jnp.zeros((len(steps.cell), *zeros.shape), zeros.dtype)
    return jax.lax.fori_loop(first, length, step, (zeros, zeros, outputs))[-1]


def _activated(z: Array) -> tuple[Array, Array, Array]:
    """The input gate, the forget gate and the candidate, of preactivations [P, 4H]."""
    i, f, g, _ = jnp.split(z, 4, axis=-1)
    return jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g)
