"""How well each class is found, and which are taken for which."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lstm_jax.reports.scored import Scored
from lstm_jax.reports.shares import Interval, wilson_interval

# With fewer texts a class is only called the hardest where none has more: its share is chance.
FEWEST = 10


@dataclass(frozen=True)
class ClassScore:
    """How well one class is predicted.

    Attributes:
        name: the class's.
        texts: how many are of it.
        predicted: how many are predicted as it.
        right: how many are both.
    """

    name: str
    texts: int
    predicted: int
    right: int

    @property
    def precision(self) -> float | None:
        """The share of what is predicted as this class that is of it; None if nothing is."""
        return self.right / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """The share of this class's texts that is found; None if it has none."""
        return self.right / self.texts if self.texts else None

    @property
    def recall_interval(self) -> Interval | None:
        """The 95% interval of the recall."""
        return wilson_interval(self.right, self.texts) if self.texts else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall; None if the class has neither."""
        both = self.texts + self.predicted
        return 2 * self.right / both if both else None


class Pair(NamedTuple):
    """Two classes of which one is taken for the other."""

    true: str
    predicted: str
    texts: int  # of the true class that are predicted as the other
    share: float  # of the true class's texts


def class_scores(scored: Scored) -> list[ClassScore]:
    """A score for each class, in the order of the labels."""
    confusion = scored.confusion
    sizes, predicted, right = confusion.sum(1), confusion.sum(0), np.diag(confusion)
    return [
        ClassScore(name, int(sizes[n]), int(predicted[n]), int(right[n]))
        for n, name in enumerate(scored.class_names)
    ]


def hardest_class(scores: list[ClassScore]) -> ClassScore | None:
    """The class of which the smallest share is found; None if all texts are predicted right.

    Classes of fewer than `FEWEST` texts count only where there is no larger one with a mistake.
    """
    wrong = [score for score in scores if score.right < score.texts]
    large = [score for score in wrong if score.texts >= FEWEST]
    return min(large or wrong, key=lambda score: (score.recall, -score.texts), default=None)


def confused_pairs(scored: Scored, most: int) -> list[Pair]:
    """The pairs of classes that most texts are confused in, most first.

    Args:
        scored: what was measured.
        most: of them at most.
    """
    wrong = scored.confusion.copy()
    np.fill_diagonal(wrong, 0)
    sizes, names = scored.confusion.sum(1), scored.class_names
    found = [
        Pair(names[row], names[column], count, count / int(sizes[row]))
        for row, counts in enumerate(wrong.tolist())
        for column, count in enumerate(counts)
        if count
    ]
    return sorted(found, key=lambda pair: -pair.texts)[:most]
