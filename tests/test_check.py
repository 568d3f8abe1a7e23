"""`check`: what it says of data is true, and a person can read it."""

import csv
import io
import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from lstm_jax import cli
from lstm_jax.cli.check import check, classes_table, findings, problems
from lstm_jax.console import fields
from lstm_jax.data import Corpus, Examples, Padding, checks
from lstm_jax.data import description as described
from lstm_jax.data.checks import check_description, check_near, find_near
from lstm_jax.data.description import describe, share
from lstm_jax.recipes.advice import before_training
from lstm_jax.text import WordTokenizer
from lstm_jax.train.config import Config, TrainConfig
from lstm_jax.train.estimate import Estimate, Sizes, estimate

RESULTS = Path(__file__).parents[1] / "experiments" / "results"
LONG = "this film has a plot that nobody understands but the music is very good indeed"


def examples(texts, labels) -> Examples:
    return Examples(list(texts), np.array(labels, np.int32))


def numbered(count: int, what: str = "text") -> Examples:
    return examples((f"{what} number {n} of them" for n in range(count)), np.arange(count) % 2)


def looked_at(train: Examples, test: Examples | None = None, names=("neg", "pos"), **options):
    corpus = Corpus("own", train, test, names)
    tokenizer = WordTokenizer.train(
        train.texts, preset=options.pop("preset", "punctuation"), vocabulary_size=1000
    )
    return describe(corpus, tokenizer, Padding(options.pop("max_length", 10)), **options)


# What is found --------------------------------------------------------------------------------


def test_classes_and_empty_texts_are_counted():
    train = examples(["a", "", "b", " \n"], [0, 0, 1, 0])
    found = looked_at(train, examples(["", "c"], [1, 1]))
    assert (found.training, found.test) == ((3, 1), (0, 2))
    assert (found.empty, found.empty_test) == (2, 1)


def test_repeated_texts_and_texts_with_two_labels_are_counted_whatever_case_and_spaces():
    train = examples(["A  b", "a b", "c", "d", "", ""], [0, 0, 1, 0, 0, 1])
    found = looked_at(train, examples(["D", "C ", "e"], [1, 1, 0])).repeats
    assert found.training == 2  # "a b" and the second empty one
    assert (found.labels, found.examples) == (1, (("d", ("neg", "pos")),))
    assert found.test == 2


def test_test_texts_that_are_nearly_training_texts_are_counted_apart_from_those_that_are():
    train = examples([LONG, "something else"], [0, 1])
    test = examples([LONG.upper(), LONG + " indeed", "nothing of it"], [0, 0, 1])
    found = looked_at(train, test).repeats
    assert (found.test, found.near, found.compared) == (1, 1, 3)
    found = looked_at(train, test, near=False).repeats
    assert (found.test, found.near, found.compared) == (1, None, 0)


def test_a_training_looks_for_near_duplicates_where_texts_are_few(monkeypatch):
    train, test = examples([LONG, "else"], [0, 1]), examples([LONG + " indeed", "nothing"], [0, 1])
    corpus = Corpus("own", train, test, ("neg", "pos"))
    assert find_near(corpus) == (1, 2)
    assert find_near(replace(corpus, test=None)) == (None, 0)
    monkeypatch.setattr(checks, "_NEAR_CHARACTERS", 100)
    assert find_near(corpus) == (None, 0)
    tokenizer = WordTokenizer.train(train.texts, preset="punctuation", vocabulary_size=1000)
    parts = {"train": train, "validation": None, "test": test}
    about = corpus, parts, tokenizer, tokenizer.encode_batch(train.texts), 100
    config = Config(train=TrainConfig(validation_fraction=0.0))
    assert not any("nearly the same" in line for line in before_training(config, *about))
    monkeypatch.setattr(checks, "_NEAR_CHARACTERS", 10_000)
    assert any("nearly the same" in line for line in before_training(config, *about))


