"""What every source of texts gives: examples with labels, and a corpus made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# Stands in the place of the label of a text that has none.
UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled texts.

    Args:
        texts: one string for each example.
        labels: int32 `[N]`, each an index into the corpus's `class_names`.

    Raises:
        ValueError: if there are not as many labels as texts.
    """

    texts: list[str]
    labels: NDArray[np.int32]

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.texts),):
            raise ValueError(
                f"labels must have shape ({len(self.texts)},), one for each text, got"
                f" {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> Examples:
        """Picks examples by their row numbers, in the order given.

        Args:
            indices: row numbers in `[0, N)`.

        Returns:
            The examples picked.
        """
        rows = np.asarray(indices, np.int64)
        return Examples([self.texts[row] for row in rows], self.labels[rows])


@dataclass(frozen=True, eq=False)
class Corpus:
    """Everything that a source has to give.

    Args:
        name: what was loaded: "imdb", "builtin" or the file's path.
        train: the examples to learn from (a validation part is split off by the caller).
        test: the examples for the final measurement, or None where the source has none.
        class_names: the name of each label.
        unlabelled: texts without labels, if asked for.
        taught: float32 `[len(unlabelled), classes]`, the probabilities of the classes of each of
            those texts that a teacher gave, to be learnt in the place of labels; or None.
        notice: what the user must be told before anything else, or None.
        warnings: what looks like a mistake in the data and can be trained on all the same, a line
            each; training shows them.
    """

    name: str
    train: Examples
    test: Examples | None
    class_names: tuple[str, ...]
    unlabelled: list[str] = field(default_factory=list)
    taught: NDArray[np.float32] | None = None
    notice: str | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = (len(self.unlabelled), len(self.class_names))
        if self.taught is not None and self.taught.shape != wanted:
            raise ValueError(
                f"taught must have shape {wanted}, a row for each text without a label, got"
                f" {self.taught.shape}"
            )


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


def checked_labels(
    labels: Sequence[int] | NDArray[np.integer], count: int, least: int = 0
) -> NDArray[np.int32]:
    """Makes class numbers an int32 array, and says what is wrong with them where that fails.

    Args:
        labels: `[N]`, class numbers; >= `least`.
        count: the N that is needed.
        least: 0, or UNLABELLED where texts without labels are allowed.

    Returns:
        int32 `[N]`.

    Raises:
        ValueError: if the labels are not N whole numbers that are >= `least`.
    """
    array = np.asarray(labels)
    if array.shape != (count,):
        raise ValueError(f"labels must have shape ({count},), got {array.shape}")
    if count and array.dtype.kind not in "iu":
        raise ValueError(f"labels must be whole numbers, got {array.dtype}")
    if count and (array.min() < least or array.max() > np.iinfo(np.int32).max):
        raise ValueError(f"labels must be at least {least}, got {array.min()} to {array.max()}")
    return array.astype(np.int32)
