"""Runs beside each other, measured on the same texts: is one better, and where do they differ?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_jax.reports.mistakes import write_csv
from lstm_jax.reports.scored import Scored
from lstm_jax.reports.shares import Interval, counted, p_value

RESAMPLES = 20_000  # of the bootstrap
SIGNIFICANT = 0.05  # a p below it is called hardly chance
SEED = 0  # of the same, so that the same runs give the same interval


@dataclass(frozen=True, eq=False)
class Comparison:
    """What several classifiers made of the same labelled texts.

    Attributes:
        names: of the runs, two or more.
        scored: what each made of the texts; all have the same texts, labels and classes.

    Raises:
        ValueError: if there are fewer than two runs, or they have other classes or texts.
    """

    names: Sequence[str]
    scored: Sequence[Scored]

    def __post_init__(self) -> None:
        if len(self.scored) < 2 or len(self.names) != len(self.scored):
            raise ValueError(f"runs must be two or more, got {len(self.scored)}")
        check_classes(self.names, [tuple(each.class_names) for each in self.scored])
        first = self.scored[0]
        for each in self.scored[1:]:
            if len(each) != len(first) or (each.labels != first.labels).any():
                raise ValueError("scored must be of the same texts with the same labels")

    @property
    def best(self) -> int:
        """The number of the most accurate run; the first of those that are equal."""
        return int(np.argmax([each.metrics.accuracy for each in self.scored]))


@dataclass(frozen=True)
class Difference:
    """One run against another on the same texts.

    Attributes:
        name, other: of the two runs.
        alone: texts that only the first has right.
        other_alone: texts that only the other has right.
        accuracy: of the first minus that of the other.
        interval: the 95% interval of that.
        p: of McNemar's exact test.
    """

    name: str
    other: str
    alone: int
    other_alone: int
    accuracy: float
    interval: Interval
    p: float


class Disagreement(NamedTuple):
    """A text that the runs do not predict alike."""

    text: str
    true: str
    predicted: tuple[str, ...]  # by each run
    probabilities: tuple[float, ...]  # that each run gives the true class


def check_classes(names: Sequence[str], classes: Sequence[tuple[str, ...]]) -> None:
    """Refuses runs that do not have the same classes.

    Raises:
        ValueError: naming two runs, and a class that only one of them has.
    """
    for name, theirs in zip(names[1:], classes[1:], strict=True):
        if theirs != classes[0]:
            differ = sorted(set(theirs) ^ set(classes[0]))
            what = f"only one has {differ[0]!r}" if differ else "theirs are in another order"
            raise ValueError(
                f"runs must have the same classes, got {names[0]} with {len(classes[0])} and"
                f" {name} with {len(theirs)}: {what}"
            )


def mcnemar(alone: int, other_alone: int) -> float:
    """How likely a split at least as uneven is, if both classifiers are equally good.

    Args:
        alone: texts that only one classifier has right.
        other_alone: texts that only the other has right.

    Returns:
        The two-sided p of the exact (binomial) test; 1 where they differ nowhere.

    Source: McNemar (1947), "Note on the sampling error of the difference between correlated
    proportions or percentages".
    """
    from scipy.stats import binomtest  # here, because it takes a third of a second

    differ = alone + other_alone
    return float(binomtest(alone, differ).pvalue) if differ else 1.0


def bootstrap_interval(right: NDArray[np.bool_], other: NDArray[np.bool_]) -> Interval:
    """The 95% interval of how much more accurate one classifier is than another.

    Texts are drawn again, with both predictions of each (a paired bootstrap, percentiles). A text
    counts 1, 0 or -1, so what is drawn is how many of each there are.

    Args:
        right: [N], which texts the one predicts right.
        other: [N], the same of the other.

    Returns:
        Both ends in [-1, 1]; the same arguments give the same.

    Source: Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13.
    """
    count = len(right)
    alone, other_alone = int((right & ~other).sum()), int((other & ~right).sum())
    shares = np.array([alone, other_alone, count - alone - other_alone]) / count
    drawn = np.random.default_rng(SEED).multinomial(count, shares, RESAMPLES)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / count, (0.025, 0.975))
    return Interval(float(low), float(high))


def differences(comparison: Comparison) -> list[Difference]:
    """Every pair of runs, the more accurate one first; those of the best run first of all."""
    accuracies = [each.metrics.accuracy for each in comparison.scored]
    order = sorted(range(len(accuracies)), key=lambda run: (-accuracies[run], run))
    pairs = [(a, b) for place, a in enumerate(order) for b in order[place + 1 :]]
    return [_difference(comparison, *pair) for pair in pairs]


def disagreements(comparison: Comparison, most: int | None = None) -> list[Disagreement]:
    """The texts that the runs predict as different classes.

    Args:
        comparison: the runs.
        most: of the texts at most; None for all.

    Returns:
        First those of which the runs give the true class the most different probabilities.
    """
    predicted = np.stack([each.predicted for each in comparison.scored])
    labels, texts = comparison.scored[0].labels, comparison.scored[0].texts
    rows = np.arange(len(labels))
    of_true = np.stack([each.probabilities[rows, labels] for each in comparison.scored])
    differ = np.nonzero((predicted != predicted[0]).any(0))[0]
    spread = np.ptp(of_true[:, differ], axis=0)
    names = comparison.scored[0].class_names
    return [
        Disagreement(
            texts[row],
            names[int(labels[row])],
            tuple(names[label] for label in map(int, predicted[:, row])),
            tuple(of_true[:, row].tolist()),
        )
        for row in map(int, differ[np.argsort(-spread, kind="stable")][:most])
    ]


def verdict(comparison: Comparison) -> str:
    """Which run is the most accurate, and whether that may be chance, in a sentence."""
    first, nearest = comparison.scored[0], differences(comparison)[0]
    on = f"On {counted(len(first), first.part)}"
    if nearest.accuracy == 0:
        return f"{on}, {nearest.name} and {nearest.other} are equally accurate"
    chance = "which may be chance" if nearest.p > SIGNIFICANT else "which is hardly chance"
    return (
        f"{on}, {nearest.name} is the most accurate, {100 * nearest.accuracy:.1f} points before"
        f" {nearest.other}, {chance} (p {p_value(nearest.p)})"
    )


def write_disagreements(path: Path, comparison: Comparison) -> None:
    """Writes all texts that the runs predict differently as CSV, whole or not at all.

    Columns: text, true, and of each run what it predicts and the probability of the true class.
    """
    columns = [(name, f"{name}: probability of the true class") for name in comparison.names]
    header = ("text", "true", *(column for pair in columns for column in pair))
    rows = []
    for each in disagreements(comparison):
        cells = zip(each.predicted, each.probabilities, strict=True)
        ours = [cell for label, chance in cells for cell in (label, f"{chance:.4f}")]
        rows.append((each.text, each.true, *ours))
    write_csv(path, header, rows)


def _difference(comparison: Comparison, one: int, other: int) -> Difference:
    mine, theirs = comparison.scored[one].right, comparison.scored[other].right
    alone, other_alone = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
    return Difference(
        comparison.names[one],
        comparison.names[other],
        alone,
        other_alone,
        float(mine.mean() - theirs.mean()),
        bootstrap_interval(mine, theirs),
        mcnemar(alone, other_alone),
    )
