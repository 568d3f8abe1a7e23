"""Texts with their true classes and what a classifier made of them: what every report is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_jax.reports.shares import Interval, wilson_interval
from lstm_jax.train.metrics import Metrics, compute_metrics, probabilities


@dataclass(frozen=True, eq=False)
class Scored:
    """Labelled texts and the logits that a classifier gave them.

    Attributes:
        texts: N strings, at least one.
        labels: [N], each an index into `class_names`.
        logits: [N, C], divided by the temperature; C = 1 for two classes.
        class_names: the name of each class.
        part: what the texts are, in the plural: "test texts", "texts of more.csv".
        title: what was measured: the run, for the head of a page.
        lengths: tokens of each text [N] before it is cut; None leaves out what is about lengths.
        linear_accuracy: of a linear model on the same texts, in [0, 1]; None where none was fitted.
        records: of the run's metrics.jsonl, for the curves; none leaves them out.

    Raises:
        ValueError: if there are no texts, or not as many labels, logits or lengths.
    """

    texts: Sequence[str]
    labels: NDArray[np.integer]
    logits: NDArray[np.floating]
    class_names: Sequence[str]
    part: str = "test texts"
    title: str = ""
    lengths: NDArray[np.integer] | None = None
    linear_accuracy: float | None = None
    records: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        sizes = [len(self.texts), len(self.labels), len(self.logits)]
        sizes += [] if self.lengths is None else [len(self.lengths)]
        if not sizes[0] or len(set(sizes)) > 1:
            raise ValueError(
                "texts, labels, logits and lengths must be as many, and at least one, got"
                f" {', '.join(map(str, sizes))}"
            )

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def metrics(self) -> Metrics:
        """All metrics of `lstm_jax.train.metrics`."""
        return compute_metrics(self.logits, self.labels)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Of each class for each text [N, classes]."""
        return probabilities(self.logits)

    @cached_property
    def predicted(self) -> NDArray[np.integer]:
        """The likeliest class of each text [N]."""
        return self.probabilities.argmax(-1)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the likeliest class of each text [N]."""
        return self.probabilities.max(-1)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether each text is predicted right [N]."""
        return self.predicted == self.labels

    @cached_property
    def interval(self) -> Interval:
        """The 95% interval of the accuracy."""
        return wilson_interval(int(self.right.sum()), len(self))

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """[classes, classes], texts of class row that were predicted as class column."""
        return np.asarray(self.metrics.confusion)
