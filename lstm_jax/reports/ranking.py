"""How well scores tell a class from the others at every threshold: ROC, precision and recall."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_jax.reports.scored import Scored

POINTS = 200  # of a curve that is drawn, at most
WORST = 5  # classes that are drawn beside the mean of all, where there are more
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # x and y


@dataclass(frozen=True, eq=False)
class Ranking:
    """The curves of one class against the others, or their mean over all classes.

    Attributes:
        name: the class's, or "mean of N classes".
        roc: shares of the others' texts, and of the class's own, that score above a threshold.
        auc: the area under it.
        precision_recall: recall and precision at every threshold.
        average_precision: precision, averaged over the recall.
    """

    name: str
    roc: Curve
    auc: float
    precision_recall: Curve
    average_precision: float


def roc(scores: NDArray, positive: NDArray[np.bool_]) -> Curve:
    """Shares of the negatives and of the positives that score at least each threshold.

    Args:
        scores: [N].
        positive: [N], some true and some not.

    Returns:
        False and true positive rate, from (0, 0) to (1, 1), a point for each distinct score.
    """
    hits, others = _counts(scores, positive)
    return _from_zero(others / others[-1], 0.0), _from_zero(hits / hits[-1], 0.0)


def precision_recall(scores: NDArray, positive: NDArray[np.bool_]) -> Curve:
    """Recall and precision of what scores at least each threshold, from recall 0 to 1."""
    hits, others = _counts(scores, positive)
    recall, precision = hits / hits[-1], hits / (hits + others)
    return _from_zero(recall, 0.0), _from_zero(precision, 1.0)


def average_precision(curve: Curve) -> float:
    """The mean of the precision over the recall, Σ (R_n - R_{n-1}) P_n."""
    recall, precision = curve
    return float((np.diff(recall) * precision[1:]).sum())


def rankings(scored: Scored) -> list[Ranking]:
    """What is drawn: class 1 of two; else the mean, and the classes or the worst of them.

    Classes that no text, or every text, is of are left out; nothing is left where all texts are of
    one class.
    """
    names = scored.class_names
    found = []
    for label in [1] if len(names) == 2 else range(len(names)):
        positive = scored.labels == label
        if positive.any() and not positive.all():
            found.append(_ranking(names[label], _scores(scored, label), positive))
    if len(found) < 2:
        return found
    mean = _mean(found)
    worst = sorted(found, key=lambda ranking: ranking.auc)[:WORST]
    return [mean, *worst]


def thinned(curve: Curve, points: int = POINTS) -> Curve:
    """A curve with fewer points, evenly spaced along it; the picture is the same."""
    x, y = curve
    if len(x) <= points:
        return curve
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    rows = np.searchsorted(along, np.linspace(0, along[-1], points))
    rows = np.unique(np.clip(rows, 0, len(x) - 1))
    rows[-1] = len(x) - 1
    return x[rows], y[rows]


def _ranking(name: str, scores: NDArray, positive: NDArray[np.bool_]) -> Ranking:
    rates, precisions = roc(scores, positive), precision_recall(scores, positive)
    area = float(np.trapezoid(rates[1], rates[0]))
    return Ranking(name, rates, area, precisions, average_precision(precisions))


def _mean(found: list[Ranking]) -> Ranking:
    grid = np.linspace(0, 1, 101)
    rates = [np.interp(grid, *ranking.roc) for ranking in found]
    precisions = []
    for ranking in found:
        recall, precision = ranking.precision_recall
        precisions.append(precision[np.searchsorted(recall, grid, side="left")])
    return Ranking(
        f"mean of {len(found)} classes",
        (grid, np.mean(rates, axis=0)),
        float(np.mean([ranking.auc for ranking in found])),
        (grid, np.mean(precisions, axis=0)),
        float(np.mean([ranking.average_precision for ranking in found])),
    )


def _scores(scored: Scored, label: int) -> NDArray[np.floating]:
    """What rises with the probability of a class; of one near 1, floats keep more of the logit."""
    if len(scored.class_names) > 2:
        return scored.probabilities[:, label]
    if scored.logits.shape[-1] == 1:
        return scored.logits[:, 0]
    return scored.logits[:, 1] - scored.logits[:, 0]


def _counts(scores: NDArray, positive: NDArray[np.bool_]) -> tuple[NDArray, NDArray]:
    """How many positives and negatives score at least each distinct score, highest first."""
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], positive[order]
    last = np.append(np.nonzero(np.diff(scores))[0], len(scores) - 1)
    hits = np.cumsum(positive)[last]
    return hits, last + 1 - hits


def _from_zero(values: NDArray, first: float) -> NDArray[np.float64]:
    return np.concatenate([[first], values])
