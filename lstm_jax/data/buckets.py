"""How sequences of many lengths become rows of a few: cutting, and the widths of the buckets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Cut = Literal["front", "back", "middle"]
Side = Literal["front", "back"]


@dataclass(frozen=True)
class Padding:
    """How a sequence of ids becomes a row.

    Args:
        max_length: the most steps a row may have; >= 1.
        truncate: where a longer sequence is cut. "front" keeps the end (Keras's "pre"), "back"
            keeps the beginning, "middle" keeps a quarter of the row from the beginning and the rest
            from the end.
        pad: where the padding goes. "back": each row comes with its true length, and is as wide as
            its bucket. "front" (Keras's "pre"): every row is `max_length` wide and the model runs
            over the zeros in front, so every length is `max_length` and there is one bucket.

    Raises:
        ValueError: if an argument is not as described.

    Source: Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?", section 5.3.1: the
        first 128 and the last 382 of 510 tokens did best on IMDB.
    """

    max_length: int
    truncate: Cut = "front"
    pad: Side = "back"

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {self.max_length}")
        if self.truncate not in get_args(Cut):
            raise ValueError(
                f"truncate must be one of {', '.join(get_args(Cut))}, got {self.truncate!r}"
            )
        if self.pad not in get_args(Side):
            raise ValueError(f"pad must be one of {', '.join(get_args(Side))}, got {self.pad!r}")

    def cut(self, sequence: NDArray[np.integer]) -> NDArray[np.integer]:
        """Shortens a sequence to `max_length`.

        Args:
            sequence: `[length]`.

        Returns:
            `[min(length, max_length)]`.
        """
        if len(sequence) <= self.max_length:
            return sequence
        head = {"front": 0, "middle": self.max_length // 4, "back": self.max_length}[self.truncate]
        tail = self.max_length - head
        if head == 0:
            return sequence[len(sequence) - tail :]
        return np.concatenate([sequence[:head], sequence[len(sequence) - tail :]])


def few_widths() -> Iterator[int]:
    """Widths 8, 12, 16, 24, 32, 48, ...: with these few programs are compiled, whatever comes."""
    return (width for power in count(3) for width in (2**power, 3 * 2 ** (power - 1)))


def power_of_two(least: int) -> int:
    """The smallest power of two that is at least this."""
    return 1 << (least - 1).bit_length()


def bucket_edges(
    lengths: Sequence[int] | NDArray[np.integer], buckets: int, multiple: int = 8
) -> tuple[int, ...]:
    """Finds the bucket widths that waste the fewest steps on padding.

    A sequence is padded to the smallest edge that holds it. The edges minimise the total
    Σ_n (edge(n) - length(n)) exactly, by dynamic programming over the distinct lengths, each
    rounded up to the multiple: with `cost[k, j]` the least total width of all sequences up to the
    j-th such width in k buckets, `cost[k, j] = min_i cost[k-1, i] + width[j] · count(i, j]`.

    Args:
        lengths: `[N]`, steps; >= 0.
        buckets: the largest number of edges; >= 1.
        multiple: edges are multiples of it, except for the last; >= 1.

    Returns:
        Up to `buckets` increasing widths; the last is the longest length (at least 1).

    Raises:
        ValueError: if an argument is not as described, or there are no lengths.
    """
    lengths = np.asarray(lengths)
    if lengths.size == 0 or lengths.min() < 0:
        raise ValueError("lengths must be one or more numbers of 0 or more")
    if buckets < 1:
        raise ValueError(f"buckets must be at least 1, got {buckets}")
    if multiple < 1:
        raise ValueError(f"multiple must be at least 1, got {multiple}")
    longest = max(int(lengths.max()), 1)
    rounded = np.minimum(-(-np.maximum(lengths, 1) // multiple) * multiple, longest)
    widths, counts = np.unique(rounded, return_counts=True)
    # below[j]: how many sequences are narrower than the j-th width.
    below = np.concatenate([[0], np.cumsum(counts)])
    # bucket[i, j]: the total width of one bucket that holds the widths i to j, both included.
    bucket = widths[None, :] * (below[None, 1:] - below[:-1, None]).astype(np.float64)
    bucket[np.tril_indices(len(widths), -1)] = np.inf
    cost, first_of_last = bucket[0], []
    for _ in range(min(buckets, len(widths)) - 1):
        # total[i, j]: the widths below the i-th in the earlier buckets, i to j in a new one.
        total = np.concatenate([[0.0], cost[:-1]])[:, None] + bucket
        first_of_last.append(total.argmin(axis=0))
        cost = total.min(axis=0)
    edges, last = [longest], len(widths) - 1
    for first in reversed(first_of_last):
        last = int(first[last]) - 1
        if last < 0:
            break
        edges.append(int(widths[last]))
    return tuple(reversed(edges))
