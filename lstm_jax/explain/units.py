"""Single units: what drives them, how long they remember, and how well one of them classifies.

Source: Radford, Jozefowicz & Sutskever (2017), "Learning to Generate Reviews and Discovering
    Sentiment", for a unit whose value alone classifies; Karpathy, Johnson & Fei-Fei (2015),
    "Visualizing and Understanding Recurrent Networks", for cells that can be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Threshold(NamedTuple):
    """The one rule that a unit's value decides by.

    Attributes:
        value: texts above it are of `above`, the others of the other class.
        above: 0 or 1.
        accuracy: on what it was chosen from.
    """

    value: float
    above: int
    accuracy: float


@dataclass(frozen=True)
class Unit:
    """What one unit is about.

    Attributes:
        number: which one.
        half_life: steps after which half of what is written is left, at its mean forget gate.
        words: the words at which it writes most, with the mean of what it writes, both signs.
    """

    number: int
    half_life: float
    words: tuple[tuple[str, float], ...]


def best_threshold(values: NDArray[np.floating], labels: NDArray[np.integer]) -> Threshold:
    """The threshold on one number that classifies best.

    Args:
        values: [N], of a unit.
        labels: [N], 0 or 1.

    Returns:
        The rule.

    Raises:
        ValueError: if there are no values, or a label is another.
    """
    if not len(values) or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            "labels must be 0 or 1, one for each of the values, of which there are some"
        )
    order = np.argsort(values, kind="stable")
    sorted_values, sorted_labels = values[order], labels[order]
    # Right if all up to a place are of class 0 and the others of class 1.
    zeros = np.concatenate([[0], np.cumsum(sorted_labels == 0)])
    ones = np.concatenate([[0], np.cumsum(sorted_labels == 1)])
    right = zeros + (ones[-1] - ones)
    # A threshold lies between two values that differ.
    possible = np.concatenate([[True], np.diff(sorted_values) > 0, [True]])
    right = np.where(possible, right, len(values) / 2)
    upward, downward = int(right.argmax()), int(right.argmin())
    flipped = len(values) - right[downward]
    above, place = (1, upward) if right[upward] >= flipped else (0, downward)
    best = max(right[upward], flipped)
    return Threshold(_between(sorted_values, place), above, float(best / len(values)))


def classify(rule: Threshold, values: NDArray[np.floating]) -> NDArray[np.int64]:
    """The class of each value by a rule."""
    return np.where(values > rule.value, rule.above, 1 - rule.above)


def describe_unit(
    number: int,
    forget: NDArray[np.floating],
    written: NDArray[np.floating],
    words: Sequence[str],
    *,
    most: int = 10,
    fewest: int = 5,
) -> Unit:
    """Says what a unit is about.

    Args:
        number: which one.
        forget: its forget gates at N steps, in (0, 1).
        written: what it wrote there, i · g.
        words: the word of each step.
        most: words that are named, of each sign.
        fewest: how often a word must stand there to be named.

    Returns:
        The unit.
    """
    names, place = np.unique(np.asarray(words, object).astype(str), return_inverse=True)
    counts = np.bincount(place)
    means = np.bincount(place, weights=written) / counts
    known = np.flatnonzero(counts >= fewest)
    ranked = known[np.argsort(means[known])]
    chosen = dict.fromkeys([*ranked[::-1][:most].tolist(), *ranked[:most].tolist()])
    half_life = -np.log(2) / np.log(np.clip(forget, 1e-12, 1 - 1e-12)).mean()
    named = tuple((str(names[n]), float(means[n])) for n in chosen)
    return Unit(number, float(half_life), named)


def _between(ordered: NDArray[np.floating], place: int) -> float:
    """A number between the value before a place and the one at it."""
    if place == 0:
        return float(ordered[0] - 1)
    if place == len(ordered):
        return float(ordered[-1] + 1)
    return float((ordered[place - 1] + ordered[place]) / 2)