def test_near_duplicates_are_looked_for_in_a_sample_where_texts_are_many(monkeypatch):
    monkeypatch.setattr(described, "NEAR_CHARACTERS", 100)
    test = examples([f"{LONG} {n}" for n in range(40)], [0] * 40)
    found = looked_at(examples([LONG], [0]), test).repeats
    assert found.near is not None
    assert 0 < found.compared == found.near < 40


def test_lengths_are_those_of_the_tokens():
    texts = ["a", "a b", *["a b c"] * 17, "a " * 30]
    found = looked_at(examples(texts, [0] * 20), max_length=11).lengths
    assert (found.median, found.most, found.longest) == (4, 4, 31)  # with the start token
    assert found.cut_texts == 1 / 20
    assert found.cut_tokens == 20 / (2 + 3 + 17 * 4 + 31)
    assert max(found.sample) == 11
    found = looked_at(examples(["abc"], [0]), preset="characters").lengths
    assert found.longest == 5


def test_scripts_and_the_tokenizer_that_suits_are_said():
    found = looked_at(examples(["这部电影非常好看", "abcd"], [0, 1]))
    assert found.scripts == {"Han": 8 / 12, "Latin": 4 / 12}
    assert (found.tokenizer, found.choice.tokenizer) == ("punctuation", "bpe")


def test_the_summary_has_two_lines_with_the_figures():
    corpus = Corpus("own", numbered(300), numbered(100, "new"), ("neg", "pos"))
    assert described.summary(corpus) == [
        "300 training examples and 100 test examples of 2 classes: neg 50%, pos 50%",
        "Letters: Latin 100%",
    ]
    many = described.summary(replace(corpus, test=None, class_names=("neg", "pos", *"abcd")))[0]
    assert many == "300 training examples of 6 classes: from neg 50% to d 0%"


def test_shares_are_never_rounded_to_nothing_or_to_all():
    parts = (0, 1e-6, 0.004, 0.31, 0.994, 0.99999, 1)
    assert [share(part) for part in parts] == [
        *("0%", "less than 0.1%", "0.4%", "31%", "99.4%", "99.9%", "100%")
    ]


# What is said of it ---------------------------------------------------------------------------


def test_sound_data_gives_no_warning():
    assert check_description(looked_at(numbered(300), numbered(100, "new"))) == []


def test_each_problem_is_one_line_with_what_to_do():
    empty = looked_at(examples([*numbered(50).texts, ""], [*numbered(50).labels, 0]))
    (line,) = check_description(empty)
    assert line.startswith("1 training text is empty: remove the rows")
    train = numbered(50)
    repeated = looked_at(Examples([*train.texts] * 2, np.tile(train.labels, 2)))
    (line,) = check_description(repeated)
    assert line.startswith("50 of 100 training texts (50.0%) repeat another one: remove them")
    train = Examples([LONG, *train.texts[1:]], train.labels)
    found = looked_at(train, examples([LONG + " now", "other"], [0, 1])).repeats
    (line,) = check_near(found.near, found.compared)
    assert line.startswith("1 of 2 test texts (50.0%) are nearly the same as training texts")
    (line,) = check_description(looked_at(examples(numbered(20).texts, [0] * 19 + [1])))
    assert line.startswith("95% of the training examples are 'neg'")
    assert "--train.class-weights balanced" in line
    chinese = examples([f"这部电影非常好看{'一二三四'[n % 4] * n}" for n in range(20)], [0, 1] * 10)
    (line,) = check_description(looked_at(chinese))
    assert line.endswith("set --text.tokenizer bpe")
    for preset in ("bpe", "characters"):
        assert check_description(looked_at(chinese, preset=preset)) == []


def test_data_that_train_refuses_to_split_is_said():
    corpus = Corpus("own", examples(["a b c d", "e f g h"], [0, 1]), None, ("neg", "pos"))
    tokenizer = WordTokenizer.train(["a"], preset="punctuation", vocabulary_size=9)
    lines = problems(Config(), corpus, tokenizer, describe(corpus, tokenizer, Padding(9)))
    assert any("a validation part needs a class with at least 2 examples" in line for line in lines)


# Time and memory ------------------------------------------------------------------------------

SIZES = Sizes(10_000, 0, [100] * 50, 20_000, 5_000_000)


