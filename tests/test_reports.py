"""What a report says: shares, classes, probabilities, lengths, mistakes, and the summary."""

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as oracle

from lstm_jax.reports import Scored, summarise
from lstm_jax.reports.classes import class_scores, confused_pairs, hardest_class
from lstm_jax.reports.mistakes import mistakes, write_mistakes
from lstm_jax.reports.ranking import (
    average_precision,
    precision_recall,
    rankings,
    roc,
    thinned,
)
from lstm_jax.reports.shares import counted, p_value, percent, percents, wilson_interval
from lstm_jax.reports.trust import confidence_bins, length_bins


def scored(count: int = 400, classes: int = 2, seed: int = 0, **options) -> Scored:
    """Texts of random classes, most of which are predicted right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count).astype(np.int32)
    logits = rng.normal(0, 1, (count, classes))
    logits[np.arange(count), labels] += 2
    if classes == 2:
        logits = logits[:, 1:] - logits[:, :1]
    names = tuple(f"class {n}" for n in range(classes))
    texts = [f"text {n}" for n in range(count)]
    return Scored(texts, labels, logits, names, **options)


def certain(predictions: str, truths: str, **options) -> Scored:
    """A text for each letter of two strings: the class predicted with certainty, the true one."""
    names = tuple(sorted({*predictions, *truths}))
    logits = np.full((len(truths), len(names)), -20.0)
    logits[np.arange(len(truths)), [names.index(each) for each in predictions]] = 20.0
    labels = np.array([names.index(each) for each in truths], np.int32)
    return Scored([f"text {n}" for n in range(len(truths))], labels, logits, names, **options)


@pytest.mark.parametrize(("right", "count"), [(0, 7), (7, 7), (1, 2), (912, 1000), (3, 50)])
def test_the_interval_is_wilsons(right, count):
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson_interval(right, count) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson_interval(right, count).low <= right / count <= wilson_interval(right, count).high


def test_a_share_is_called_all_or_nothing_only_where_it_is():
    assert [percent(each) for each in (1.0, 0.0, 0.9123)] == ["100.0%", "0.0%", "91.2%"]
    assert [percent(each) for each in (0.99996, 0.00001)] == [">99.9%", "<0.1%"]
    assert percent(0.997, 0) == ">99%"
    assert percents(wilson_interval(912, 1000)) == "89.3 to 92.8%"
    assert [p_value(each) for each in (0.0004, 0.0316)] == ["<0.001", "0.032"]
    assert counted(1, "texts of texts.csv") == "1 text of texts.csv"
    assert counted(2000, "test texts") == "2,000 test texts"


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match=r"must be as many, and at least one, got 2, 1, 2"):
        Scored(["a", "b"], np.zeros(1, np.int32), np.zeros((2, 1)), ("x", "y"))
    with pytest.raises(ValueError, match=r"at least one, got 0, 0, 0"):
        Scored([], np.zeros(0, np.int32), np.zeros((0, 1)), ("x", "y"))


@pytest.mark.parametrize("classes", [2, 5])
def test_class_scores_are_those_of_scikit_learn(classes):
    found = scored(classes=classes)
    expected = np.array(oracle.precision_recall_fscore_support(found.labels, found.predicted))
    for score, (precision, recall, f1, texts) in zip(class_scores(found), expected.T, strict=True):
        assert (score.precision, score.recall) == pytest.approx((precision, recall))
        assert (score.f1, score.texts) == (pytest.approx(f1), texts)


def test_the_hardest_class_is_not_one_that_chance_made_hard():
    large = "a" * 20 + "b" * 20
    found = hardest_class(class_scores(certain("a" * 20 + "b" * 15 + "a" * 5 + "a", large + "c")))
    assert found is not None
    assert (found.name, found.recall) == ("b", 0.75)
    lonely = hardest_class(class_scores(certain("a" * 20 + "a", "a" * 20 + "c")))
    assert lonely is not None
    assert lonely.name == "c"
    assert hardest_class(class_scores(certain("ab", "ab"))) is None


def test_confused_pairs_come_with_their_share_of_the_class():
    found = confused_pairs(certain("bbacab", "aaabbb"), 5)
    assert [(pair.true, pair.predicted, pair.texts) for pair in found] == [
        ("a", "b", 2),
        ("b", "a", 1),
        ("b", "c", 1),
    ]
    assert found[0].share == pytest.approx(2 / 3)
    assert len(confused_pairs(certain("bbacab", "aaabbb"), 1)) == 1


def test_bins_of_confidence_hold_each_text_once():
    found = scored(classes=3)
    bins = confidence_bins(found)
    assert sum(each.texts for each in bins) == len(found)
    assert sum(each.right for each in bins) == found.right.sum()
    assert all(each.low <= each.mean <= each.high for each in bins)


def test_lengths_that_are_all_alike_are_one_bin():
    assert len(length_bins(scored(lengths=np.full(400, 7)))) == 1
    assert length_bins(scored()) == []


def test_bins_of_length_hold_about_as_many_texts_each():
    lengths = np.random.default_rng(1).integers(1, 300, 400)
    bins = length_bins(scored(lengths=lengths))
    assert len(bins) == 8
    assert sum(each.texts for each in bins) == 400
    assert all(40 <= each.texts <= 60 for each in bins)
    assert all(a.high < b.low for a, b in pairwise(bins))


@pytest.mark.parametrize("ties", [False, True])
def test_curves_are_those_of_scikit_learn(rng, ties):
    positive = rng.random(300) < 0.3
    scores = rng.normal(size=300) + positive
    if ties:
        scores = scores.round()
    rates = roc(scores, positive)
    area = np.trapezoid(rates[1], rates[0])
    assert area == pytest.approx(oracle.roc_auc_score(positive, scores))
    expected = oracle.roc_curve(positive, scores, drop_intermediate=False)[:2]
    np.testing.assert_allclose(rates, expected)
    curve = precision_recall(scores, positive)
    assert average_precision(curve) == pytest.approx(
        oracle.average_precision_score(positive, scores)
    )
    precision, recall, _ = oracle.precision_recall_curve(positive, scores)
    np.testing.assert_allclose(curve, (recall[::-1], precision[::-1]))


def test_a_thinned_curve_looks_the_same():
    rng = np.random.default_rng(0)
    positive = rng.random(20_000) < 0.5
    whole = roc(rng.normal(size=20_000) + positive, positive)
    thin = thinned(whole)
    assert len(thin[0]) <= 200 < len(whole[0])
    assert (thin[0][0], thin[1][0], thin[0][-1], thin[1][-1]) == (0, 0, 1, 1)
    middle = np.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(np.interp(middle, *thin), np.interp(middle, *whole), atol=0.01)


def test_of_many_classes_the_mean_and_the_worst_are_drawn():
    assert [each.name for each in rankings(scored())] == ["class 1"]
    found = rankings(scored(classes=9))
    assert found[0].name == "mean of 9 classes"
    assert len(found) == 6
    areas = [each.auc for each in found[1:]]
    assert areas == sorted(areas)
    assert found[0].auc == pytest.approx(scored(classes=9).metrics.auc, abs=2e-3)
    assert rankings(certain("ab", "aa")) == []


def test_two_logits_rank_as_one_does():
    one = scored()
    two = Scored(one.texts, one.labels, np.c_[np.zeros(400), one.logits], one.class_names)
    assert rankings(one)[0].auc == pytest.approx(rankings(two)[0].auc)


def test_mistakes_are_the_surest_ones_first(tmp_path):
    found = mistakes(scored())
    wrong = ~scored().right
    assert len(found) == min(50, wrong.sum())
    assert found[0].probability == scored().confidence[wrong].max()
    chances = [each.probability for each in found]
    assert chances == sorted(chances, reverse=True)
    assert all(each.true != each.predicted for each in found)
    assert mistakes(certain("ab", "ab")) == []


def test_no_cell_of_mistakes_runs_as_a_formula(tmp_path: Path):
    texts = ["=1+1", "+a", "-b", "@c", "\t=d", 'e, "f"\ng', "fine"]
    names = ("=cmd()", "b")
    found = Scored(texts, np.zeros(7, np.int32), np.full((7, 1), 5.0), names)
    write_mistakes(tmp_path / "mistakes.csv", found)
    with (tmp_path / "mistakes.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["text", "true", "predicted", "probability"]
    assert [row[0] for row in rows] == [f"'{text}" for text in texts[:5]] + texts[5:]
    assert {row[1] for row in rows} == {"'=cmd()"}
    assert {row[3] for row in rows} == {"0.9933"}


def test_the_summary_says_the_result_in_sentences():
    found = certain("a" * 60 + "b" * 36 + "a" * 4, "a" * 60 + "b" * 40, linear_accuracy=0.901)
    assert summarise(found) == [
        "Accuracy on 100 test texts: 96.0% (95% interval: 90.2 to 98.4%)",
        "Hardest class: 'b', 90% of its 40 texts found",
        "A linear model (TF-IDF of words and pairs, logistic regression): 90.1%",
        "On average it says 100% and is right 96% of the time (calibration error 0.040)",
    ]


def test_the_summary_says_what_a_probability_of_90_percent_means():
    logits = np.full((100, 1), np.log(9))
    labels = np.array([1] * 85 + [0] * 15, np.int32)
    found = Scored(["text"] * 100, labels, logits, ("no", "yes"), part="texts of more.csv")
    assert summarise(found)[0].startswith("Accuracy on 100 texts of more.csv: 85.0% ")
    assert summarise(found)[2] == (
        "When it says 90%, it is right 85% of the time (calibration error 0.050)"
    )


def test_the_summary_makes_sense_where_there_is_little_to_measure():
    assert summarise(None) == [
        "Nothing was measured: there are no texts with labels that were set aside for it"
    ]
    one = Scored(["a"], np.zeros(1, np.int32), np.full((1, 3), 0.0), ("a", "b", "c"))
    lines = summarise(one)
    assert lines[0] == "Accuracy on 1 test text: 100.0% (95% interval: 20.7 to 100.0%)"
    assert lines[1:3] == [
        "Every text is predicted right",
        "2 of 3 classes have no text here and cannot be measured",
    ]
    assert "1 of 3 classes has no text here and cannot be measured" in summarise(
        certain("abc", "abb")
    )
    assert summarise(certain("a", "b"))[1] == "Hardest class: 'b', whose only text is not found"
