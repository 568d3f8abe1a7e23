"""Warnings about data: given where there is a reason, with true figures, and not elsewhere."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import small
from rich.console import Console

from lstm_jax.data import Corpus, Examples, load_corpus, split_validation
from lstm_jax.data.checks import (
    check_lengths,
    check_predictions,
    check_repeats,
    check_schedule,
    check_split,
    check_words,
    interval,
)
from lstm_jax.text import WordTokenizer


def examples(texts, labels) -> Examples:
    return Examples(list(texts), np.array(labels, np.int32))


def numbered(count: int, what: str = "text") -> Examples:
    """So many different texts of two classes."""
    return examples((f"{what} {n}" for n in range(count)), np.arange(count) % 2)


def parts(train: Examples, test: Examples | None = None, validation: Examples | None = None):
    """A corpus, and its training examples in two parts: what the checks are given."""
    every = train
    if validation is not None:
        labels = np.concatenate([train.labels, validation.labels])
        every = Examples([*train.texts, *validation.texts], labels)
    return Corpus("own", every, test, ("neg", "pos")), train, validation


# Sizes and classes ----------------------------------------------------------------------------


def test_sound_data_gives_no_line():
    corpus, train, validation = parts(numbered(950), numbered(200, "new"), numbered(110, "held"))
    assert check_split(corpus, train, validation, 0.1) == []
    assert check_repeats(corpus, train, validation) == []


def test_classes_with_one_example_are_named():
    labels = np.repeat([0, 1, 2, 3, 4, 5], [1000, 1000, 1, 1, 1, 1])
    every = examples((f"text {n}" for n in range(len(labels))), labels)
    corpus = Corpus("own", every, None, tuple("abcdef"))
    kept, held_out = split_validation(labels, 0.05, seed=0)
    (line,) = check_split(corpus, every.take(kept), every.take(held_out), 0.05)
    assert "one example of 'c', 'd', 'e' and 1 more classes" in line
    assert check_split(corpus, every, None, 0) == []  # nothing is validated


def test_a_part_larger_than_asked_for_is_said():
    labels = np.repeat(np.arange(200), 4)
    every = examples((f"text {n}" for n in range(800)), labels)
    corpus = Corpus("own", every, None, tuple(map(str, range(200))))
    kept, held_out = split_validation(labels, 0.05, seed=0)
    (line,) = check_split(corpus, every.take(kept), every.take(held_out), 0.05)
    assert "25% of the examples and not 5%" in line


def test_a_class_without_training_or_test_examples_is_named():
    corpus, train, _ = parts(numbered(200), examples(["a new one"] * 120, [1] * 120))
    (line,) = check_split(corpus, train, None, 0)
    assert "the test data has no example of 'neg'" in line
    (line,) = check_split(
        replace(corpus, class_names=("neg", "pos", "odd"), test=None), train, None, 0
    )
    assert "the training data has no example of 'odd'" in line


def test_a_tiny_part_comes_with_its_uncertainty():
    corpus, train, validation = parts(numbered(1000), numbered(30, "new"), numbered(20, "held"))
    lines = check_split(corpus, train, validation, 0.02)
    assert [line.split(":")[0] for line in lines] == [
        "the validation part has 20 examples, so its accuracy is uncertain by up to ±20 points",
        "the test data has 30 examples, so its accuracy is uncertain by up to ±17 points",
    ]


@pytest.mark.parametrize("count", [2, 20, 100, 1000])
def test_the_uncertainty_is_wilsons(count):
    stats = pytest.importorskip("scipy.stats")
    low, high = stats.binomtest(count // 2, count).proportion_ci(method="wilson")
    assert interval(count) == pytest.approx((high - low) / 2, rel=1e-3)


# Texts that stand twice -----------------------------------------------------------------------


def test_a_test_file_that_is_the_training_file_is_said():
    corpus, train, _ = parts(numbered(200), numbered(200))
    (line,) = check_repeats(corpus, train, None)
    assert line.startswith("all 200 test texts are training texts too")


def test_rows_that_stand_in_two_parts_are_counted_but_for_capitals_and_spaces():
    train = examples([f"text {n}" for n in range(300)], [0] * 300)
    held = examples(["TEXT  1\n", "text 2", *(f"held {n}" for n in range(98))], [0] * 100)
    test = examples(["text 7", "held 3", "Text 8", *(f"new {n}" for n in range(97))], [0] * 100)
    lines = check_repeats(*parts(train, test, held))
    assert [line.split(",")[0] for line in lines] == [
        "2 of 100 validation texts (2.0%) are training texts too",
        "3 of 100 test texts (3.0%) are training texts too",
    ]


def test_a_text_with_two_labels_is_shown():
    train = examples(["a fine film", "A fine  film", "x"], [0, 1, 0])
    (line,) = check_repeats(*parts(train))
    assert (
        "1 text of the data has more than one label, such as 'a fine film' with 'neg' and 'pos'"
        in line
    )
    again = examples(["x", "X"], [1, 1])
    lines = check_repeats(*parts(train, again))
    assert "2 texts of the data have more than one label" in lines[-1]


def test_few_repeats_among_many_texts_are_not_worth_a_line():
    train, test = numbered(3000), numbered(3000, "new")
    test = Examples([*train.texts[:2], *test.texts[2:]], test.labels)
    assert check_repeats(*parts(train, test)) == []


# Words ----------------------------------------------------------------------------------------


def test_a_part_of_which_most_words_are_unknown_is_said():
    tokenizer = WordTokenizer.train(["a good film"], preset="punctuation", vocabulary_size=20)
    chinese = [f"这部电影非常好看{n}" for n in range(2000)]  # no spaces: each is a word of its own
    known = ["a good film", "a good plot"]
    (line,) = check_words(tokenizer, {"validation": known, "test": chinese, "none": []})
    assert line.startswith("100% of the words of the test texts are not in the vocabulary")
    assert check_words(tokenizer, {"test": [""]}) == []


@pytest.mark.parametrize(
    ("lengths", "line"),
    [
        ([3001] * 10, "100% of the training texts are longer than --text.max-length 400 and lose"),
        ([500] * 3 + [10] * 7, "30% of the training texts"),
        ([4000] + [100] * 99, "1% of the training texts are longer than --text.max-length 400"),
        ([500] * 2 + [200] * 8, None),
        ([400] * 10, None),
    ],
    ids=str,
)
def test_texts_are_said_to_be_cut_where_it_is_much(lengths, line):
    lines = check_lengths([np.zeros(length, int) for length in lengths], 400, "front")
    assert [each[: len(line or "")] for each in lines] == ([line] if line else [])


def test_what_a_cut_takes_is_said():
    (line,) = check_lengths([np.zeros(3001, int)], 400, "front")
    assert "lose their beginnings, 87% of all words" in line


# Training -------------------------------------------------------------------------------------


def test_a_schedule_that_never_gets_there_is_said():
    (line,) = check_schedule(100, 60)
    assert "all of the run's 60 steps" in line
    assert check_schedule(59, 60) == check_schedule(0, 60) == []


def test_a_model_that_predicts_one_class_is_said_where_there_are_two():
    assert "predicts one class" in check_predictions(1, 2)[0]
    assert check_predictions(2, 2) == check_predictions(1, 1) == []


def test_a_run_shows_its_warnings_once_and_keeps_them(tmp_path):
    corpus = replace(small.corpus(), warnings=("odd [bold]labels[/]",))
    corpus = replace(corpus, test=corpus.train)
    train = replace(small.CONFIG.train, epochs=1)
    optimizer = replace(small.CONFIG.optimizer, learning_rate=1e-9, warmup_steps=0)
    config = replace(small.CONFIG, train=train, optimizer=optimizer)
    shown = io.StringIO()
    small.train(config, corpus, tmp_path / "run", console=Console(file=shown, width=60))
    warnings = json.loads((tmp_path / "run" / "result.json").read_text())["warnings"]
    lines = [line for line in shown.getvalue().splitlines() if line.startswith("warning: ")]
    assert [line.removeprefix("warning: ") for line in lines] == warnings
    assert warnings[0] == "odd [bold]labels[/]"
    for part in ("all 100 test texts", "validation part has 20 examples", "temperature is not fit"):
        assert sum(part in line for line in warnings) == 1


def test_pretraining_keeps_its_warnings(tmp_path):
    texts = [f"the word{n} and{n} that{n}" for n in range(40)]
    result = pretrain_small(texts, tmp_path / "run", vocabulary_size=10)
    (line,) = result.outcome.warnings
    assert line.startswith("75% of the words of the validation texts are not in the vocabulary")


def test_pretraining_refuses_a_validation_part_that_cannot_be_measured(tmp_path):
    texts = [f"word{n}" for n in range(40)]
    with pytest.raises(ValueError, match=r"got 8 texts without; --train\.validation-fraction 0"):
        pretrain_small(texts, tmp_path / "run", vocabulary_size=10)


def pretrain_small(texts, path, **text):
    train = replace(small.CONFIG.train, epochs=1)
    config = replace(small.CONFIG, text=replace(small.CONFIG.text, **text), train=train)
    return small.pretrain(config, texts, path, name="own")


@pytest.mark.parametrize("name", ["builtin", "builtin5"])
def test_the_built_in_corpus_is_sound(name):
    corpus = load_corpus(name)
    kept, held_out = split_validation(corpus.train.labels, 0.05, 0)
    train, validation = corpus.train.take(kept), corpus.train.take(held_out)
    tokenizer = WordTokenizer.train(train.texts, preset="punctuation", vocabulary_size=8_000)
    assert check_split(corpus, train, validation, 0.05) == []
    assert check_repeats(corpus, train, validation) == []
    assert check_words(tokenizer, {"test": corpus.test.texts if corpus.test else []}) == []
    assert check_lengths(tokenizer.encode_batch(train.texts[:2000]), 400, "front") == []


@pytest.mark.real_data
def test_of_imdb_only_what_is_known_of_it_is_said():
    corpus = load_corpus("imdb")
    kept, held_out = split_validation(corpus.train.labels, 0.05, 0)
    train, validation = corpus.train.take(kept), corpus.train.take(held_out)
    assert check_split(corpus, train, validation, 0.05) == []
    (line,) = check_repeats(corpus, train, validation)
    assert line.startswith("123 of 25,000 test texts (0.5%) are training texts too")
