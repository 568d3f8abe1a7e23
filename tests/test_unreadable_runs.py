"""Files of a run that cannot be read: those of an older version, and those that make no sense."""

import json
import sys

import pytest
from small import pretrain
from test_run_folder import QUICK, TEXTS, refused, train, walk

import lstm_jax
from lstm_jax import cli
from lstm_jax.text import NGrams, WordTokenizer
from lstm_jax.train import config as config_module
from lstm_jax.train.result import Result
from lstm_jax.train.run_folder import RunFolder


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """A finished run as version 0.1 left it: of format 1, and the result's names with no parts."""
    path = tmp_path_factory.mktemp("runs") / "older"
    command = "python -m lstm_jax train train.csv older --text.phrases 30 --model.phrase-dropout 0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config_module, "FORMAT", 1)
        patch.setattr(Result, "to_json", lambda _: {"test_accuracy": 0.9, "fingerprint": "1"})
        train(path, command=command)
    return path


def test_a_run_of_version_0_1_is_refused_in_one_line(older, tmp_path):
    message = (
        f"{older / 'config.json'}: format must be 2, got 1: the run was made by version 0.1 of"
        " lstm_jax, and must be trained again or opened with that"
    )
    assert refused(lstm_jax.load, older) == message
    assert refused(train, older, resume=True) == message
    assert refused(train, tmp_path / "run", init=older) == message
    assert refused(pretrain, QUICK, TEXTS, tmp_path / "run", init=older) == message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("begin", ["predict", "--resume", "data and --resume", "--init"])
def test_a_run_of_version_0_1_is_refused_by_every_command(
    older, tmp_path, monkeypatch, capsys, begin
):
    rows = [f"{text},{label}" for label, text in enumerate(TEXTS)]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows]))
    data = str(tmp_path / "train.csv")
    arguments = {
        "predict": ["predict", str(older), "a film"],
        "--resume": ["train", "--resume", str(older)],
        "data and --resume": ["train", data, str(older), "--resume"],
        "--init": ["train", data, str(tmp_path / "run"), "--init", str(older)],
    }
    before = {file: file.read_bytes() for file in walk(older)}
    monkeypatch.setattr(sys, "argv", ["lstm_jax", *arguments[begin]])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"lstm-jax: {older / 'config.json'}: format must be 2, got 1: the run ")
    assert said.count("\n") == 1
    assert {file: file.read_bytes() for file in walk(older)} == before
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"temperature": NaN}', "temperature"),
        ('{"temperature": Infinity}', "temperature"),
        ('{"temperature": -1}', "temperature"),
        ('{"temperature": 0}', "temperature"),
        ('{"temperature": "1"}', "temperature"),
        ("{}", "temperature"),
        ('{"temperature": 1, "more": 1}', "more"),
    ],
)
def test_a_temperature_that_is_none_is_refused(tmp_path, content, message):
    (tmp_path / "calibration.json").write_text(content)
    said = refused(RunFolder(tmp_path).temperature)
    assert f"calibration.json: {message}" in said


@pytest.mark.parametrize(
    "content",
    [
        {"keys": []},
        {"vocabulary_size": 9, "keys": [[3, 2]]},
        {"vocabulary_size": 9, "keys": [["a"]]},
        {"vocabulary_size": 9, "keys": [[2**40]]},
        {"vocabulary_size": 0, "keys": []},
        {"vocabulary_size": 9, "keys": 3},
        3,
    ],
)
def test_ngrams_that_are_none_are_refused(tmp_path, content):
    path = tmp_path / "ngrams.json"
    path.write_text(json.dumps(content))
    assert f"{path}: " in refused(NGrams.load, path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"{}", b"[]", b'{"model": 3}'])
def test_a_tokenizer_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    assert f"{path}: " in refused(WordTokenizer.load, path)
