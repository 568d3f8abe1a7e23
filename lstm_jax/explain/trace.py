"""Everything that happens in a classifier while it reads: every gate and state of every step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import LSTMGates, LSTMParams, LSTMState, update_cell
from lstm_jax.lstm import lstm, recompute_gates
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.nn.layer import MERGES, REVERSED
from lstm_jax.recurrence import scan_cell, valid_steps, where_valid
from lstm_jax.shapes import Encodings, Inputs, Lengths, Params, Tokens
from lstm_jax.variants import VARIANTS, Variant, VariantParams


class Steps(NamedTuple):
    """The steps of one direction of one layer, each [B, T, H], zero past each length.

    Gates are in (0, 1), the candidate is in (-1, 1); `cell` and `hidden` are the states after the
    step. A sum over what was written, f ∘ (the cell state before) + i ∘ g, is the cell state.
    """

    input: Encodings
    forget: Encodings
    candidate: Encodings
    output: Encodings
    cell: Encodings
    hidden: Encodings


class Direction(NamedTuple):
    """One direction of a layer: its weights, which way it reads, and its steps."""

    params: VariantParams
    reverse: bool
    steps: Steps


class LayerTrace(NamedTuple):
    """One layer: what it read [B, T, D], its directions, and their merged outputs in parts."""

    inputs: Inputs
    directions: tuple[Direction, ...]
    parts: tuple[Encodings, ...]


class Trace(NamedTuple):
    """A classifier that has read a batch of texts.

    Attributes:
        vectors: what each step of the first layer reads, in parts [B, T, E] that add up to it: the
            vectors of the tokens, those of the n-grams of two tokens that end there, of three, ...
        layers: from the first to the last.
        lengths: [B].
    """

    vectors: tuple[Encodings, ...]
    layers: tuple[LayerTrace, ...]
    lengths: Lengths


def trace_classifier(
    model: TextClassifier, params: Params, tokens: Tokens, lengths: Lengths
) -> Trace:
    """Runs a classifier's embedding and LSTMs, and keeps all there is to see.

    The LSTMs are run by the fast implementation and their gates computed afterwards, in one
    product, since the hidden states are known; other cells run by `scan_cell`. Products are not
    rounded to bfloat16, whatever the model's precision.

    Args:
        model, params: the classifier.
        tokens: ids [B, T].
        lengths: valid tokens [B].

    Returns:
        The trace.
    """
    vectors = word_vectors(model, params, tokens)
    return trace_from_vectors(model, params, vectors, lengths)


def trace_from_vectors(
    model: TextClassifier, params: Params, vectors: Sequence[Encodings], lengths: Lengths
) -> Trace:
    """`trace_classifier` of vectors in the place of tokens.

    Args:
        model, params: the classifier.
        vectors: parts [B, T, E], as `Trace.vectors`.
        lengths: [B].
    """
    config = model.config
    inputs: Array = sum(vectors[1:], start=vectors[0])
    layers = []
    for number in range(config.layers):
        weights = params["stack"][f"layer_{number}"]
        directions = []
        for reverse in REVERSED[config.direction]:
            of_direction = weights["backward" if reverse else "forward"]
            steps = lstm_steps(config.cell, of_direction, inputs, lengths, reverse=reverse)
            directions.append(Direction(as_variant(config.cell, of_direction), reverse, steps))
        hidden = tuple(each.steps.hidden for each in directions)
        merged = hidden
        if len(hidden) == 2 and config.merge != "concat":
            merged = (MERGES[config.merge](*hidden),)
        layers.append(LayerTrace(inputs, tuple(directions), merged))
        inputs = jnp.concatenate(merged, axis=-1)
    return Trace(tuple(vectors), tuple(layers), lengths)


def word_vectors(model: TextClassifier, params: Params, tokens: Tokens) -> tuple[Encodings, ...]:
    """The vectors that add up to what the first LSTM reads, as `Trace.vectors` has them."""
    tables = params["embedding"]
    vectors = [jnp.take(tables["table"], tokens, axis=0, mode="clip")]
    if model.ngrams is not None:
        for length, ids in enumerate(model.ngrams.ids(tokens, jnp), 2):
            table = tables[f"ngrams_of_{length}"]
            vectors.append(jnp.take(table, ids, axis=0, mode="fill", fill_value=0))
    return tuple(vectors)


def lstm_steps(
    cell: str, params: Any, inputs: Inputs, lengths: Lengths, *, reverse: bool = False
) -> Steps:
    """Every gate and state of one direction.

    Args:
        cell: a name in `lstm_jax.variants.VARIANTS`.
        params: its weights.
        inputs: [B, T, D].
        lengths: valid steps [B].
        reverse: whether it reads the valid steps last to first; everything stays at the position
            of the step.

    Returns:
        The steps.
    """
    if cell != "lstm":
        return _steps_of_variant(VARIANTS[cell], as_variant(cell, params), inputs, lengths, reverse)
    weights = LSTMParams(**params) if isinstance(params, dict) else LSTMParams(*params[:3])
    hidden, _ = lstm(weights, inputs, lengths=lengths, reverse=reverse)
    gates = recompute_gates(weights, inputs, hidden, lengths=lengths, reverse=reverse)
    return Steps(*gates, cell_states(gates, lengths, reverse=reverse), hidden)


def cell_states(gates: LSTMGates, lengths: Lengths, *, reverse: bool = False) -> Encodings:
    """The cell state after each step [B, T, H], from the gates: c_t = f ∘ c_{t-1} + i ∘ g.

    Args:
        gates: of every step, each [B, T, H].
        lengths: valid steps [B].
        reverse: as for `lstm_jax.lstm`.
    """
    if gates.input.shape[1] == 0:
        return gates.input
    valid = valid_steps(lengths, gates.input.shape[1])

    def step(cell: Array, at: tuple[Array, ...]) -> tuple[Array, Array]:
        valid, input, forget, candidate = at
        new = update_cell(cell, input=input, forget=forget, candidate=candidate)
        return where_valid(valid, new, cell), where_valid(valid, new, jnp.zeros_like(new))

    by_time = [
        jnp.swapaxes(each, 0, 1) for each in (valid, gates.input, gates.forget, gates.candidate)
    ]
    start = jnp.zeros_like(gates.input[:, 0])
    _, cells = jax.lax.scan(step, start, tuple(by_time), reverse=reverse)
    return jnp.swapaxes(cells, 0, 1)


def states_before(states: Encodings, lengths: Lengths, *, reverse: bool = False) -> Encodings:
    """The state before each step: that of its neighbour, zeros before the first.

    Args:
        states: after each step [B, T, H].
        lengths: valid steps [B].
        reverse: as for `lstm_jax.lstm`.
    """
    time = jnp.arange(states.shape[1])[None, :, None]
    first = time == (lengths[:, None, None] - 1 if reverse else 0)
    return jnp.where(first, 0, jnp.roll(states, -1 if reverse else 1, axis=1))


def as_variant(cell: str, params: Any) -> VariantParams:
    """The weights of any named cell in one form."""
    if isinstance(params, VariantParams):
        return params
    return VariantParams(**params) if isinstance(params, dict) else VariantParams(*params)


def _steps_of_variant(
    cell: Variant, params: VariantParams, inputs: Inputs, lengths: Lengths, reverse: bool
) -> Steps:
    def recorded(params: VariantParams, state: LSTMState, inputs: Array) -> tuple[LSTMState, Array]:
        gates, state = cell.step(params, state, inputs)
        return state, jnp.concatenate([*gates, state.cell, state.hidden], axis=-1)

    start = cell.initial_state(params, len(inputs))
    together, _ = scan_cell(recorded, params, inputs, start, lengths=lengths, reverse=reverse)
    return Steps(*jnp.split(together, len(Steps._fields), axis=-1))
