"""Examples as numbers: token ids with labels, weights and soft labels, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_jax.data.corpus import UNLABELLED, checked_labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """N examples.

    Args:
        ids: the token ids of each, `[length]`.
        labels: int32 `[N]`, a class number >= 0, or UNLABELLED; by default all are unlabelled.
        weights: float32 `[N]`, how much each counts in the loss, above 0; by default 1.
        soft_labels: float32 `[N, C]`, class probabilities to learn in the place of a label where
            there is none (of two classes C = 1, the probability of class 1); None if no example has
            any. The rows of labelled examples do not count.

    Raises:
        ValueError: if an argument is not as described.
    """

    ids: Sequence[NDArray[np.integer]]
    labels: NDArray[np.int32] = None  # pyright: ignore[reportAssignmentType]
    weights: NDArray[np.float32] = None  # pyright: ignore[reportAssignmentType]
    soft_labels: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        count = len(self.ids)
        labels = np.full(count, UNLABELLED) if self.labels is None else self.labels
        weights = np.ones(count) if self.weights is None else np.asarray(self.weights)
        soft = None if self.soft_labels is None else np.asarray(self.soft_labels, np.float32)
        if weights.shape != (count,) or not ((weights > 0) & np.isfinite(weights)).all():
            raise ValueError(
                f"weights must be a finite number above 0 for each of {count} examples, got shape"
                f" {weights.shape}"
            )
        if soft is not None and (soft.ndim != 2 or len(soft) != count):
            raise ValueError(
                f"soft_labels must be a row for each of {count} examples, got shape {soft.shape}"
            )
        checked = [_checked_ids(number, ids) for number, ids in enumerate(self.ids)]
        object.__setattr__(self, "ids", checked)
        object.__setattr__(self, "labels", checked_labels(labels, count, UNLABELLED))
        object.__setattr__(self, "weights", weights.astype(np.float32))
        object.__setattr__(self, "soft_labels", soft)

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: Dataset) -> Dataset:
        """The examples of this one, then those of the other.

        Raises:
            ValueError: if both have soft labels, of different numbers of classes.
        """
        soft = None
        given = [part.soft_labels for part in (self, other) if part.soft_labels is not None]
        if len({array.shape[1] for array in given}) > 1:
            raise ValueError(
                "soft_labels of both must have as many columns, got"
                f" {given[0].shape[1]} and {given[1].shape[1]}"
            )
        if given:
            none = [np.zeros((len(part), given[0].shape[1]), np.float32) for part in (self, other)]
            pairs = zip((self, other), none, strict=True)
            soft = np.concatenate(
                [zeros if part.soft_labels is None else part.soft_labels for part, zeros in pairs]
            )
        return Dataset(
            [*self.ids, *other.ids],
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.weights, other.weights]),
            soft,
        )


def _checked_ids(number: int, sequence: NDArray[np.integer]) -> NDArray[np.integer]:
    """The ids of an example, checked to be a row of whole numbers."""
    ids = np.asarray(sequence)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(
            f"ids[{number}] must be whole numbers of shape (length,), got {ids.dtype} of"
            f" shape {ids.shape}"
        )
    return ids
