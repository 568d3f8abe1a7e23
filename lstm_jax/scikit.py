"""What all estimators here take from scikit-learn: how labels and seeds are given."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets


def labels_of(y: Any, count: int) -> NDArray[Any]:
    """Labels of any kind that scikit-learn knows, in an array [N].

    Args:
        y: the labels.
        count: N, how many X has.

    Raises:
        ValueError: if they are missing, not finite, not labels of classes, or not as many as X.
    """
    if y is None:
        raise ValueError(
            "y must be given, got None: this requires y to be passed, but the target y is None"
        )
    labels: Any = column_or_1d(y, warn=True)
    assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    if len(labels) != count:
        raise ValueError(f"y must be as many as X, {count:,}, got {len(labels):,}")
    return labels


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """A seed: the number itself, or one drawn from what was given."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
