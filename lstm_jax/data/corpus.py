"""What every source of texts gives: examples with labels, and a corpus made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lstm_jax.data.stored import taken

# Stands in the place of the label of a text that has none.
UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled texts.

    Args:
        texts: one string for each example; a list, or `StoredTexts`.
        labels: int32 `[N]`, each an index into the corpus's `class_names`.
        weights: `[N]`, how much each counts in training, above 0; by default 1.

    Raises:
        ValueError: if there are not as many labels, or weights, as texts.
    """

    texts: Sequence[str]
    labels: NDArray[np.int32]
    weights: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.texts),):
            raise ValueError(
                f"labels must have shape ({len(self.texts)},), one for each text, got"
                f" {self.labels.shape}"
            )
        if self.weights is not None and self.weights.shape != self.labels.shape:
            raise ValueError(
                f"weights must have shape {self.labels.shape}, got {self.weights.shape}"
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
        weights = None if self.weights is None else self.weights[rows]
        return Examples(taken(self.texts, rows), self.labels[rows], weights)


@dataclass(frozen=True, eq=False)
class Corpus:
    """Everything that a source has to give.

    Args:
        name: what was loaded: "imdb", "builtin" or the file's path.
        train: the examples to learn from (a validation part is split off by the caller).
        test: the examples for the final measurement, or None where the source has none.
        class_names: the name of each label.
        unlabelled: texts without labels, if asked for.
        warnings: what looks like a mistake in the data and can be trained on all the same, a line
            each; training shows them.
        notes: what was found out about the files, a line each; training says them first.
    """

    name: str
    train: Examples
    test: Examples | None
    class_names: tuple[str, ...]
    unlabelled: Sequence[str] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


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
