"""`--resume` on the command line: what was typed first need not be typed again."""

import json
import sys

import pytest
import small

import lstm_jax
from experiments.imdb import bilstm
from experiments.imdb import command as imdb
from lstm_jax import cli
from lstm_jax.cli import reading
from lstm_jax.cli.resume import typed_options
from lstm_jax.data import Corpus
from lstm_jax.train import loop
from lstm_jax.train.config import Config
from lstm_jax.train.step import train_step

SIZES = [
    *("--text.max-length", "24", "--model.embedding-size", "8", "--model.hidden-size", "8"),
    *("--train.epochs", "2", "--train.batch-size=20", "--train.checkpoint_every", "3"),
    *("--model.embedding-dropout", "0.1", "--model.pooling", "mean"),
    *("--optimizer.clip-norm", "None", "--train.buckets", "1"),
]
SETTINGS = [*small.PLAIN, *SIZES]


def command(monkeypatch, *arguments, main=cli.main):
    monkeypatch.setattr(sys, "argv", ["lstm_jax", *map(str, arguments)])
    main()


def refused(monkeypatch, capsys, *arguments):
    """The one line that a command line is refused with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, *arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def interrupted(monkeypatch, steps, *arguments, main=cli.main):
    """Runs a command that is broken off after so many steps."""
    count = 0

    def stopping(*values):
        nonlocal count
        count += 1
        if count > steps:
            raise InterruptedError
        return train_step(*values)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", stopping)
        with pytest.raises((SystemExit, InterruptedError)):
            command(patch, *arguments, main=main)


@pytest.fixture
def files(tmp_path):
    """A table with columns of other names, and one of test examples."""
    corpus = small.corpus(train=60)
    parts = {"train": corpus.train, "test": corpus.test or corpus.train}
    for name, part in parts.items():
        rows = [f"{text},c{label}" for text, label in zip(part.texts, part.labels, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["review,verdict", *rows]) + "\n")
    return tmp_path


@pytest.fixture
def begun(files, monkeypatch):
    """A run of `train` that was broken off."""
    columns = ("--text-column", "review", "--label-column", "verdict")
    data = (files / "train.csv", files / "run", "--test", files / "test.csv")
    interrupted(monkeypatch, 4, "train", *data, *columns, *SETTINGS)
    assert not (files / "run" / "result.json").exists()
    return files / "run"


@pytest.mark.parametrize("form", ["data too", "run alone"])
def test_no_option_need_be_typed_again(begun, files, monkeypatch, capsys, form):
    before = Config.load(begun / "config.json")
    assert (before.train.epochs, before.optimizer.clip_norm) == (2, None)
    arguments = ("--resume", begun)
    if form == "data too":
        arguments = (files / "train.csv", begun, "--resume")
    command(monkeypatch, "train", *arguments)
    assert Config.load(begun / "config.json") == before
    result = json.loads((begun / "result.json").read_text())
    assert result["test"]["examples"] == 30
    assert lstm_jax.load(begun).class_names == ("c0", "c1")
    capsys.readouterr()
    command(monkeypatch, "train", "--resume", begun)
    assert "is finished; nothing to do" in capsys.readouterr().out


def test_what_is_typed_is_refused_by_name_if_it_changes_bits(begun, monkeypatch, capsys):
    said = refused(monkeypatch, capsys, "train", "--resume", begun, "--model.hidden-size", 9)
    assert "hidden" in said
    assert "8, not 9" in said
    said = refused(monkeypatch, capsys, "train", "--resume", begun, "--model.pooling", "max_mean")
    assert "'mean', not 'max_mean'" in said
    assert "test examples" in refused(
        monkeypatch, capsys, "train", "--resume", begun, "--test", begun.parent / "train.csv"
    )


def test_what_is_typed_and_changes_no_bit_counts(begun, monkeypatch):
    options = ("--train.log-every", 1, "--train.checkpoint-every", 100, "--train.epochs", 3)
    command(monkeypatch, "train", "--resume", begun, *options)
    training = Config.load(begun / "config.json").train
    assert (training.log_every, training.checkpoint_every, training.epochs) == (1, 100, 3)
    assert training.batch_size == 20


def test_a_run_alone_must_be_a_run(files, monkeypatch, capsys):
    said = refused(monkeypatch, capsys, "train", "--resume", files / "none")
    assert str(files / "none") in said


def test_pretraining_goes_on_without_its_options(files, monkeypatch):
    options = ("--text-column", "review", *SIZES[:8])
    task = ("--objective", "next_word", "--samples", 20)
    data = (files / "train.csv", files / "run")
    interrupted(monkeypatch, 1, "pretrain", *data, *options, *task)
    command(monkeypatch, "pretrain", "--resume", files / "run")
    assert json.loads((files / "run" / "result.json").read_text())["objective"] == "next_word"


def test_an_experiment_goes_on_with_the_settings_of_each_seed(tmp_path, monkeypatch):
    corpus = small.corpus(train=60)
    builtin = Corpus("builtin", corpus.train, corpus.test, corpus.class_names)
    monkeypatch.setattr(reading, "imdb_or_builtin", lambda unlabelled: (builtin, None))
    start = ("bilstm", "--runs", tmp_path, "--seeds", 3)
    interrupted(monkeypatch, 4, *start, *SIZES, main=imdb.main)
    command(monkeypatch, *start, "--resume", "--train.log-every", 2, main=imdb.main)
    config = Config.load(tmp_path / "builtin-bilstm-seed3" / "config.json")
    assert (config.model.hidden_size, config.train.epochs, config.train.log_every) == (8, 2, 2)
    assert config.train.ema_decay == bilstm.CONFIG.train.ema_decay


def test_the_options_on_a_command_line_are_known_by_name():
    line = ["train", "a--b", "--train.batch-size=3", "--model.no-such-flag", "--seed", "-1"]
    expected = {"train.batch_size", "model.no_such_flag", "model.such_flag", "seed"}
    assert typed_options(line) == expected
