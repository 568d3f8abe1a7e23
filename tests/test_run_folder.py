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
from lstm_jax import files
from lstm_jax.recipes import distill, supervised
from lstm_jax.train import loop, open_run
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
    assert "other texts" in refused(run, [*TEXTS] * 9, resume=True)
    said = refused(run, objective="next_word", resume=True)
    assert "objective (two_view, not next_word)" in said
    assert "no classes" in refused(lstm_jax.load, tmp_path / "run")


def test_the_same_texts_cut_at_other_places_are_others():
    corpus = small.corpus()
    first, second, *rest = corpus.train.texts
    texts = [first[:-1], first[-1] + second, *rest]
    cut = replace(corpus, train=replace(corpus.train, texts=texts))
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
