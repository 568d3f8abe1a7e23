"""Sequences of unequal lengths as batches of a few shapes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_jax.data import bucket_edges
from lstm_jax.data.buckets import few_widths, power_of_two


class SequenceBatch(NamedTuple):
    """Rows of equal width; padding rows, which only fill the batch up, have weight 0.

    Attributes:
        inputs: float32 [B, T, F], zero in the padding.
        lengths: int32 [B].
        targets: [B, ...].
        weights: float32 [B].
        rows: int64 [B], the number of the sequence, -1 for padding rows.
    """

    inputs: NDArray[np.float32]
    lengths: NDArray[np.int32]
    targets: NDArray[np.generic]
    weights: NDArray[np.float32]
    rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Examples:
    """Sequences of features [T_n, F], and what is to be learnt of each, [N, ...].

    Of sequences in one array [N, T, F] no batch is wider than T.
    """

    sequences: Sequence[NDArray[np.float32]] | NDArray[np.float32]
    targets: NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.sequences)

    def take(self, rows: NDArray[np.integer]) -> "Examples":
        """Some of them."""
        if isinstance(self.sequences, np.ndarray):
            return Examples(self.sequences[rows], self.targets[rows])
        return Examples([self.sequences[row] for row in rows], self.targets[rows])


def batches(
    examples: Examples, size: int, rng: np.random.Generator | None = None, buckets: int = 4
) -> Iterator[SequenceBatch]:
    """Goes over the examples once.

    Args:
        examples: at least one.
        size: rows of a batch.
        rng: draws an order; None for the order of lengths.
        buckets: widths that sequences are padded to, at most.

    Yields:
        Batches of `size` rows, as wide as their bucket.
    """
    lengths = np.array([len(each) for each in examples.sequences], np.int32)
    if isinstance(examples.sequences, np.ndarray):
        edges = (examples.sequences.shape[1],)
    else:
        edges = bucket_edges(lengths, buckets) if rng is not None else _fixed_edges(lengths)
    bucket_of = np.searchsorted(edges, lengths)
    plan: list[tuple[int, NDArray[np.int64]]] = []
    for number, width in enumerate(edges):
        rows = np.flatnonzero(bucket_of == number)
        if rng is not None:
            rows = rng.permutation(rows)
        plan += [(width, rows[start : start + size]) for start in range(0, len(rows), size)]
    for place in range(len(plan)) if rng is None else rng.permutation(len(plan)):
        width, rows = plan[place]
        yield _filled(examples, rows, size, width)


def prediction_size(count: int) -> int:
    """Rows of a batch where so many sequences are to be predicted: few shapes, little padding."""
    return min(power_of_two(count), 128)


def _fixed_edges(lengths: NDArray[np.int32]) -> tuple[int, ...]:
    """A few widths that are the same whatever comes, so that programs are compiled once."""
    longest = int(lengths.max())
    below = list(takewhile(lambda width: width < longest, few_widths()))
    return (*below, next(width for width in few_widths() if width >= longest))


def _filled(examples: Examples, rows: NDArray[np.int64], size: int, width: int) -> SequenceBatch:
    inputs = np.zeros((size, width, examples.sequences[0].shape[1]), np.float32)
    lengths, weights = np.zeros(size, np.int32), np.zeros(size, np.float32)
    targets = np.zeros((size, *examples.targets.shape[1:]), examples.targets.dtype)
    numbers = np.full(size, -1)
    for place, row in enumerate(rows):
        sequence = examples.sequences[row]
        inputs[place, : len(sequence)], lengths[place] = sequence, len(sequence)
    targets[: len(rows)], numbers[: len(rows)], weights[: len(rows)] = (
        examples.targets[rows],
        rows,
        1,
    )
    return SequenceBatch(inputs, lengths, targets, weights, numbers)
