"""Metrics against scikit-learn and by hand."""

import numpy as np
import pytest

from lstm_jax.train.metrics import (
    area_under_roc,
    calibration_error,
    compute_metrics,
    fit_temperature,
    probabilities,
)

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def test_binary_metrics_equal_scikit_learn(rng):
    logits = rng.normal(size=(200, 1)).round(1)  # rounded, so that there are ties
    labels = rng.integers(0, 2, 200)
    found = compute_metrics(logits, labels)
    chances = 1 / (1 + np.exp(-logits[:, 0]))
    assert found.loss == pytest.approx(sklearn_metrics.log_loss(labels, chances))
    assert found.accuracy == pytest.approx(((logits[:, 0] > 0) == labels).mean())
    assert found.auc == pytest.approx(sklearn_metrics.roc_auc_score(labels, logits[:, 0]))


def test_multi_class_metrics_equal_scikit_learn(rng):
    logits, labels = rng.normal(size=(200, 4)), rng.integers(0, 4, 200)
    found, chances = compute_metrics(logits, labels), probabilities(logits)
    assert found.loss == pytest.approx(sklearn_metrics.log_loss(labels, chances))
    assert found.accuracy == pytest.approx((logits.argmax(1) == labels).mean())
    aucs = [sklearn_metrics.roc_auc_score(labels == c, chances[:, c]) for c in range(4)]
    assert found.auc == pytest.approx(np.mean(aucs), abs=0.02)


def test_probabilities_of_huge_logits_stay_finite():
    found = probabilities(np.array([[800.0], [-800.0], [0.0]]))
    np.testing.assert_array_equal(found, [[0, 1], [1, 0], [0.5, 0.5]])
    metrics = compute_metrics(np.array([[800.0], [-800.0]]), np.array([0, 0]))
    assert metrics.loss == pytest.approx(400.0)


def test_auc_of_one_class_cannot_be_measured_and_is_left_out():
    assert area_under_roc(np.array([1.0, 2.0]), np.array([True, True])) is None
    measured = compute_metrics(np.array([[1.0], [2.0]]), np.array([1, 1]))
    assert measured.auc is None
    assert "test_auc" not in measured.as_dict("test_")


def test_auc_is_the_mean_over_the_classes_that_occur(rng):
    logits, labels = rng.normal(size=(200, 4)), rng.integers(0, 3, 200)  # none of the fourth
    chances = probabilities(logits)
    aucs = [sklearn_metrics.roc_auc_score(labels == c, chances[:, c]) for c in range(3)]
    assert compute_metrics(logits, labels).auc == pytest.approx(np.mean(aucs), abs=0.02)


@pytest.mark.parametrize("count", [0, 3])
def test_as_many_labels_as_logits_are_needed(count):
    with pytest.raises(ValueError, match=f"got {count} and 0"):
        compute_metrics(np.zeros((count, 1)), np.zeros(0, int))


def test_f1_and_confusion_equal_scikit_learn(rng):
    logits, labels = rng.normal(size=(300, 4)), rng.choice(4, 300, p=[0.6, 0.3, 0.1, 0.0])
    found, predicted = compute_metrics(logits, labels), logits.argmax(1)
    expected = sklearn_metrics.confusion_matrix(labels, predicted, labels=range(4))
    np.testing.assert_array_equal(found.confusion, expected)
    f1 = sklearn_metrics.f1_score(labels, predicted, average="macro", labels=range(4))
    assert found.macro_f1 == pytest.approx(f1)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    chances = np.array([[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10)
    labels = np.array([0] * 7 + [1] * 3 + [1] * 6 + [0] * 4)
    # Ten are right 7 times at 0.9, ten 6 times at 0.6.
    assert calibration_error(chances, labels) == pytest.approx((0.2 + 0.0) / 2)


def test_many_classes_and_few_examples_leave_honest_probabilities_as_they_are(rng):
    found = []
    for _ in range(20):
        logits = 3 * rng.normal(size=(200, 50))
        labels = np.array([rng.choice(50, p=chances) for chances in probabilities(logits)])
        found.append(fit_temperature(logits, labels))
    assert np.mean(found) == pytest.approx(1, abs=0.08)


def test_a_fitted_temperature_undoes_overconfidence(rng):
    honest = rng.normal(scale=2.0, size=(4000, 1))
    labels = (rng.random(4000) < 1 / (1 + np.exp(-honest[:, 0]))).astype(int)
    assert fit_temperature(3 * honest, labels) == pytest.approx(3, rel=0.1)
    before = compute_metrics(3 * honest, labels)
    after = compute_metrics(3 * honest / fit_temperature(3 * honest, labels), labels)
    assert after.accuracy == before.accuracy
    assert after.calibration_error < 0.02 < before.calibration_error


def test_a_few_examples_do_not_make_a_model_certain():
    logits = np.array([[2.0], [-2.0]] * 10)
    labels = np.array([1, 0] * 10)  # all right
    confidence = probabilities(logits / fit_temperature(logits, labels)).max(1)
    # Twenty right of twenty, and one more of each class: 21 of 22.
    np.testing.assert_allclose(confidence, 21 / 22, atol=0.002)
