"""A run's folder: claimed late, held by one process, and read only if it is as the run wrote it."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import small
from small import pretrain

import lstm_jax
from lstm_jax import cli, files
from lstm_jax.recipes import distill, supervised
from lstm_jax.text import NGrams, WordTokenizer
from lstm_jax.train import config as config_module
from lstm_jax.train import loop, open_run
from lstm_jax.train.config import Config
from lstm_jax.train.lock import locked
from lstm_jax.train.result import Result
from lstm_jax.train.run_folder import RunFolder
from lstm_jax.train.step import train_step

QUICK = replace(small.CONFIG, train=replace(small.CONFIG.train, epochs=1, checkpoint_every=4))
TEXTS = small.corpus().train.texts[:3]


def train(path, config=QUICK, corpus=None, **options):
    corpus = small.corpus() if corpus is None else corpus
    return small.train(config, corpus, path, **options)


def stop_after(monkeypatch, steps):
    """Has training end as by Ctrl-C after so many steps."""
    count = 0

    def stopping(*arguments):
        nonlocal count
        count += 1
        if count > steps:
            raise KeyboardInterrupt
        return train_step(*arguments)

    monkeypatch.setattr(loop, "train_step", stopping)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "finished"
    train(path)
    return path


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, to be damaged."""
    for file in finished.rglob("*"):
        if file.is_file():
            files.write_bytes(tmp_path / "run" / file.relative_to(finished), file.read_bytes())
    return tmp_path / "run"


@pytest.fixture
def unfinished(tmp_path, monkeypatch):
    """A run broken off after its first checkpoint."""
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "unfinished")
    return tmp_path / "unfinished"


