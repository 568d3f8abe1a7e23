"""Exact metrics over a whole data set, in float64 NumPy, from the logits of every example."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax

# A fitted temperature is between these.
BOUNDS = (0.1, 10.0)


@dataclass(frozen=True)
class Metrics:
    """How well a set of examples was predicted."""

    examples: int
    loss: float  # mean cross-entropy in nats
    accuracy: float  # share predicted right
    # Area under the ROC curve; for more than two classes the mean of one against rest, over the
    # classes that occur. None where all examples are of one class.
    auc: float | None
    macro_f1: float  # the mean over the classes of the harmonic mean of precision and recall
    calibration_error: float  # how far confidence is from accuracy: `calibration_error`
    confusion: list[list[int]]  # examples of class row that were predicted as column

    def as_dict(self, prefix: str = "") -> dict[str, float]:
        """The numbers by name, for a log line; what could not be measured is left out."""
        return {
            f"{prefix}{name}": value
            for name, value in asdict(self).items()
            if name != "confusion" and value is not None
        }


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
    """All metrics of logits [N, C] against labels [N].

    Raises:
        ValueError: if there are no examples, or not as many labels as logits.
    """
    if len(labels) == 0 or len(labels) != len(logits):
        raise ValueError(
            f"logits and labels must be as many, and at least one, got {len(logits)} and"
            f" {len(labels)}"
        )
    logits = _for_each_class(logits)
    log_probabilities = log_softmax(logits, axis=-1)
    if logits.shape[-1] == 2:
        scores = {1: logits[:, 1] - logits[:, 0]}
    else:
        scores = dict(enumerate(log_probabilities.T))
    areas = [area_under_roc(score, labels == c) for c, score in scores.items()]
    measured = [area for area in areas if area is not None]
    classes = logits.shape[-1]
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, logits.argmax(-1)), 1)
    return Metrics(
        examples=len(labels),
        loss=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        accuracy=float((logits.argmax(-1) == labels).mean()),
        auc=float(np.mean(measured)) if measured else None,
        macro_f1=macro_f1(confusion),
        calibration_error=calibration_error(np.exp(log_probabilities), labels),
        confusion=confusion.tolist(),
    )


def macro_f1(confusion: NDArray[np.integer]) -> float:
    """The mean of 2 · true / (true + false positives + true + false negatives) over the classes.

    Classes that neither occur nor are predicted do not count.

    Args:
        confusion: [classes, classes], examples of class row that were predicted as column.
    """
    right = np.diag(confusion)
    sizes = confusion.sum(0) + confusion.sum(1)
    return float(np.mean(2 * right[sizes > 0] / sizes[sizes > 0]))


def calibration_error(chances: NDArray, labels: NDArray[np.integer], bins: int = 15) -> float:
    """The expected calibration error: the mean gap between confidence and accuracy.

    Examples are put into bins of equal width by the probability of their predicted class; each bin
    counts as much as it has examples.

    Args:
        chances: probabilities [N, classes].
        labels: [N].
        bins: how many.

    Returns:
        In [0, 1]; 0.02 says that of texts judged with 90 % confidence some 88 or 92 % are right.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks", eq. 3.
    """
    confidence, right = chances.max(-1), chances.argmax(-1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def fit_temperature(logits: NDArray, labels: NDArray[np.integer]) -> float:
    """The T for which logits / T have the lowest cross-entropy, within `BOUNDS`.

    The labels are smoothed as if two more examples like each had been seen, of any class: a few
    examples that are all predicted right do not make a model certain of everything. How many
    examples it takes: `lstm_jax.train.calibration`.

    Args:
        logits: [N, C] of examples that were not trained on; C = 1 for two classes.
        labels: [N].

    Source: Guo et al. (2017), section 4.2; for the smoothing, Platt (1999), section 2.2.
    """
    from scipy.optimize import minimize_scalar  # here, because it takes a while

    logits = _for_each_class(logits)
    rows = np.arange(len(labels))
    share = 2 / (len(labels) + 2)

    def loss(log_temperature: float) -> float:
        log_chances = log_softmax(logits / np.exp(log_temperature), axis=-1)
        right = log_chances[rows, labels]
        return -float(((1 - share) * right + share * log_chances.mean(-1)).mean())

    found = minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded")
    return float(np.exp(found.x))


def ensemble_weights(
    parts: Sequence[NDArray],
    labels: NDArray[np.integer],
    *,
    prior: float = 0.0,
    preferred: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """The weights, 0 or more, with which the sum of several models' logits fits labels best.

    Args:
        parts: the logits [N, C] of each model, of examples that none was trained on.
        labels: [N].
        prior: how much some weights are preferred: the nats that a weight costs which is 1 away
            from its preferred value. 0 looks at the labels alone.
        preferred: those; by default equal ones that sum to 1.

    Returns:
        A weight for each model; they need not sum to 1, since they set the temperature too.
    """
    from scipy.optimize import minimize

    logits = np.stack([_for_each_class(part) for part in parts])  # [models, N, classes]
    rows = np.arange(len(labels))

    def loss(weights: NDArray) -> float:
        chances = log_softmax(np.tensordot(weights, logits, 1), axis=-1)
        preference = prior / len(labels) * ((weights - start) ** 2).sum()
        return -float(chances[rows, labels].mean()) + preference

    start = np.full(len(parts), 1 / len(parts)) if preferred is None else np.array(preferred)
    return minimize(loss, start, method="L-BFGS-B", bounds=[(0, None)] * len(parts)).x


def _for_each_class(logits: NDArray) -> NDArray[np.float64]:
    """Logits [N, classes]; of two classes with one logit, 0 and that one give the same odds."""
    logits = np.asarray(logits, np.float64)
    if logits.shape[-1] == 1:
        return np.concatenate([np.zeros_like(logits), logits], axis=-1)
    return logits


def area_under_roc(scores: NDArray, positive: NDArray[np.bool_]) -> float | None:
    """The probability that a random positive example scores above a random negative one.

    Ties count one half; None where there is no example of one of the two kinds.

    Source: Mann & Whitney (1947); Hanley & McNeil (1982).
    """
    from scipy.stats import rankdata  # here, because it takes a third of a second

    positives, negatives = int(positive.sum()), int((~positive).sum())
    if positives == 0 or negatives == 0:
        return None
    rank_sum = rankdata(scores)[positive].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))
