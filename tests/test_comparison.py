"""Runs beside each other: whether one is better, and where they differ."""

import csv

import numpy as np
import pytest
from scipy.stats import binom
from test_reports import certain

from lstm_jax.reports.comparison import (
    Comparison,
    bootstrap_interval,
    check_classes,
    differences,
    disagreements,
    mcnemar,
    verdict,
    write_disagreements,
)
from lstm_jax.reports.comparison_page import comparison_page, write_comparison

TRUTHS = "aaaaabbbbb"
BETTER, WORSE, THIRD = "aaaaabbbba", "bbbbabbbba", "bbbbbaaaaa"


def compared(*predictions: str, names: tuple[str, ...] = ("x", "y", "z")) -> Comparison:
    return Comparison(names[: len(predictions)], [certain(each, TRUTHS) for each in predictions])


def test_mcnemars_test_is_the_exact_one():
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1
    assert mcnemar(2, 9) == mcnemar(9, 2) == pytest.approx(2 * binom.cdf(2, 11, 0.5))


def test_the_bootstrap_interval_is_that_of_drawing_texts_again(rng):
    mine, theirs = rng.random(200) < 0.9, rng.random(200) < 0.8
    found = bootstrap_interval(mine, theirs)
    rows = rng.integers(0, 200, (20_000, 200))
    drawn = mine[rows].mean(1) - theirs[rows].mean(1)
    assert found == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))), abs=0.006)
    assert found == bootstrap_interval(mine, theirs)
    assert bootstrap_interval(mine, mine) == (0, 0)


def test_the_best_runs_differences_come_first():
    found = differences(compared(WORSE, BETTER, THIRD))
    assert [(each.name, each.other) for each in found] == [("y", "x"), ("y", "z"), ("x", "z")]
    assert (found[0].alone, found[0].other_alone) == (4, 0)
    assert found[0].accuracy == pytest.approx(0.4)
    assert found[0].p == pytest.approx(0.125)
    assert found[0].interval.low <= 0.4 <= found[0].interval.high


def test_the_verdict_says_whether_it_may_be_chance():
    assert verdict(compared(WORSE, BETTER)) == (
        "On 10 test texts, y is the most accurate, 40.0 points before x, which may be chance"
        " (p 0.125)"
    )
    assert "hardly chance (p 0.004)" in verdict(compared(THIRD, BETTER))
    assert verdict(compared(BETTER, BETTER)).endswith("x and y are equally accurate")


def test_texts_on_which_runs_differ_most_come_first():
    one = certain(BETTER, TRUTHS)
    other = certain(WORSE, TRUTHS)
    other.logits[2] = [-0.1, 0.1]  # is not so sure of this mistake
    found = disagreements(Comparison(("x", "y"), (one, other)))
    assert [each.text for each in found] == ["text 0", "text 1", "text 3", "text 2"]
    assert (found[0].true, found[0].predicted) == ("a", ("a", "b"))
    assert found[0].probabilities == pytest.approx((1, 0))
    assert disagreements(compared(BETTER, BETTER)) == []


def test_all_of_them_are_in_the_csv(tmp_path):
    comparison = compared(BETTER, WORSE, names=("=run", "y"))
    write_disagreements(tmp_path / "differences.csv", comparison)
    with (tmp_path / "differences.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    chance = "probability of the true class"
    assert header == ["text", "true", "'=run", f"'=run: {chance}", "y", f"y: {chance}"]
    assert len(rows) == 4
    assert rows[0] == ["text 0", "a", "a", "1.0000", "b", "0.0000"]


def test_runs_that_cannot_be_compared_are_refused():
    classes = [("a", "b"), ("a", "b"), ("a", "c")]
    with pytest.raises(ValueError, match=r"^runs must have the same classes, got x with 2 and z"):
        check_classes("xyz", classes)
    with pytest.raises(ValueError, match=r"^runs must be two or more, got 1"):
        compared(BETTER)
    with pytest.raises(ValueError, match="same texts"):
        Comparison(("x", "y"), (certain("ab", "ab"), certain("ab", "ba")))


def test_the_page_holds_both_runs_and_nothing_of_them_is_markup(tmp_path):
    comparison = compared(BETTER, WORSE, names=("<b>one</b>", "two"))
    page = comparison_page(comparison)
    assert "&lt;b&gt;one&lt;/b&gt;" in page
    assert "<b>one" not in page
    assert "Training" not in page, "there are no curves"
    written = write_comparison(tmp_path / "new", comparison)
    assert written.page.read_text(encoding="utf-8") == page
    assert written.differences.name == "differences.csv"
