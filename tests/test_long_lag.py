"""The tasks of the 1997 paper: sequences as it describes them, criteria, and the record."""

import json
import re
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from experiments import long_lag
from experiments.long_lag import Recent, Settings, Study, Verdict, init_network, learn, measure
from experiments.long_lag_tasks import (
    ORDER_SYMBOLS,
    REBER_SYMBOLS,
    TASKS,
    Goal,
    Sequences,
    adding,
    as_sequences,
    multiplication,
    reber_string,
    reber_strings,
)

SETTINGS = Settings()

# The grammar as a regular expression, worked out by hand from figure 3.
TAIL = "(XT*VP)*(SE|XT*VVE)"
INNER = f"B(TS*X{TAIL}|PT*V(VE|P{TAIL}))"
EMBEDDED = re.compile(f"B(T{INNER}T|P{INNER}P)E")


@pytest.mark.parametrize(
    ("draw", "lowest", "neutral", "answer"),
    [
        (adding, -1, 0, lambda first, second: 0.5 + (first + second) / 4),
        (multiplication, 0, 1, lambda first, second: first * second),
    ],
)
@pytest.mark.parametrize("steps", [20, 100])
def test_marked_pairs_are_those_of_the_paper(rng, draw, lowest, neutral, answer, steps):
    sequences = draw(rng, 4_000, steps=steps)
    places, hidden, lengths = defaultdict(int), 0, set()
    for inputs, length, target in zip(*sequences[:3], strict=True):
        lengths.add(int(length))
        values, markers = inputs[:length].T
        assert not inputs[length:].any()
        assert np.all((values >= lowest) & (values <= 1))
        assert markers[0] == markers[-1] == -1
        marked = np.flatnonzero(markers == 1)
        assert set(markers[1:-1]) <= {0, 1}
        assert len(marked) in (1, 2)
        if len(marked) == 1:  # the first pair is the other one
            hidden += 1
            assert values[0] == neutral
            marked = np.array([0, *marked])
        assert marked[0] < 10
        assert marked[1] < steps // 2
        for place in marked:
            places[int(place)] += 1
        assert target == pytest.approx([answer(*values[marked].astype(float))], abs=1e-6)
    assert lengths == set(range(steps, steps + steps // 10 + 1))
    assert set(places) == set(range(steps // 2))
    # The first is marked as one of ten or, else, as one of the T/2 - 1 that are not yet.
    expected = 0.1 + 0.9 / (steps // 2 - 1)
    assert hidden / 4_000 == pytest.approx(expected, abs=4 * np.sqrt(expected / 4_000))


def test_sequences_too_short_for_ten_pairs_in_their_half_are_refused(rng):
    with pytest.raises(ValueError, match="steps must be at least 20"):
        adding(rng, 1, steps=19)


@pytest.mark.parametrize(
    ("name", "windows", "classes"),
    [
        ("order-2", [(10, 20), (50, 60)], "XX XY YX YY"),
        ("order-3", [(10, 20), (33, 43), (66, 76)], "XXX XXY XYX XYY YXX YXY YYX YYY"),
    ],
)
def test_temporal_order_is_that_of_the_paper(rng, name, windows, classes):
    draw = TASKS[name].draw
    assert draw is not None
    sequences = draw(rng, 4_000)
    seen = [set() for _ in windows]
    lengths, drawn = set(), defaultdict(int)
    for inputs, length, target in zip(*sequences[:3], strict=True):
        assert not inputs[length:].any()
        assert np.all(inputs[:length].sum(axis=1) == 1)
        string = "".join(ORDER_SYMBOLS[n] for n in inputs[:length].argmax(axis=1))
        assert re.fullmatch("E[abcdXY]*B", string)
        relevant = list(re.finditer("[XY]", string))
        for window, match in zip(seen, relevant, strict=True):
            window.add(match.start() + 1)
        order = "".join(match[0] for match in relevant)
        assert list(target) == [float(order == of_class) for of_class in classes.split()]
        lengths.add(int(length))
        drawn[order] += 1
    assert seen == [set(range(first, last + 1)) for first, last in windows]
    assert lengths == set(range(100, 111))
    assert set(drawn) == set(classes.split())


def test_reber_strings_are_of_the_grammar(rng):
    strings = reber_strings(rng, 2_000)
    assert all(EMBEDDED.fullmatch(string.symbols) for string in strings)
    lengths = [len(string.symbols) for string in strings]
    assert min(lengths) == 9  # B T BTXSE T E; the paper's shortest lag
    assert any("SS" in string.symbols and "XX" in string.symbols for string in strings)
    assert not EMBEDDED.fullmatch("BTBTXSEPE")


def test_what_may_follow_in_the_reber_grammar_is_what_does(rng):
    following, possible = defaultdict(lambda: defaultdict(int)), defaultdict(set)
    for string in reber_strings(rng, 5_000):
        for length, symbols in enumerate(string.following, start=1):
            prefix = string.symbols[:length]
            following[prefix][string.symbols[length]] += 1
            possible[prefix].add(frozenset(symbols))
    often = [prefix for prefix, counts in following.items() if sum(counts.values()) >= 60]
    assert len(often) > 50
    for prefix in often:
        assert possible[prefix] == {frozenset(following[prefix])}
        counts = following[prefix].values()
        assert len(counts) <= 2
        # A choice is even: within 4 standard deviations.
        if len(counts) == 2:
            assert abs(max(counts) - sum(counts) / 2) <= 2 * np.sqrt(sum(counts))


def test_reber_test_strings_are_not_among_the_training_strings(rng):
    train = reber_strings(rng, 256)
    assert set(train).isdisjoint(reber_strings(rng, 256, without=train))


def test_reber_strings_become_symbols_and_their_successors(rng):
    strings = [reber_string(rng) for _ in range(20)]
    sequences = as_sequences(strings, steps=60)
    assert sequences.legal is not None
    for row, string in enumerate(strings):
        length = len(string.symbols) - 1
        assert sequences.lengths[row] == length
        for arrays, symbols in (
            (sequences.inputs, string.symbols[:-1]),
            (sequences.targets, string.symbols[1:]),
        ):
            read = [REBER_SYMBOLS[n] for n in arrays[row, :length].argmax(axis=1)]
            assert "".join(read) == symbols
            assert np.all(arrays[row, :length].sum(axis=1) == 1)
            assert not arrays[row, length:].any()
        for step, symbols in enumerate(string.following):
            legal = np.flatnonzero(sequences.legal[row, step])
            assert {REBER_SYMBOLS[n] for n in legal} == set(symbols)
        assert not sequences.legal[row, length:].any()


def verdict(wrong: int, right: int, error: float) -> Verdict:
    """On a batch of which so many are wrong, each with this error."""
    correct: Any = np.arange(wrong + right) < wrong
    errors: Any = np.full(len(correct), error)
    squares: Any = np.zeros(len(correct))
    return Verdict(correct, errors, squares)


def sequences_of(inputs: Any, lengths: Any, targets: Any) -> Sequences:
    """Of float64 too."""
    return Sequences(inputs, lengths, targets)


def test_a_criterion_fires_when_it_should_and_not_before():
    goal = Goal(1, wrong_below=1, error_below=0.01)
    recent = Recent().and_then(verdict(1, 0, 0.0))
    for _ in range(1_999):
        recent = recent.and_then(verdict(0, 1, 0.009))
        assert not recent.reach(goal)
    assert recent.and_then(verdict(0, 1, 0.009)).reach(goal)  # the wrong one is too long ago
    assert not recent.and_then(verdict(1, 0, 0.009)).reach(goal)
    assert not recent.and_then(verdict(0, 16, 30.0)).reach(goal)  # mean error 0.01 or more


def test_of_the_product_some_may_be_wrong():
    coarse, fine = TASKS["multiplication"].goals
    assert (coarse.wrong_below, fine.wrong_below) == (140, 13)
    for goal in (coarse, fine):
        allowed = goal.wrong_below - 1
        assert Recent().and_then(verdict(allowed, 2_000 - allowed, 0.5)).reach(goal)
        assert not Recent().and_then(verdict(allowed + 1, 1_999 - allowed, 0.5)).reach(goal)
        assert not Recent().and_then(verdict(0, 1_999, 0.5)).reach(goal)


def test_a_response_is_wrong_from_the_tolerance_on():
    sequences = sequences_of(np.zeros((4, 1, 2)), np.ones(4, int), np.full((4, 1), 0.5))
    responses: Any = np.array([[0.5], [0.461], [0.539], [0.541]])
    found = measure(TASKS["adding-100"], responses, sequences)
    assert found.wrong.tolist() == [False, False, False, True]
    np.testing.assert_allclose(found.error, [0, 0.039, 0.039, 0.041], atol=1e-6)
    np.testing.assert_allclose(found.squared, np.square(found.error), atol=1e-6)


def test_a_class_is_right_if_every_probability_is_near_its_target():
    targets = np.eye(4)[[0, 0, 1]]
    probabilities = np.array([[0.71, 0.29, 0, 0], [0.69, 0.11, 0.1, 0.1], [0.9, 0.1, 0, 0]])
    sequences = sequences_of(np.zeros((3, 1, 8)), np.ones(3, int), targets)
    responses: Any = np.log(probabilities + 1e-9)
    found = measure(TASKS["order-2"], responses, sequences)
    assert found.wrong.tolist() == [False, True, True]
    np.testing.assert_allclose(found.error, [0.58, 0.62, 1.8], atol=1e-5)


def test_a_reber_prediction_is_right_if_legal_symbols_are_above_all_others(rng):
    strings = reber_strings(rng, 30)
    sequences = as_sequences(strings, steps=50)
    assert sequences.legal is not None
    responses = np.where(sequences.legal, 0.1, 0.0) + rng.uniform(0, 0.09, sequences.legal.shape)
    responses[np.arange(50) >= sequences.lengths[:, None]] = 1.0  # padding says nothing
    right = partial(measure, TASKS["reber"], sequences=sequences)
    assert not np.any(right(responses).wrong)
    for row in range(10):  # at one step an illegal symbol is as active as the least legal one
        step = rng.integers(sequences.lengths[row])
        legal = sequences.legal[row, step]
        illegal = np.flatnonzero(~legal)[rng.integers((~legal).sum())]
        responses[row, step, illegal] = responses[row, step][legal].min()
    assert right(responses).wrong.tolist() == [True] * 10 + [False] * 20


def test_nan_is_never_right(rng):
    ends = sequences_of(np.zeros((1, 1, 2)), np.ones(1, int), np.full((1, 1), 0.5))
    responses: Any = np.full((1, 1), np.nan)
    assert np.all(measure(TASKS["adding-100"], responses, ends).wrong)
    string = as_sequences(reber_strings(rng, 1), steps=50)
    responses = np.full((1, 50, 7), np.nan)
    assert np.all(measure(TASKS["reber"], responses, string).wrong)
    assert not Recent().and_then(verdict(0, 2_000, np.nan)).reach(Goal(1, error_below=0.1))


def test_adding_over_twenty_steps_is_learnt():
    task = replace(
        TASKS["adding-100"],
        draw=partial(adding, steps=20),
        goals=(Goal(30_000, error_below=0.01),),
        remember=20,
    )
    (result,) = learn(task, replace(SETTINGS, hidden_size=16), 100, say=print)
    assert result["sequences"] is not None
    assert 2_000 <= result["sequences"] < 30_000
    assert result["tested"] == 2_560
    assert result["wrong"] <= 10
    assert result["squared_error"] < 0.0004  # all answers alike: 1/24


def test_a_network_that_needs_as_many_sequences_as_the_paper_has_failed():
    task = replace(TASKS["reber"], goals=(Goal(32),))
    (result,) = learn(task, SETTINGS, 100, say=print)
    assert result["sequences"] is None
    assert result["tested"] == 256
    assert result["wrong"] > 0


def test_gates_start_out_for_memories_up_to_the_length_of_the_task():
    network = init_network(jax.random.key(0), replace(SETTINGS, hidden_size=200), 2, 1, 1_000)
    input_bias, forget_bias, *others = np.split(np.asarray(network.lstm.bias), 4)
    np.testing.assert_array_equal(input_bias, -forget_bias)
    assert not np.any(others)
    spans = np.sort(np.exp(forget_bias))
    assert spans[0] >= 1
    assert spans[-1] <= 999
    np.testing.assert_allclose(spans, np.linspace(1, 999, 200), atol=100)  # uniform
    fixed = init_network(jax.random.key(0), replace(SETTINGS, forget_bias=2.0), 2, 1, 1_000)
    assert set(np.asarray(fixed.lstm.bias)) == {0.0, 2.0}


def test_a_resumed_record_keeps_its_networks(tmp_path, monkeypatch, capsys):
    trained = []

    def learn(task, settings, seed, say):
        trained.append(seed)
        of_goal = {"sequences": 100 + seed, "minutes": 0.1, "tested": 256, "wrong": seed}
        return [{**of_goal, "squared_error": None, "absolute_error": None}]

    monkeypatch.setattr(long_lag, "learn", learn)
    record = tmp_path / "long_lag.json"
    study = Study("reber", seeds=(0, 1), record=record)
    long_lag.run(study)
    first = json.loads(record.read_text())
    long_lag.run(replace(study, seeds=(0, 1, 4), resume=True))
    assert trained == [0, 1, 4]
    runs = json.loads(record.read_text())["tasks"]["reber"]
    assert runs == {**first["tasks"]["reber"], "4": learn("reber", SETTINGS, 4, print)}
    (row,) = long_lag.rows({"reber": runs})
    figures = ["102, most 104", "8,440", "1.7, most 4", "256", "", "", "0.1"]
    assert row == ["reber", "3 of 3", *figures]
    other = replace(study, resume=True, settings=replace(SETTINGS, hidden_size=8))
    with pytest.raises(ValueError, match="other settings"):
        long_lag.run(other)


def test_what_cannot_be_run_is_refused():
    with pytest.raises(ValueError, match=r"task must be one of .*order-3.* got 'copying'"):
        long_lag.run(Study("copying"))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        long_lag.run(Study("reber", settings=replace(SETTINGS, batch_size=0)))


def test_the_table_in_the_documentation_is_the_record():
    root = Path(long_lag.__file__).parents[1]
    record = json.loads((root / "experiments" / "results" / "long_lag.json").read_text())
    page = (root / "docs" / "explanation" / "long-lags.md").read_text()
    assert record["command"] in page
    for row in long_lag.rows(record["tasks"]):
        assert f"| {' | '.join(row)} |" in page
