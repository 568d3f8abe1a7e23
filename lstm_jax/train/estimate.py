"""How long a training takes on a CPU, and how much memory: about, before it begins."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_jax.data import bucket_edges
from lstm_jax.train.config import Config


@dataclass(frozen=True)
class Estimate:
    """About what a training takes.

    Attributes:
        seconds: from start to end, with compiling and the test.
        bytes: of memory.
    """

    seconds: float
    bytes: float


@dataclass(frozen=True)
class Sizes:
    """What the time depends on beside the settings.

    Attributes:
        examples, tested: training and test examples.
        lengths: tokens of some of them, each at most `text.max_length`.
        vocabulary: token ids.
        characters: of all texts that are read.
    """

    examples: int
    tested: int
    lengths: Sequence[int]
    vocabulary: int
    characters: int


# Fitted to the records of the presets on IMDB, on 2 cores of an AMD EPYC with AVX-512 and nothing
# beside them: operations of the LSTM's products a second and core; seconds of Adam for a parameter
# and step; seconds of compiling for a width of rows; bytes of Python, JAX and what was compiled.
_SPEED = 75e9
_ADAM = 4e-9
_COMPILING = 2.0
_PROGRAM = 900e6


def estimate(config: Config, sizes: Sizes, cores: int | None = None) -> Estimate:
    """Estimates time and memory of `train` on a CPU.

    The products of the LSTMs decide the time of large models: 3 passes (forward, and two backward)
    of 2 · 4H(D + H) operations for each token and direction. Adam over all parameters decides that
    of small ones with large vocabularies. Other programs on the machine, and a processor without
    AVX-512, make it longer.

    Args:
        config: the run's settings.
        sizes: of the data.
        cores: of the processor; by default those that this process may use.

    Returns:
        The estimate.
    """
    model, train = config.model, config.train
    directions = 2 if model.direction == "bidirectional" else 1
    width, products = model.embedding_size, 0
    for _ in range(model.layers):
        products += directions * 4 * model.hidden_size * (width + model.hidden_size)
        width = model.hidden_size * (directions if model.merge == "concat" else 1)
    parameters = (sizes.vocabulary + sum(config.text.ngrams)) * model.embedding_size + products
    if config.text.pad == "front":
        padded, edges = np.full(1, config.text.max_length), (config.text.max_length,)
    else:
        edges = bucket_edges(sizes.lengths, train.buckets)
        padded = np.array(edges)[np.searchsorted(edges, sizes.lengths)]
    passes = 3 * (2 if train.adversarial > 0 else 1) + train.validation_fraction
    rows = train.epochs * passes * sizes.examples + sizes.tested
    work = rows * float(padded.mean()) * products * 2 / (_SPEED * (cores or _cores()))
    steps = -(-sizes.examples // train.batch_size) + len(edges)
    adam = train.epochs * steps * parameters * _ADAM
    # Weights, gradient, Adam's two moments, the update; the average and the best weights.
    copies = 5 + (train.ema_decay > 0) + (train.validation_fraction > 0)
    # Of each token and layer: inputs, gates, cell states and outputs, and their gradients.
    kept = directions * model.layers * 12 * model.hidden_size + 2 * model.embedding_size
    memory = 4 * (
        parameters * copies
        + train.batch_size * max(edges) * kept
        + sizes.examples * float(np.mean(sizes.lengths)) * 2
    )
    return Estimate(_COMPILING * len(edges) + work + adam, _PROGRAM + memory + 4 * sizes.characters)


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
