"""Settings that would change nothing are refused in one line that names them."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import small
from small import pretrain

from experiments.imdb import command, distilled, session
from lstm_jax import cli
from lstm_jax.cli import reading
from lstm_jax.data import Corpus, Examples
from lstm_jax.recipes import pretrain as pretraining
from lstm_jax.recipes import supervised
from lstm_jax.recipes.settings import check_pretraining, check_start, check_training
from lstm_jax.train.config import Config, ModelConfig, TextConfig, TrainConfig
from lstm_jax.train.run_folder import RunFolder


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            Config(model=ModelConfig(ngram_dropout=0.5)),
            r"model\.ngram_dropout must be 0\.0 without text\.ngrams, got 0\.5",
        ),
        (
            Config(model=ModelConfig(layer_dropout=0.1)),
            r"model\.layer_dropout must be 0\.0 with one layer",
        ),
        (
            Config(model=ModelConfig(direction="forward", merge="sum")),
            r"model\.merge must be 'concat' where model\.direction is not bidirectional, got 'sum'",
        ),
        (
            Config(model=ModelConfig(cell="coupled", forget_bias=2.0)),
            r"model\.forget_bias must be 1\.0 where model\.cell is not lstm",
        ),
        (
            Config(text=TextConfig(pad="front"), train=TrainConfig(buckets=4)),
            r"train\.buckets must be 8 where text\.pad is front, got 4",
        ),
        (
            Config(train=TrainConfig(validation_fraction=0, validation_seed=3)),
            r"train\.validation_seed must be None where train\.validation_fraction is 0, got 3",
        ),
        (
            Config(train=TrainConfig(unlabelled=100)),
            r"train\.unlabelled must be 0 where there are no texts without labels, got 100",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_setting_without_effect_is_refused_by_name(tmp_path, config, message):
    with pytest.raises(ValueError, match=message):
        small.train(config, small.corpus(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_same_settings_with_what_they_need_are_taken():
    model = ModelConfig(
        ngram_dropout=0.5,
        layers=2,
        layer_dropout=0.1,
        merge="sum",
        forget_bias=2.0,
    )
    train = TrainConfig(buckets=4, validation_seed=3, unlabelled=100)
    check_training(Config(text=TextConfig(ngrams=(10,)), model=model, train=train), unlabelled=5)


@pytest.mark.parametrize("module", command.MODULES, ids=lambda module: module.CONFIG.name)
def test_every_setting_of_every_preset_has_an_effect(module):
    preset = module.PRESET
    for config in (preset.config, preset.builtin, *getattr(module, "MEMBERS", ())):
        if config is not None:
            check_training(config, unlabelled=50_000)
    pretraining_config = getattr(module, "PRETRAINING", None)
    assert (pretraining_config is None) == (preset.pretraining == "none" or module is distilled)
    if pretraining_config is not None:
        check_pretraining(pretraining_config, "two_view", 1024)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 0.1}, r"train\.label_smoothing must be 0\.0 where texts are read"),
        ({"class_weights": "balanced"}, r"train\.class_weights must be 'equal'"),
        ({"adversarial": 0.1}, r"train\.adversarial must be 0\.0"),
        ({"unlabelled": 10}, r"train\.unlabelled must be 0 "),
    ],
    ids=str,
)
def test_pretraining_refuses_what_is_about_labels(tmp_path, options, message):
    config = Config(train=TrainConfig(**options))
    with pytest.raises(ValueError, match=message):
        pretrain(config, ["a film"], tmp_path / "run", name="films")


def test_pretraining_refuses_what_its_task_does_not_use():
    with pytest.raises(ValueError, match="samples must be 1024 with two_view, got 20"):
        check_pretraining(Config(), "two_view", 20)
    with pytest.raises(ValueError, match=r"text\.ngrams must be \(\) with next_word"):
        check_pretraining(Config(text=TextConfig(ngrams=(10,))), "next_word", 20)


@pytest.fixture
def source(tmp_path):
    """The folder of a run with n-grams and vectors from counts."""
    folder = RunFolder(tmp_path / "source")
    folder.path.mkdir()
    text = TextConfig(vocabulary_size=5_000, ngrams=(30, 20), cooccurrence_window=3)
    folder.config.write_text(Config(text=text).to_json())
    folder.ngrams.write_text(json.dumps({"vocabulary_size": 5_000, "keys": []}))
    return folder


def test_text_settings_of_another_run_to_start_from_are_taken(source):
    own = TextConfig(vocabulary_size=5_000, ngrams=(30, 20), max_length=7, truncate="middle")
    check_start(own, source)
    check_start(replace(own, cooccurrence_window=3), source)  # whose vectors began so
    source.ngrams.unlink()
    check_start(replace(own, ngrams=()), source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary_size": 20_000}, r"text\.vocabulary_size must be 5000, as in .*, got 20000"),
        ({"tokenizer": "keras"}, r"text\.tokenizer must be 'punctuation', as in .*, got 'keras'"),
        ({"ngrams": ()}, r"text\.ngrams must be \(30, 20\), as in .*, got \(\)"),
        (
            {"cooccurrence_window": 8},
            r"text\.cooccurrence_window must be 3, as in .*, got 8",
        ),
    ],
    ids=str,
)
def test_text_settings_that_disagree_with_the_run_to_start_from_are_refused(
    source, tmp_path, monkeypatch, options, message
):
    text = replace(
        TextConfig(vocabulary_size=5_000, ngrams=(30, 20), cooccurrence_window=3), **options
    )
    with pytest.raises(ValueError, match=message):
        check_start(text, source)
    for module in (supervised, pretraining):
        monkeypatch.setattr(module, "finished_run", lambda _: source)
    config = replace(small.CONFIG, text=text)
    with pytest.raises(ValueError, match=message):
        small.train(config, small.corpus(), tmp_path / "run", init=source.path)
    with pytest.raises(ValueError, match=message):
        pretrain(config, ["a film"], tmp_path / "run", init=source.path)


# The commands.


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Runs a command and gives what it says on its way out, or what it asks `load_corpus` for."""

    class Loaded(Exception):
        pass

    def load(name, **options):
        raise Loaded(name, options["unlabelled"])

    def run(capsys, *arguments):
        monkeypatch.setattr(reading, "load_corpus", load)
        monkeypatch.setattr(sys, "argv", ["lstm_jax", *map(str, arguments)])
        with pytest.raises((SystemExit, Loaded)) as stopped:
            cli.main()
        return capsys.readouterr().err or stopped.value.args

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [
                *["train", "x.csv", "run", "--unlabelled", "t.txt"],
                *["--text.cooccurrence-window", "0"],
            ],
            "--unlabelled goes only with",
        ),
        (
            [
                *["train", "x.csv", "run", "--unlabelled", "t.txt"],
                *["--text.cooccurrence-window", "3", "--init", "other"],
            ],
            "--text.cooccurrence-window and no --init",
        ),
        (["train", "imdb", "run", "--text-column", "x"], "--text-column goes only with a file"),
        (
            [
                *["train", "builtin", "run", "--unlabelled", "t.csv", "--train.unlabelled", "9"],
                *["--label-column", "x"],
            ],
            "got 'x' with builtin",
        ),
        (["pretrain", "imdb", "run", "--text-column", "x"], "got 'x' with imdb"),
        (["train", "imdb", "run", "--delimiter", ";"], "--delimiter goes only with a file"),
        (["evaluate", "run", "builtin", "--encoding", "ascii"], "--encoding goes only with a file"),
        (
            ["pretrain", "t.csv", "run", "--label-column", "x"],
            "--label-column goes only with labels",
        ),
        (["predict", "run", "a text", "--text-column", "x"], "--text-column goes only with --file"),
        (["predict", "run", "--out", "x.csv"], "--out goes only with --file, got 'x.csv'"),
        (["predict", "run", "--file", "x.csv", "--resume"], "--resume goes only with --out"),
        (
            ["predict", "run", "--file", "x.csv", "--label-column", "y"],
            "--label-column is not read",
        ),
        (["predict", "run", "--json", "--top-k", "2", "x"], "--top-k goes only without --json"),
        (
            ["predict", "run", "--file", "x.csv", "--out", "y.csv", "--json"],
            "--json goes only without --out",
        ),
        (["evaluate", "run", "imdb", "--text-column", "x"], "got 'x' with imdb"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_option_without_effect_is_refused_in_one_line(told, capsys, arguments, message):
    error = told(capsys, *arguments)
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "loaded"),
    [
        ([], False),
        (["--train.unlabelled", "10"], True),
        (["--text.cooccurrence-window", "3"], True),
        (["--text.cooccurrence-window", "3", "--init", "other"], False),
    ],
    ids=str,
)
def test_reviews_without_labels_are_loaded_where_they_are_read(told, capsys, options, loaded):
    assert told(capsys, "train", "imdb", "run", *options) == ("imdb", loaded)


@pytest.mark.parametrize(("window", "loaded"), [(0, False), (3, True)])
def test_the_experiment_loads_them_for_vectors_from_counts(monkeypatch, tmp_path, window, loaded):
    examples = Examples(["a film", "a plot"], np.array([0, 1], np.int32))
    asked = []

    class Loaded(Exception):
        pass

    def load(*, unlabelled):
        asked.append(unlabelled)
        return Corpus("small", examples, None, ("bad", "good")), None

    def train(*arguments, **options):
        raise Loaded

    monkeypatch.setattr(reading, "imdb_or_builtin", load)
    monkeypatch.setattr(session, "supervised", train)
    options = ["bilstm", "--runs", str(tmp_path), "--text.cooccurrence-window", str(window)]
    monkeypatch.setattr(sys, "argv", ["", *options])
    with pytest.raises(Loaded):
        command.main()
    assert asked == [loaded]
