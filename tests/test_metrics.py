"""Metrics against scikit-learn and by hand."""

import numpy as np
import pytest

from lstm_jax.train.metrics import area_under_roc, compute_metrics, probabilities

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


def test_auc_of_one_class_is_not_a_number():
    assert np.isnan(area_under_roc(np.array([1.0, 2.0]), np.array([True, True])))


@pytest.mark.parametrize("count", [0, 3])
def test_as_many_labels_as_logits_are_needed(count):
    with pytest.raises(ValueError, match=f"got {count} and 0"):
        compute_metrics(np.zeros((count, 1)), np.zeros(0, int))
