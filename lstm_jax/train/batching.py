"""Batches as a configuration describes them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lstm_jax.text import BatchIterator, BatchSource, evaluation_batches, training_batches
from lstm_jax.train.config import Config

Ids = Sequence[NDArray[np.integer]]


def batches_to_train(
    config: Config,
    sequences: Ids,
    labels: NDArray[np.integer],
    *,
    devices: int = 1,
    weights: NDArray[np.floating] | None = None,
    taught: NDArray[np.floating] | None = None,
) -> BatchIterator:
    """Batches without end, in a new random order each epoch; see `lstm_jax.text`."""
    return training_batches(
        sequences,
        labels,
        batch_size=config.train.batch_size,
        padding=config.text.padding,
        buckets=config.train.buckets,
        seed=config.seed,
        row_multiple=devices,
        weights=weights,
        taught=taught,
    )


def batches_to_measure(
    config: Config, sequences: Ids, labels: NDArray[np.integer] | None, *, devices: int = 1
) -> BatchSource:
    """Each sequence once; twice as many at a time, without a backward pass to keep room for."""
    return evaluation_batches(
        sequences,
        labels,
        batch_size=2 * config.train.batch_size,
        padding=config.text.padding,
        buckets=config.train.buckets,
        row_multiple=devices,
    )