def refused(function, *arguments, **options):
    """The one line that a call is refused with."""
    with pytest.raises(ValueError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert "http" not in str(caught.value)
    return str(caught.value)


# The run knows its data.


def other(part):
    corpus = small.corpus()
    if part == "labels":
        return replace(corpus, train=replace(corpus.train, labels=1 - corpus.train.labels))
    if part == "class names":
        return replace(corpus, class_names=("a", "b"))
    if part == "test":
        return replace(corpus, test=small.corpus(seed=5).test)
    return replace(corpus, train=small.corpus(seed=5).train)


@pytest.mark.parametrize("part", ["texts", "labels", "class names", "test"])
@pytest.mark.parametrize("state", ["run", "unfinished"])
def test_resuming_on_other_data_is_refused_in_one_line(request, state, part):
    path = request.getfixturevalue(state)
    said = refused(train, path, corpus=other(part), resume=True)
    assert str(path) in said
    assert f"other {'test' if part == 'test' else ''}" in said
    assert "examples" in said


def test_resuming_from_another_run_is_refused(finished, tmp_path):
    train(tmp_path / "other", replace(QUICK, seed=1))
    result = train(tmp_path / "run", init=finished)
    assert train(tmp_path / "run", init=finished, resume=True) == result
    assert "other init" in refused(train, tmp_path / "run", init=tmp_path / "other", resume=True)
    assert "other init" in refused(train, tmp_path / "run", resume=True)


def test_resuming_with_another_ensemble_is_refused(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(distill, "require_scikit_learn", lambda: None)
    train(tmp_path / "other", replace(QUICK, seed=1))
    corpus = replace(small.corpus(), unlabelled=small.corpus(seed=2).train.texts)
    config = replace(QUICK, train=replace(QUICK.train, unlabelled=20))

    def run(*paths, corpus=corpus, resume=True):
        soft_labels = np.full((len(corpus.unlabelled), 2), 0.5, np.float32)
        part = config.validation_part
        ensemble: Any = SimpleNamespace(paths=paths, part=part, soft_labels=soft_labels)
        request = open_run.Request(tmp_path / "run", "test", resume, small.QUIET)
        return distill.distill(config, corpus, request, ensemble)

    result = run(finished, resume=False)
    assert run(finished) == result
    assert "other ensemble" in refused(run, tmp_path / "other")
    assert "other ensemble" in refused(run, finished, tmp_path / "other")
    assert "other ensemble" in refused(train, tmp_path / "run", config, corpus, resume=True)
    fewer = replace(corpus, unlabelled=corpus.unlabelled[1:])
    assert "other texts without labels" in refused(run, finished, corpus=fewer)


def test_pretraining_knows_its_texts_and_its_task(tmp_path):
    texts = small.corpus().train.texts

    def run(texts=texts, **options):
        return pretrain(QUICK, texts, tmp_path / "run", **options)

    first = run()
    assert run(resume=True) == first
    assert "other texts" in refused(run, TEXTS * 9, resume=True)
    said = refused(run, objective="next_word", resume=True)
    assert "objective (two_view, not next_word)" in said
    assert "no classes" in refused(lstm_jax.load, tmp_path / "run")


def test_the_same_texts_cut_at_other_places_are_others():
    corpus = small.corpus()
    cut = replace(corpus, train=replace(corpus.train, texts=[*corpus.train.texts]))
    first = cut.train.texts[0]
    cut.train.texts[:2] = [first[:-1], first[-1] + cut.train.texts[1]]
    same, others = (open_run.checksum_of(c.train.texts) for c in (corpus, cut))
    assert same != others


# A folder is claimed late.


def failing(kind):
    """Settings and a corpus whose start fails: in the split, in the vocabulary, in the model."""
    corpus = small.corpus()
    if kind == "no words":
        empty = ["" for _ in corpus.train.texts]
        return QUICK, replace(corpus, train=replace(corpus.train, texts=empty))
    text = replace(QUICK.text, vocabulary_size=60_000, ngrams=(10,))
    return replace(QUICK, text=text), corpus


@pytest.mark.parametrize("kind", ["no words", "ngrams"])
@pytest.mark.parametrize("there", [False, True])
def test_a_start_that_fails_leaves_nothing(tmp_path, monkeypatch, kind, there):
    config, corpus = failing(kind)
    if kind == "ngrams":

        def fail(*_):
            raise ValueError("ngrams")

        monkeypatch.setattr(supervised, "make_ngrams", fail)
    path = tmp_path / "new" / "run"
    if there:
        path.mkdir(parents=True)
    refused(train, path, config, corpus)
    assert [file.name for file in tmp_path.rglob("*")] == (["run", "new"][::-1] if there else [])
    monkeypatch.undo()
    assert train(path).outcome.steps > 0


def test_a_start_from_a_run_of_another_size_leaves_nothing(finished, tmp_path):
    larger = replace(QUICK, model=replace(QUICK.model, hidden_size=12))
    assert "same model" in refused(train, tmp_path / "run", larger, init=finished)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tokenizer.json", "data.json", "config.json"])
def test_a_disk_that_is_full_while_the_folder_is_claimed_leaves_nothing(
    tmp_path, monkeypatch, name
):
    write = Path.replace

    def full(self, target):
        if Path(target).name == name:
            raise OSError(28, "No space left on device", str(target))
        return write(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match=f"No space left on device.*{name}"):
        train(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
import small
replace = Path.replace
def kill(self, target):
    if Path(target).name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = kill
small.train(small.CONFIG, small.corpus(), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("name", ["data.json", "config.json"])
def test_a_process_killed_while_it_claims_a_folder_leaves_one_to_start_in(tmp_path, name):
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "run"), name],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "run").is_dir()
    train(tmp_path / "run")
    assert lstm_jax.load(tmp_path / "run").predict_proba(TEXTS).shape == (3, 2)
    assert not list((tmp_path / "run").glob(".*"))


def test_files_that_are_no_run_are_kept(tmp_path):
    (tmp_path / "data.json").write_text("mine")
    assert "holds no run" in refused(train, tmp_path)
    assert (tmp_path / "data.json").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


# One process at a time.

HOLD = """
import sys, time
from pathlib import Path
from lstm_jax.train.run_folder import RunFolder
from lstm_jax.train.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder `tmp_path / "run"`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_a_dead_one_leaves_no_lock(holder, tmp_path):
    said = refused(train, tmp_path / "run")
    assert said == f"run folder {tmp_path / 'run'} is in use by process {holder.pid}"
    assert refused(train, tmp_path / "run", resume=True) == said
    holder.kill()
    holder.wait()
    assert train(tmp_path / "run").outcome.steps > 0
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_run_in_the_same_process_is_refused_too(tmp_path, monkeypatch):
    def again(*arguments):
        assert "in use by process" in refused(train, tmp_path / "run", resume=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train_step", again)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run")


def test_a_lock_deletes_only_what_it_made(tmp_path):
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "mine").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "mine"]


def test_a_file_system_without_locks_is_done_without(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with locked(tmp_path / "run"), locked(tmp_path / "run"):
        pass


# What is read is what was written.


def test_a_finished_run_lists_the_checksum_of_every_file_that_a_prediction_needs(finished):
    checksums = json.loads((finished / "result.json").read_text())["checksums"]
    names = {"config.json", "data.json", "tokenizer.json", "calibration.json", "result.json"}
    below = {f"weights/{f.relative_to(finished / 'weights')}" for f in walk(finished / "weights")}
    assert set(checksums) == names | below
    assert all(checksums[name] == files.sha256(finished / name) for name in below)


def walk(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "name", ["calibration.json", "tokenizer.json", "data.json", "config.json", "weights"]
)
def test_a_file_that_is_missing_is_named_by_predict_and_by_resume(run, name):
    if name == "weights":
        for file in sorted((run / "weights").rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        (run / "weights").rmdir()
    else:
        (run / name).unlink()
    said = refused(lstm_jax.load, run)
    if name == "config.json":
        assert str(run) in said
        assert str(run) in refused(train, run, resume=True)
        return
    assert f"{run / name}: missing" in said
    assert refused(train, run, resume=True) == said


def test_lost_weights_are_made_again_from_the_last_checkpoint_as_the_message_says(run):
    before = lstm_jax.load(run).predict_proba(TEXTS)
    for file in walk(run / "weights"):
        file.unlink()
    assert f"delete {run / 'result.json'} and give --resume" in refused(lstm_jax.load, run)
    (run / "result.json").unlink()
    assert "go on with --resume" in refused(lstm_jax.load, run)
    train(run, resume=True)
    np.testing.assert_array_equal(lstm_jax.load(run).predict_proba(TEXTS), before)


def test_one_changed_bit_of_the_weights_is_seen(run):
    for file in walk(run / "weights"):
        content = file.read_bytes()
        if not content:
            continue
        place = len(content) // 2
        flipped = bytes([content[place] ^ 4])
        file.write_bytes(content[:place] + flipped + content[place + 1 :])
        assert f"{file}: not as the run wrote it" in refused(lstm_jax.load, run)
        file.write_bytes(content)
    lstm_jax.load(run)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", {"format": 2, "seed": "x"}, "seed"),
        ("config.json", {"format": 2, "nonsense": 1}, "nonsense"),
        ("config.json", {"format": 99}, "format must be 2, got 99: .* a later version"),
        ("config.json", {"format": 1}, "format must be 2, got 1: .* version 0.1 of lstm_jax"),
        ("config.json", {"seed": 0}, "format must be 2, got None: .* version 0.1 or older"),
        ("config.json", [], "config.json"),
        ("result.json", {}, "checksums"),
        ("result.json", {"checksums": {}}, "not as the run wrote it"),
        ("data.json", {"name": "x"}, "data.json"),
        ("calibration.json", {}, "not as the run wrote it"),
    ],
)
def test_json_that_is_wrong_is_named_in_one_line(run, name, content, message):
    (run / name).write_text(json.dumps(content))
    for said in (refused(lstm_jax.load, run), refused(train, run, resume=True)):
        assert f"{run / name}: " in said
        assert re.search(message, said)


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


@pytest.mark.parametrize("name", ["tokenizer.json", "data.json", "config.json"])
def test_an_unfinished_run_does_not_go_on_with_a_file_that_was_changed(unfinished, name):
    content = (unfinished / name).read_text()
    if name == "tokenizer.json":
        (unfinished / name).write_text(content.replace("film", "flim"))
    else:
        (unfinished / name).write_text(json.dumps({**json.loads(content), "name": "another"}))
    config = replace(QUICK, name="another") if name == "config.json" else QUICK
    assert f"{unfinished / name}: not as the run wrote it" in refused(
        train, unfinished, config, resume=True
    )


# Settings that may change, and more epochs.


def test_what_changes_no_bit_may_change_when_a_run_goes_on(unfinished, finished):
    training = replace(QUICK.train, checkpoint_every=3, log_every=5, keep_checkpoints=1)
    config = replace(QUICK, train=training)
    train(unfinished, config, resume=True)
    assert Config.load(unfinished / "config.json") == config
    expected, found = (lstm_jax.load(path) for path in (finished, unfinished))
    np.testing.assert_array_equal(found.predict_proba(TEXTS), expected.predict_proba(TEXTS))


CONSTANT = replace(QUICK, optimizer=replace(QUICK.optimizer, schedule="constant"))


@pytest.mark.parametrize("finish", [True, False])
def test_more_epochs_end_at_the_bits_of_a_run_of_so_many(tmp_path, monkeypatch, finish):
    longer = replace(CONSTANT, train=replace(CONSTANT.train, epochs=3))
    train(tmp_path / "at once", longer)
    with monkeypatch.context() as patch:
        if not finish:
            stop_after(patch, 6)
        try:
            train(tmp_path / "run", CONSTANT)
        except KeyboardInterrupt:
            assert not finish
    result = train(tmp_path / "run", longer, resume=True)
    assert result.outcome.steps == 3 * 11
    expected, found = (lstm_jax.load(tmp_path / name) for name in ("at once", "run"))
    np.testing.assert_array_equal(found.predict_proba(TEXTS), expected.predict_proba(TEXTS))
    assert train(tmp_path / "run", longer, resume=True) == result


def test_more_epochs_are_refused_where_every_step_depends_on_them(run):
    longer = replace(QUICK, train=replace(QUICK.train, epochs=3))
    said = refused(train, run, longer, resume=True)
    assert "train.epochs: 1, not 3 (with optimizer.schedule cosine" in said
    assert lstm_jax.load(run)


@pytest.mark.parametrize("killed_at", ["data.json", "config.json"])
def test_more_epochs_broken_off_while_they_are_written_down(tmp_path, monkeypatch, killed_at):
    train(tmp_path / "run", CONSTANT)
    longer = replace(CONSTANT, train=replace(CONSTANT.train, epochs=2))
    write = Path.replace

    def kill(self, target):
        if Path(target).name == killed_at:
            raise KeyboardInterrupt
        return write(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", longer, resume=True)
    assert train(tmp_path / "run", CONSTANT, resume=True).outcome.steps == 11
    assert train(tmp_path / "run", longer, resume=True).outcome.steps == 22
