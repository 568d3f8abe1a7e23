"""How faithful explanations are: what becomes of a prediction when words are taken away.

The words that an explanation puts first are removed, or kept alone:

    comprehensiveness(k) = p(text) - p(text without the first k % of its words)
    sufficiency(k)       = p(text) - p(the first k % of its words alone)

p is the probability of the class that was predicted for the whole text. A high comprehensiveness
and a low sufficiency say that the explanation found what the prediction stands on. Deletion and
insertion are the areas under the same curves from 0 to 100 %.

Source: DeYoung et al. (2020), "ERASER: A Benchmark to Evaluate Rationalized NLP Models", section 4;
    Petsiuk, Das & Saenko (2018), "RISE", for deletion and insertion.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The shares of ERASER, and those of the curves.
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
CURVE = tuple(np.linspace(0, 1, 11).tolist())

Ids = NDArray[np.integer]
Probabilities = Callable[[Sequence[Ids]], NDArray[np.floating]]


@dataclass(frozen=True)
class Faithfulness:
    """How an order of words fares, as means over texts.

    Attributes:
        comprehensiveness, sufficiency: as areas: the means over `SHARES`.
        deletion: the area under the probability as words are deleted, the first ones first.
        insertion: the same as they are put in.
    """

    comprehensiveness: float
    sufficiency: float
    deletion: float
    insertion: float


def measure_faithfulness(
    probabilities: Probabilities, texts: Sequence[Ids], orders: Sequence[NDArray[np.integer]]
) -> Faithfulness:
    """Takes words away in an order that an explanation gives.

    Args:
        probabilities: of texts as ids: those of every class [N, classes].
        texts: the ids [T] of each; the first, the start token, always stays.
        orders: for each text the places of its words in [1, T), the most important first.

    Returns:
        The means over the texts.
    """
    whole = probabilities(texts)
    classes = whole.argmax(axis=1)

    def kept(share: float, *, first: bool) -> NDArray[np.floating]:
        """The probability where only the first words are left, or all but them."""
        rows = [
            part_of(ids, order, share, first=first)
            for ids, order in zip(texts, orders, strict=True)
        ]
        return probabilities(rows)[np.arange(len(rows)), classes]

    full = whole[np.arange(len(texts)), classes]
    without = {share: kept(share, first=False) for share in {*SHARES, *CURVE}}
    alone = {share: kept(share, first=True) for share in {*SHARES, *CURVE}}
    return Faithfulness(
        comprehensiveness=_mean([full - without[share] for share in SHARES]),
        sufficiency=_mean([full - alone[share] for share in SHARES]),
        deletion=_area([without[share] for share in CURVE]),
        insertion=_area([alone[share] for share in CURVE]),
    )


def part_of(ids: Ids, order: NDArray[np.integer], share: float, *, first: bool) -> Ids:
    """The start token and some of the words, in the order of the text.

    Args:
        ids: [T].
        order: places in [1, T), the most important first.
        share: of the words, in [0, 1]; rounded up to whole words.
        first: whether the first words of the order stay, or all others.
    """
    count = int(np.ceil(share * len(order)))
    chosen = order[:count] if first else order[count:]
    return ids[np.unique(np.concatenate([np.zeros(1, np.int64), chosen]))]


def agreement(scores: Mapping[str, Sequence[NDArray[np.floating]]]) -> dict[str, dict[str, float]]:
    """How alike methods order words: Spearman's rank correlation, the mean over texts.

    Args:
        scores: by method, the scores [T] of the words of each text.

    Returns:
        By method and method.
    """
    from scipy.stats import rankdata

    def mean(one: str, other: str) -> float:
        found = [
            np.corrcoef(rankdata(a), rankdata(b))[0, 1]
            for a, b in zip(scores[one], scores[other], strict=True)
            if len(a) > 2 and np.ptp(a) > 0 and np.ptp(b) > 0
        ]
        return float(np.mean(found)) if found else float("nan")

    return {one: {other: mean(one, other) for other in scores} for one in scores}


def _mean(parts: Sequence[NDArray[np.floating]]) -> float:
    return float(np.mean(parts))


def _area(curve: Sequence[NDArray[np.floating]]) -> float:
    return float(np.trapezoid([part.mean() for part in curve], CURVE))
