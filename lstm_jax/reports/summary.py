"""What came out, in a few sentences."""

from lstm_jax.reports.classes import class_scores, hardest_class
from lstm_jax.reports.scored import Scored
from lstm_jax.reports.shares import counted, percent, percents
from lstm_jax.reports.trust import near_confidence

CONFIDENCE = 0.9  # of which it is said how often it is right
FEWEST = 30  # texts that such a sentence needs
LINEAR = "A linear model (TF-IDF of words and pairs, logistic regression)"


def summarise(scored: Scored | None) -> list[str]:
    """The result in plain sentences, a line each.

    Args:
        scored: what was measured; None where there was nothing to measure on.

    Returns:
        Accuracy with its interval first; then the hardest class, the linear model's accuracy and
        the calibration.
    """
    if scored is None:
        return ["Nothing was measured: there are no texts with labels that were set aside for it"]
    lines = [accuracy_line(scored), *_hardest(scored)]
    if scored.linear_accuracy is not None:
        lines.append(f"{LINEAR}: {percent(scored.linear_accuracy)}")
    return [*lines, calibration_line(scored)]


def accuracy_line(scored: Scored) -> str:
    """The accuracy with its interval: the result in one line."""
    return (
        f"Accuracy on {counted(len(scored), scored.part)}: {percent(scored.metrics.accuracy)}"
        f" (95% interval: {percents(scored.interval)})"
    )


def calibration_line(scored: Scored) -> str:
    """Whether its probabilities mean what they say, for those of about 90% if there are enough."""
    error = f"(calibration error {scored.metrics.calibration_error:.3f})"
    near = near_confidence(scored, CONFIDENCE)
    if near is not None and near.texts >= FEWEST:
        return f"When it says 90%, it is right {percent(near.accuracy, 0)} of the time {error}"
    says, right = percent(float(scored.confidence.mean()), 0), percent(scored.metrics.accuracy, 0)
    return f"On average it says {says} and is right {right} of the time {error}"


def _hardest(scored: Scored) -> list[str]:
    scores = class_scores(scored)
    hardest = hardest_class(scores)
    if hardest is None or hardest.recall is None:
        lines = ["Every text is predicted right"]
    elif hardest.texts == 1:
        lines = [f"Hardest class: {hardest.name!r}, whose only text is not found"]
    else:
        found = percent(hardest.recall, 0)
        lines = [f"Hardest class: {hardest.name!r}, {found} of its {hardest.texts:,} texts found"]
    if absent := sum(score.texts == 0 for score in scores):
        has = "has" if absent == 1 else "have"
        lines.append(f"{absent} of {len(scores)} classes {has} no text here and cannot be measured")
    return lines
