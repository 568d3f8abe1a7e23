"""Setting a part of the training examples aside for validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lstm_jax.data.corpus import checked_labels


def split_validation(
    labels: Sequence[int] | NDArray[np.integer], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sets a part of the examples aside: the same share of each class, one example at least.

    Of a class with two examples or more, `round(fraction * count)` are set aside, but one at least
    and never all; a class with one example stays in training. With many small classes the part is
    larger than `fraction` of all.

    Args:
        labels: `[N]`, one class number for each example; >= 0.
        fraction: the share to set aside, in (0, 1).
        seed: which part; >= 0.

    Returns:
        The row numbers for training and those for validation, each ascending: together 0 to N-1.

    Raises:
        ValueError: if an argument is not as described, or no class has two examples.
    """
    labels = checked_labels(labels, len(labels))
    if not 0 < fraction < 1:
        raise ValueError(f"validation_fraction must be above 0 and below 1, got {fraction}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    generator = np.random.Generator(np.random.PCG64(seed))
    aside = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        count = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
        aside[rows[:count]] = True
    if not aside.any():
        raise ValueError(
            "a validation part needs a class with at least 2 examples, one to train on and one to"
            f" set aside, got {len(labels)} examples of {len(np.unique(labels))} classes;"
            " --train.validation-fraction 0 trains without one"
        )
    return np.flatnonzero(~aside), np.flatnonzero(aside)
