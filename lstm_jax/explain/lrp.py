"""Layer-wise relevance propagation: the target is passed back from outputs to inputs, conserved.

A linear map z_j = Σ_i a_i w_ij + b_j passes the relevance R_j of its outputs on to its N inputs as

    R_i = Σ_j (a_i w_ij + (ε sign(z_j) + b_j) / N) / (z_j + ε sign(z_j)) · R_j

so that nothing is lost. Of a product of a gate with a signal the signal gets all, since the gate
only says how much of it passes. So relevance goes from the hidden to the cell state, from there to
the cell state before and to the candidate, and from the candidate to the word and to the hidden
state before.

Source: Arras, Montavon, Müller & Samek (2017), "Explaining Recurrent Neural Network Predictions in
    Sentiment Analysis", section 3, with their bias_factor δ = 1; Arras et al. (2019), for the rule
    of products ("LRP-all").
"""

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.explain.readout import Readout
from lstm_jax.explain.trace import Direction, LayerTrace, Trace, states_before
from lstm_jax.models.config import ModelConfig
from lstm_jax.recurrence import valid_steps
from lstm_jax.shapes import Encodings, Inputs, Lengths
from lstm_jax.variants import VARIANTS

EPSILON = 1e-3


def propagate(
    config: ModelConfig, trace: Trace, readout: Readout, *, epsilon: float = EPSILON
) -> tuple[Inputs, Array]:
    """The relevance of what the first layer reads.

    Args:
        config: the classifier's.
        trace: of the texts.
        readout: of the target.
        epsilon: ε, above 0; keeps small sums from dividing.

    Returns:
        The relevance of each number that is read [B, T, E], and that of the initial states [B],
        whose zeros get their share of the biases. Together they are the target, the readout's bias
        included.

    Raises:
        ValueError: if the cell normalises its sums, for which there is no such rule.
    """
    if VARIANTS[config.cell].normalise:
        raise ValueError(f"method must be another one than lrp for cell {config.cell!r}, got lrp")
    last = trace.layers[-1]
    hidden = [each.steps.hidden for each in last.directions]
    valid = valid_steps(trace.lengths, hidden[0].shape[1])[..., None]
    count = valid.sum((1, 2)) * sum(each.shape[-1] for each in hidden)
    share = (readout.bias / jnp.maximum(count, 1))[:, None, None] * valid
    relevance = tuple(w * h + share for w, h in zip(readout.weights, hidden, strict=True))
    lost = jnp.where(trace.lengths == 0, readout.bias, 0)
    for number in reversed(range(len(trace.layers))):
        layer = trace.layers[number]
        of_inputs, of_start = _through_layer(config.cell, layer, relevance, trace.lengths, epsilon)
        lost += of_start
        if number == 0:
            return of_inputs, lost
        relevance = _through_merge(config.merge, trace.layers[number - 1], of_inputs, epsilon)
    raise AssertionError("a trace has a layer at least")


def _through_layer(
    cell: str,
    layer: LayerTrace,
    relevance: tuple[Encodings, ...],
    lengths: Lengths,
    epsilon: float,
) -> tuple[Inputs, Array]:
    found = [
        _through_direction(cell, direction, layer.inputs, each, lengths, epsilon)
        for direction, each in zip(layer.directions, relevance, strict=True)
    ]
    inputs, start = (sum(parts) for parts in zip(*found, strict=True))
    return inputs, start  # pyright: ignore[reportReturnType]


def _through_direction(
    cell: str,
    direction: Direction,
    inputs: Inputs,
    relevance: Encodings,
    lengths: Lengths,
    epsilon: float,
) -> tuple[Inputs, Array]:
    """From the hidden states of one direction to its inputs [B, T, D], and to its start [B]."""
    params, reverse, steps = direction
    place = VARIANTS[cell].gates.index("candidate")
    features, hidden_size = params.input_kernel.shape[0], steps.cell.shape[-1]
    columns = slice(place * hidden_size, (place + 1) * hidden_size)
    from_inputs, from_hidden = params.input_kernel[:, columns], params.recurrent_kernel[:, columns]
    bias = jnp.zeros(hidden_size) if params.bias is None else params.bias[columns]
    count = features + hidden_size

    cell_before, hidden_before = (
        states_before(each, lengths, reverse=reverse) for each in (steps.cell, steps.hidden)
    )

    def step(
        carry: tuple[Array, Array], at: tuple[Array, ...]
    ) -> tuple[tuple[Array, Array], Array]:
        of_hidden, of_cell = carry
        relevance, forget, cell, cell_before, x, h, valid = at
        of_cell_now = of_cell + of_hidden + relevance
        sign = jnp.where(cell >= 0, epsilon, -epsilon)
        kept = (forget * cell_before + sign / 2) / (cell + sign)
        z = x @ from_inputs + h @ from_hidden + bias[None]
        sign = jnp.where(z >= 0, epsilon, -epsilon)
        scaled = (1 - kept) * of_cell_now / (z + sign)
        shared = (scaled * (sign + bias[None])).sum(-1, keepdims=True) / count
        of_x = x * (scaled @ from_inputs.T) + shared
        of_h = h * (scaled @ from_hidden.T) + shared
        carried = (
            jnp.where(valid, of_h, of_hidden),
            jnp.where(valid, kept * of_cell_now, of_cell),
        )
        return carried, jnp.where(valid, of_x, 0)

    valid = valid_steps(lengths, inputs.shape[1])[..., None]
    by_time = (
        *(relevance, steps.forget, steps.cell, cell_before),
        *(inputs, hidden_before, valid),
    )
    zeros = jnp.zeros_like(steps.cell.sum(axis=1))
    start, of_inputs = jax.lax.scan(
        step,
        (zeros, zeros),
        tuple(jnp.swapaxes(each, 0, 1) for each in by_time),
        reverse=not reverse,
    )
    return jnp.swapaxes(of_inputs, 0, 1), sum(start).sum(axis=-1)  # pyright: ignore


def _through_merge(
    merge: str, layer: LayerTrace, relevance: Encodings, epsilon: float
) -> tuple[Encodings, ...]:
    """The relevance of a layer's merged outputs, as that of its directions."""
    directions = [each.steps.hidden for each in layer.directions]
    if len(directions) == 1:
        return (relevance,)
    if merge == "concat":
        return tuple(jnp.split(relevance, 2, axis=-1))
    if merge == "mul":  # both are signals, and neither says how much of the other passes
        return relevance / 2, relevance / 2
    forward, backward = directions
    total = forward + backward
    sign = jnp.where(total >= 0, epsilon, -epsilon)
    share = (forward + sign / 2) / (total + sign)
    return relevance * share, relevance * (1 - share)