def test_estimates_are_near_the_records_of_imdb():
    # Texts of IMDB as they are cut to 500 tokens: a mean of about 240 words, 262 with punctuation.
    words, tokens = [100, 130, 160, 190, 230, 290, 500], [110, 140, 180, 210, 260, 330, 500]
    for preset, sizes in (
        ("article", Sizes(25_000, 25_000, words, 6_000, 65_000_000)),
        ("bilstm", Sizes(25_000, 25_000, tokens, 8_000, 65_000_000)),
    ):
        record = json.loads((RESULTS / f"{preset}.json").read_text())
        config = import_module(f"experiments.imdb.{preset}").CONFIG
        found = estimate(config, sizes, record["machine"]["cores"])
        minutes, mebibytes = np.mean(record["minutes"]), np.mean(record["memory_mib"])
        assert 0.75 < found.seconds / 60 / minutes < 1.33
        assert 0.6 < found.bytes / 2**20 / mebibytes < 1.5


def test_time_grows_with_what_is_computed():
    config = Config()
    short = estimate(config, SIZES, 2)
    more_epochs = replace(config, train=replace(config.train, epochs=8))
    for slower in (
        estimate(more_epochs, SIZES, 2),
        estimate(config, replace(SIZES, examples=20_000), 2),
        estimate(config, replace(SIZES, lengths=[400]), 2),
        estimate(config, SIZES, 1),
        estimate(replace(config, model=replace(config.model, hidden_size=300)), SIZES, 2),
    ):
        assert slower.seconds > 1.2 * short.seconds
    larger = replace(config, model=replace(config.model, hidden_size=2000))
    assert estimate(larger, SIZES, 2).bytes > 2 * short.bytes


# The page -------------------------------------------------------------------------------------


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return str(path)


@pytest.fixture
def files(tmp_path):
    train = write(tmp_path / "a.csv", [(f"{LONG} {n}", "np"[n % 2]) for n in range(200)])
    test = write(tmp_path / "b.csv", [(f"{LONG} {n}", "np"[n % 2]) for n in range(150, 300)])
    return train, test


def test_the_command_prints_classes_findings_and_warnings(files, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lstm-jax", "check", files[0], "--test", files[1]])
    monkeypatch.setenv("COLUMNS", "200")
    cli.main()
    out, _ = capsys.readouterr()
    for part in (
        "200 training examples, 150 test examples",
        "│ n     │      100 │   50% │       75 │",
        "50 test texts word for word, and 100 nearly",
        "warning: 50 of 150 test texts (33.3%) are training texts too",
        "warning: 100 of 150 test texts (66.7%) are nearly the same as training texts",
    ):
        assert part in out


def test_json_holds_all_that_the_page_says_and_nothing_else_is_printed(files, capsys):
    check(files[0], test=files[1], as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["training"] == [100, 100]
    assert found["repeats"] == {
        "training": 0,
        "labels": 0,
        "examples": [],
        "test": 50,
        "near": 100,
        "compared": 150,
    }
    assert found["choice"]["tokenizer"] == "punctuation"
    assert found["estimate"]["seconds"] > 0
    assert len(found["warnings"]) == 3


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_page_fits_the_terminal_and_shows_names_as_they_are(width):
    names = tuple(f"[red]class \x1b[31m {n}" for n in range(30))
    train = examples([f"text {n} of it" for n in range(600)], np.arange(600) % 30)
    both = examples(["\x1b[2J evil", "\x1b[2J evil"], [0, 1])
    train = Examples([*train.texts, *both.texts], np.concatenate([train.labels, both.labels]))
    found = looked_at(train, train, names)
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None)
    console.print(classes_table(found))
    console.print(fields(findings(found, Estimate(90, 2e9))))
    shown = file.getvalue()
    assert max(map(cell_len, shown.splitlines())) <= width
    assert "\x1b" not in shown
    assert "5 most frequent and the 5 rarest of 30 classes" in shown
    assert "[red]class \\x1b[31m 0" in shown
    assert "about 90 s" in shown
    assert "about 2.0 GB" in shown
