"""Contextual decomposition: what a phrase alone contributes, and what everything else does.

Every state is a sum of two parts, h = β + γ: β is due to the phrase, γ is not. A nonlinearity of a
sum is divided by L(·), the mean over both orders in which its terms can be added, and products of
gates and candidates are multiplied out: what only the phrase and the biases take part in is β.
So "not good" gets a score of its own beside those of "not" and of "good", and the two parts add up
to the target.

Source: Murdoch, Liu & Yu (2018), "Beyond Word Importance: Contextual Decomposition to Extract
    Interactions from LSTMs", section 3; the division of three terms is that of their code.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.explain.readout import Readout
from lstm_jax.explain.trace import Direction, Trace
from lstm_jax.models.config import ModelConfig
from lstm_jax.recurrence import scan_cell
from lstm_jax.shapes import Encodings, Lengths


class Divided(NamedTuple):
    """What is due to the phrase, and what is not."""

    phrase: Array
    rest: Array


def decompose(config: ModelConfig, trace: Trace, readout: Readout, phrase: Array) -> Divided:
    """Divides a target into what a phrase contributes and the rest.

    Args:
        config: the classifier's.
        trace: of the texts.
        readout: of the target.
        phrase: [B, T], true for its words.

    Returns:
        Both parts [B]; with the readout's bias they add up to the target.

    Raises:
        ValueError: for another cell than "lstm", or outputs that are multiplied.
    """
    for name, refused in (("cell", config.cell != "lstm"), ("merge", config.merge == "mul")):
        if refused:
            raise ValueError(
                "method must be another one than decomposition where"
                f" model.{name} is {getattr(config, name)}, got decomposition"
            )
    inputs = _divided_vectors(trace.vectors, phrase)
    outputs: list[Divided] = []
    for layer in trace.layers:
        outputs = [
            _divide_direction(direction, inputs, phrase, trace.lengths)
            for direction in layer.directions
        ]
        inputs = _merged(config.merge, outputs)
    parts = [
        sum(
            jnp.einsum("bth,bth->b", weights, getattr(each, name))
            for weights, each in zip(readout.weights, outputs, strict=True)
        )
        for name in Divided._fields
    ]
    return Divided(*parts)  # pyright: ignore[reportArgumentType]


def _divided_vectors(vectors: tuple[Encodings, ...], phrase: Array) -> Divided:
    """What the first layer reads: an n-gram belongs to a phrase as far as its words do."""
    inside = phrase.astype(vectors[0].dtype)
    of_phrase = jnp.zeros_like(vectors[0])
    for size, part in enumerate(vectors, 1):
        shifted = [
            jnp.pad(inside, ((0, 0), (back, 0)))[:, : inside.shape[1]] for back in range(size)
        ]
        share = sum(shifted) / size
        of_phrase += part * share[..., None]  # pyright: ignore[reportIndexIssue]
    total: Array = sum(vectors[1:], start=vectors[0])
    return Divided(of_phrase, total - of_phrase)


def _divide_direction(
    direction: Direction, inputs: Divided, phrase: Array, lengths: Lengths
) -> Divided:
    """The hidden states of one direction in two parts, [B, T, H] each."""
    params, reverse, _ = direction
    hidden_size = params.recurrent_kernel.shape[0]
    bias = jnp.split(params.bias, 4)  # pyright: ignore[reportArgumentType]

    def cell(params: Any, state: tuple[Array, ...], together: Array) -> tuple[Any, Array]:
        cell_phrase, cell_rest, hidden_phrase, hidden_rest = state
        x_phrase, x_rest, inside = (
            together[:, :width],
            together[:, width : 2 * width],
            together[:, 2 * width :],
        )
        z_phrase = x_phrase @ params.input_kernel + hidden_phrase @ params.recurrent_kernel
        z_rest = x_rest @ params.input_kernel + hidden_rest @ params.recurrent_kernel
        of_phrase, of_rest = jnp.split(z_phrase, 4, axis=-1), jnp.split(z_rest, 4, axis=-1)
        i, f, g = (
            _divide_three(of_phrase[n], of_rest[n], bias[n][None], activation)
            for n, activation in enumerate((jax.nn.sigmoid, jax.nn.sigmoid, jnp.tanh))
        )
        both = i.bias * g.bias
        new_phrase = i.phrase * (g.phrase + g.bias) + i.bias * g.phrase + inside * both
        new_rest = i.rest * (g.phrase + g.rest + g.bias) + (i.phrase + i.bias) * g.rest
        new_rest += (1 - inside) * both
        new_phrase += (f.phrase + f.bias) * cell_phrase
        new_rest += (f.phrase + f.rest + f.bias) * cell_rest + f.rest * cell_phrase
        output = jax.nn.sigmoid(of_phrase[3] + of_rest[3] + bias[3][None])
        shown = _divide_two(new_phrase, new_rest)
        hidden = Divided(output * shown.phrase, output * shown.rest)
        return (new_phrase, new_rest, *hidden), jnp.concatenate(hidden, axis=-1)

    width = inputs.phrase.shape[-1]
    inside = phrase[..., None].astype(inputs.phrase.dtype)
    together = jnp.concatenate([*inputs, inside], axis=-1)
    zeros = jnp.zeros((len(phrase), hidden_size), inputs.phrase.dtype)
    outputs, _ = scan_cell(cell, params, together, (zeros,) * 4, lengths=lengths, reverse=reverse)
    return Divided(*jnp.split(outputs, 2, axis=-1))


class _Three(NamedTuple):
    phrase: Array
    rest: Array
    bias: Array


def _divide_three(phrase: Array, rest: Array, bias: Array, activation: Any) -> _Three:
    """An activation of three terms: the phrase and the rest in both orders, the bias first."""
    whole, alone = activation(phrase + rest + bias), activation(bias)
    with_phrase, with_rest = activation(phrase + bias), activation(rest + bias)
    return _Three(
        (with_phrase - alone + whole - with_rest) / 2,
        (with_rest - alone + whole - with_phrase) / 2,
        alone,
    )


def _divide_two(phrase: Array, rest: Array) -> Divided:
    """tanh of two terms, the mean over both orders."""
    whole, with_phrase, with_rest = jnp.tanh(phrase + rest), jnp.tanh(phrase), jnp.tanh(rest)
    return Divided((with_phrase + whole - with_rest) / 2, (with_rest + whole - with_phrase) / 2)


def _merged(merge: str, outputs: list[Divided]) -> Divided:
    if len(outputs) == 1:
        return outputs[0]
    forward, backward = outputs
    if merge == "concat":
        return Divided(*(jnp.concatenate(pair, -1) for pair in zip(forward, backward, strict=True)))
    scale = 0.5 if merge == "mean" else 1.0
    return Divided(*(scale * (a + b) for a, b in zip(forward, backward, strict=True)))
