"""scikit-learn's own checks of the classifier of sequences: a row of its arrays is one series."""

from functools import partial
from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from lstm_jax.sequences import SequenceClassifier

_NO_COLUMNS = "a row is a series of any length, and has no number of features"
NOT_APPLICABLE = {
    "check_array_api_input": "arrays are NumPy's",
    "check_classifiers_train": "rows of another length are series too; else it passes",
    "check_dtype_object": "what is wrong of an object is a ValueError here, as everywhere",
    "check_estimators_empty_data_messages": _NO_COLUMNS,
    "check_fit2d_predict1d": "a list of numbers is no list of series; it is refused",
    "check_n_features_in": _NO_COLUMNS,
    "check_n_features_in_after_fitting": _NO_COLUMNS,
}


def estimator() -> SequenceClassifier:
    return SequenceClassifier(
        hidden_size=8, convolutions=(), epochs=15, learning_rate=5e-2, random_state=0
    )


def all_checks() -> list[partial[Any]]:
    checks: Any = estimator_checks_generator(estimator(), legacy=True)
    return [check for _, check in checks]


def name_of(check: partial[Any]) -> str:
    return check.func.__name__


def test_every_check_that_is_left_out_is_there():
    assert {name_of(check) for check in all_checks()} >= set(NOT_APPLICABLE)


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize(
    "check", [each for each in all_checks() if name_of(each) not in NOT_APPLICABLE], ids=name_of
)
def test_checks_of_scikit_learn_pass(check):
    check(estimator())
