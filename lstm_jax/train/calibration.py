"""Whether there is enough to fit a temperature to, and what to say where there is not."""

import numpy as np
from numpy.typing import NDArray

from lstm_jax.train.metrics import BOUNDS, compute_metrics, fit_temperature

# Errors tell a temperature more than examples do. Fitted to samples of 10 to 1,000 examples from
# pools of known best temperature, and measured on the pools (two linear models of IMDB, accuracy
# 0.87 and 0.89, and simulated logits of accuracy 0.73, 0.87, 0.955 and 0.99), against 1:
# - 9 to 13 errors of 100 to 200 examples: 0.001 to 0.017 nats better where the best is 0.7 or 1.5,
#   0.005 worse where it is 1; at 1,000 examples of accuracy 0.99, which are 9 errors, still 0.007
#   worse for 0.7, 1 and 1.5;
# - 4 errors of 100: 0.007 worse for 0.7 and 1.5, 0.014 for 1; 1 of 20: 0.05 to 0.08 worse.
FEWEST_EXAMPLES, FEWEST_ERRORS = 50, 10


def calibrate(logits: NDArray, labels: NDArray[np.integer]) -> float:
    """What logits are to be divided by: fitted, or 1 where there is too little to fit it to.

    Args:
        logits: [N, C] of examples that were not trained on; C = 1 for two classes.
        labels: [N].
    """
    return fit_temperature(logits, labels) if enough_to_fit(logits, labels) else 1.0


def enough_to_fit(logits: NDArray, labels: NDArray[np.integer]) -> bool:
    """Whether as many examples, and as many of them predicted wrong, as a fit needs."""
    measured = compute_metrics(logits, labels)
    return _enough(measured.examples, measured.accuracy)


def check_calibration(examples: int, accuracy: float, temperature: float) -> list[str]:
    """Says that there was too little to fit a temperature to, or that it is as far as it may go.

    Args:
        examples: of the validation part.
        accuracy: on them.
        temperature: what came out.

    Returns:
        A line, or none.
    """
    if not _enough(examples, accuracy):
        return [
            f"the temperature is not fitted, which needs {FEWEST_EXAMPLES} validation examples with"
            f" {FEWEST_ERRORS} errors, and there are {examples:,} with"
            f" {_errors(examples, accuracy)}: probabilities are as the model gives them"
        ]
    lowest, highest = BOUNDS
    if lowest * 1.01 < temperature < highest / 1.01:
        return []
    kind, advice = "lowest", "train longer or with a higher --optimizer.learning-rate"
    if temperature > 1:
        kind, advice = "highest", "train less, or with more dropout or data"
    return [
        f"the fitted temperature is {temperature:.3g}, the {kind} allowed, so that probabilities"
        f" mean little: {advice}"
    ]


def _enough(examples: int, accuracy: float) -> bool:
    return examples >= FEWEST_EXAMPLES and _errors(examples, accuracy) >= FEWEST_ERRORS


def _errors(examples: int, accuracy: float) -> int:
    return round(examples * (1 - accuracy))
