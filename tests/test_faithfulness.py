"""Faithfulness and units: what is measured is what is defined."""

import numpy as np
import pytest

from lstm_jax.explain.faithfulness import agreement, measure_faithfulness, part_of
from lstm_jax.explain.units import best_threshold, classify, describe_unit

# The probability of class 1 is the share of sevens that are left.
TEXTS = [np.array([1, 7, 3, 4, 5, 6, 8, 9, 3, 4, 5]), np.array([1, 3, 4, 7])]


def probabilities(texts):
    ones = np.array([(ids == 7).sum() * 0.9 for ids in texts])
    return np.stack([1 - ones, ones], axis=1)


def orders(*, first: bool) -> list[np.ndarray]:
    """The places of the words, the seven first or last."""
    found = []
    for ids in TEXTS:
        seven = np.flatnonzero(ids == 7)
        others = np.setdiff1d(np.arange(1, len(ids)), seven)
        found.append(np.concatenate([seven, others] if first else [others, seven]))
    return found


def test_an_order_that_is_right_is_comprehensive_and_sufficient():
    best = measure_faithfulness(probabilities, TEXTS, orders(first=True))
    assert best.comprehensiveness == pytest.approx(0.9)
    assert best.sufficiency == pytest.approx(0)
    assert best.deletion < 0.1
    assert best.insertion > 0.8
    worst = measure_faithfulness(probabilities, TEXTS, orders(first=False))
    assert worst.comprehensiveness < 0.1
    assert worst.sufficiency > 0.8


def test_parts_keep_the_start_and_the_order_of_the_text():
    ids, order = np.array([1, 10, 20, 30, 40]), np.array([3, 1, 4, 2])
    assert part_of(ids, order, 0.5, first=True).tolist() == [1, 10, 30]
    assert part_of(ids, order, 0.5, first=False).tolist() == [1, 20, 40]
    assert part_of(ids, order, 0.01, first=False).tolist() == [1, 10, 20, 40]
    assert part_of(ids, order, 0, first=True).tolist() == [1]


def test_methods_that_order_alike_agree():
    scores = {
        "one": [np.array([1.0, 2, 3, 4])],
        "same": [np.array([10.0, 20, 31, 44])],
        "other": [np.array([4.0, 3, 2, 1])],
    }
    found = agreement(scores)
    assert found["one"]["same"] == pytest.approx(1)
    assert found["one"]["other"] == pytest.approx(-1)


@pytest.mark.parametrize("flip", [False, True])
def test_the_best_threshold_is_that_of_trying_all(flip):
    rng = np.random.default_rng(3)
    values = np.round(rng.normal(size=60), 1)
    labels = (values + rng.normal(size=60) > 0).astype(int)
    labels = 1 - labels if flip else labels
    rule = best_threshold(values, labels)
    tried = [
        max((np.where(values > cut, a, 1 - a) == labels).mean() for a in (0, 1))
        for cut in (*values, values.min() - 1)
    ]
    assert rule.accuracy == pytest.approx(max(tried))
    assert (classify(rule, values) == labels).mean() == pytest.approx(rule.accuracy)


def test_a_threshold_needs_labels():
    for values, labels in (([], []), ([1.0], [2])):
        with pytest.raises(ValueError, match="labels must be 0 or 1"):
            best_threshold(np.array(values), np.array(labels))


def test_a_unit_is_described_by_the_words_that_it_writes_most_at():
    words = ["good", "bad", "the"] * 10 + ["rare"]
    wrote = np.array([0.5, -0.4, 0.0] * 10 + [9.0])
    found = describe_unit(3, np.full(31, 0.5), wrote, words)
    assert found.half_life == pytest.approx(1)
    assert found.words == (("good", 0.5), ("the", 0.0), ("bad", pytest.approx(-0.4)))
