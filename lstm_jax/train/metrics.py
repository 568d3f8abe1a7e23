"""Exact metrics over a whole data set, in float64 NumPy, from the logits of every example."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax


@dataclass(frozen=True)
class Metrics:
    """How well a set of examples was predicted."""

    examples: int
    loss: float  # mean cross-entropy in nats
    accuracy: float  # share predicted right
    auc: float  # area under the ROC curve; for more than two classes the mean of one against rest

    def as_dict(self, prefix: str = "") -> dict[str, float]:
        """By name, for a log line."""
        return {f"{prefix}{name}": value for name, value in asdict(self).items()}


def probabilities(logits: NDArray) -> NDArray[np.float64]:
    """The probability of each class.

    Args:
        logits: [N, C]; C = 1 holds the logit of class 1 of two.

    Returns:
        [N, classes], rows that sum to one.
    """
    logits = np.asarray(logits, np.float64)
    if logits.shape[-1] == 1:
        return np.concatenate([expit(-logits), expit(logits)], axis=-1)
    return softmax(logits, axis=-1)


def compute_metrics(logits: NDArray, labels: NDArray[np.integer]) -> Metrics:
    """Loss, accuracy and AUC of logits [N, C] against labels [N].

    Raises:
        ValueError: if there are no examples, or not as many labels as logits.
    """
    if len(labels) == 0 or len(labels) != len(logits):
        raise ValueError(
            f"logits and labels must be as many, and some; got {len(logits)} and {len(labels)}"
        )
    logits = np.asarray(logits, np.float64)
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)  # the same odds
    log_probabilities = log_softmax(logits, axis=-1)
    if logits.shape[-1] == 2:
        scores = {1: logits[:, 1] - logits[:, 0]}
    else:
        scores = dict(enumerate(log_probabilities.T))
    return Metrics(
        examples=len(labels),
        loss=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        accuracy=float((logits.argmax(-1) == labels).mean()),
        auc=float(np.mean([area_under_roc(score, labels == c) for c, score in scores.items()])),
    )


def area_under_roc(scores: NDArray, positive: NDArray[np.bool_]) -> float:
    """The probability that a random positive example scores above a random negative one.

    Ties count one half; NaN where there is no example of one of the two kinds.

    Source: Mann & Whitney (1947); Hanley & McNeil (1982).
    """
    from scipy.stats import rankdata  # here, because it takes a third of a second

    positives, negatives = int(positive.sum()), int((~positive).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    rank_sum = rankdata(scores)[positive].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))
