"""scikit-learn's own checks of estimators: those that run on texts, and those that do not apply.

Its checks make rows of numbers, which `rows.OfRows` writes as texts.
"""

from functools import partial
from typing import Any

import pytest
from rows import TINY, OfRows
from sklearn.utils.estimator_checks import estimator_checks_generator

# What is about the settings, and fits nothing.
AT_ONCE = {
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_estimators_unfitted",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
}
# What fits.
FITTING = {
    "check_all_zero_sample_weights_error",
    "check_class_weight_classifiers",
    "check_classifier_data_not_an_array",
    "check_classifiers_classes",
    "check_classifiers_one_label",
    "check_classifiers_one_label_sample_weights",
    "check_classifiers_regression_target",
    "check_classifiers_train",
    "check_decision_proba_consistency",
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_estimators_fit_returns_self",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_pipeline_consistency",
    "check_requires_y_none",
    "check_sample_weights_list",
    "check_sample_weights_not_an_array",
    "check_sample_weights_not_overwritten",
    "check_sample_weights_pandas_series",
    "check_sample_weights_shape",
    "check_supervised_y_2d",
    "check_supervised_y_no_nan",
}
_NO_COLUMNS = "a text has no number of features"
_NO_NUMBERS = "texts are no array of numbers"
_ONE_DIMENSION = "texts have one dimension, as these checks forbid"
NOT_APPLICABLE = {
    "check_array_api_input": _NO_NUMBERS,
    "check_complex_data": _NO_NUMBERS,
    "check_dtype_object": _NO_NUMBERS,
    "check_estimator_sparse_array": _NO_NUMBERS,
    "check_estimator_sparse_matrix": _NO_NUMBERS,
    "check_estimator_sparse_tag": _NO_NUMBERS,
    "check_estimators_dtypes": _NO_NUMBERS,
    "check_estimators_empty_data_messages": _NO_COLUMNS,
    "check_estimators_nan_inf": _NO_NUMBERS,
    "check_estimators_partial_fit_n_features": "there is no partial_fit",
    "check_f_contiguous_array_estimator": _NO_NUMBERS,
    "check_fit1d": _ONE_DIMENSION,
    "check_fit2d_predict1d": _ONE_DIMENSION,
    "check_n_features_in": _NO_COLUMNS,
    "check_n_features_in_after_fitting": _NO_COLUMNS,
    "check_non_transformer_estimators_n_iter": "there is no max_iter",
    "check_positive_only_tag_during_fit": _NO_NUMBERS,
    "check_readonly_memmap_input": _NO_NUMBERS,
    "check_sample_weight_equivalence_on_dense_data": (
        "a text that is there twice is in two batches, one of weight 2 in one of them: the steps of"
        " a stochastic gradient differ, as in scikit-learn's own classifiers that learn so"
    ),
}


def all_checks() -> list[partial[Any]]:
    """Every check that scikit-learn has for a classifier like this."""
    estimator: Any = OfRows(random_state=0, settings=TINY)
    checks: Any = estimator_checks_generator(estimator, legacy=True)
    return [check for _, check in checks]


def name_of(check: partial[Any]) -> str:
    return check.func.__name__


def cases(names: set[str]) -> list[Any]:
    """The checks of those names, one of some names in several ways."""
    chosen = [check for check in all_checks() if name_of(check) in names]
    ways = [
        "-".join([name_of(check), *map(str, check.keywords.values())]).replace("True", "memmap")
        for check in chosen
    ]
    return [pytest.param(check, id=way) for check, way in zip(chosen, ways, strict=True)]


def test_each_check_of_scikit_learn_runs_or_has_a_reason_not_to():
    lists = [*AT_ONCE, *FITTING, *NOT_APPLICABLE]
    assert len(set(lists)) == len(lists)
    assert set(map(name_of, all_checks())) == set(lists)


@pytest.mark.parametrize("check", cases(AT_ONCE))
def test_checks_that_fit_nothing_pass(check):
    check(OfRows(random_state=0, settings=TINY))


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("check", cases(FITTING))
def test_checks_that_fit_pass(check):
    check(OfRows(random_state=0, settings=TINY))
