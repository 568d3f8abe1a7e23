"""How probabilities and lengths go with accuracy: bins of texts, each with its interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_jax.reports.scored import Scored
from lstm_jax.reports.shares import Interval, wilson_interval

BINS = 10  # of confidence, of equal width
LENGTH_BINS = 8  # of length, of about as many texts each
FEWEST = 20  # texts in a bin of lengths


@dataclass(frozen=True)
class Bin:
    """Texts that are alike in something, and how many of them are predicted right.

    Attributes:
        low, high: between which values they lie, the highest included.
        mean: of their values.
        texts: how many.
        right: how many of them are predicted right.
    """

    low: float
    high: float
    mean: float
    texts: int
    right: int

    @property
    def accuracy(self) -> float:
        """The share that is predicted right."""
        return self.right / self.texts

    @property
    def interval(self) -> Interval:
        """The 95% interval of the accuracy."""
        return wilson_interval(self.right, self.texts)


def confidence_bins(scored: Scored) -> list[Bin]:
    """Texts by the probability of their predicted class, in tenths; those that have texts."""
    place = np.minimum((scored.confidence * BINS).astype(int), BINS - 1)
    return [
        _bin((n / BINS, (n + 1) / BINS), scored.confidence, scored.right, place == n)
        for n in np.unique(place)
    ]


def length_bins(scored: Scored) -> list[Bin]:
    """Texts by their length in tokens, as many in each bin; none where lengths are not known."""
    if scored.lengths is None:
        return []
    lengths = np.asarray(scored.lengths)
    bins = int(np.clip(len(lengths) // FEWEST, 1, LENGTH_BINS))
    edges = np.quantile(lengths, np.arange(1, bins) / bins, method="higher")
    place = np.searchsorted(np.unique(edges), lengths, side="left")
    found = []
    for n in np.unique(place):
        inside = place == n
        limits = float(lengths[inside].min()), float(lengths[inside].max())
        found.append(_bin(limits, lengths, scored.right, inside))
    return found


def near_confidence(scored: Scored, confidence: float, width: float = 0.05) -> Bin | None:
    """The texts that are predicted with about this confidence; None if there are none.

    Args:
        scored: what was measured.
        confidence: in [0, 1].
        width: how far from it a text's may be.
    """
    near = np.abs(scored.confidence - confidence) <= width
    if not near.any():
        return None
    limits = confidence - width, confidence + width
    return _bin(limits, scored.confidence, scored.right, near)


def _bin(
    limits: tuple[float, float],
    values: NDArray[np.number],
    right: NDArray[np.bool_],
    inside: NDArray[np.bool_],
) -> Bin:
    low, high = limits
    counts = int(inside.sum()), int(right[inside].sum())
    return Bin(float(low), float(high), float(values[inside].mean()), *counts)
