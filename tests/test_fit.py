"""Training from Python: `lstm_jax.fit`, temporary runs, and runs as bytes."""

import gc
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import small
from rows import TINY
from sklearn.utils import Bunch

import lstm_jax
from lstm_jax import data
from lstm_jax.recipes import fit as fitting
from lstm_jax.recipes import temporary
from lstm_jax.recipes.defaults import choose_settings
from lstm_jax.recipes.settings import check_training
from lstm_jax.recipes.supervised import example_weights
from lstm_jax.train.config import Config
from lstm_jax.train.inputs import inputs_of

CORPUS = small.corpus(60, 20)
TEXTS, LABELS = CORPUS.train.texts, [f"class {label}" for label in CORPUS.train.labels]
assert CORPUS.test is not None
TEST = CORPUS.test.texts, CORPUS.test.labels


@pytest.fixture(scope="module")
def run():
    return lstm_jax.fit(TEXTS, LABELS, settings=TINY, test=TEST, seed=3)


@pytest.fixture
def temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_texts_and_labels_become_a_run_that_predicts(run):
    assert run.class_names == ("class 0", "class 1")
    names, probabilities = run.predict(TEXTS), run.predict_proba(TEXTS)
    assert (names == LABELS).mean() > 0.9
    assert names.tolist() == [run.class_names[n] for n in probabilities.argmax(1)]
    np.testing.assert_allclose(probabilities.sum(1), 1)


def test_settings_that_are_given_are_taken_and_the_others_chosen(run):
    assert (run.config.seed, run.config.model.hidden_size) == (3, 8)
    chosen = choose_settings(replace(CORPUS, test=None), Config()).config
    assert run.config.optimizer.schedule == chosen.optimizer.schedule == "cosine"


def test_the_test_texts_are_measured_once(run):
    result = json.loads((run.path / "result.json").read_text())
    assert result["test"]["examples"] == 20
    assert result["command"] == "lstm_jax.fit"


def test_a_run_without_a_path_is_deleted_with_it(temporary_files):
    run = lstm_jax.fit(TEXTS, LABELS, settings=TINY)
    folder = run.path
    assert folder.parent == temporary_files
    assert (folder / "result.json").exists()
    del run
    gc.collect()
    assert not folder.exists()


def test_a_path_becomes_the_folder_of_a_run(tmp_path, capsys):
    bunch = Bunch(data=TEXTS, target=CORPUS.train.labels, target_names=["neg", "pos"])
    run = lstm_jax.fit(bunch, path=tmp_path / "run", settings=TINY, quiet=False)
    assert "Reads words" in capsys.readouterr().out
    again = lstm_jax.load(tmp_path / "run")
    assert (run.path, again.class_names) == (tmp_path / "run", ("neg", "pos"))
    np.testing.assert_array_equal(run.predict_proba(TEXTS), again.predict_proba(TEXTS))
    with pytest.raises(ValueError, match=r"path must be a folder without a run, got .*/run; lstm"):
        lstm_jax.fit(TEXTS, LABELS, tmp_path / "run", settings=TINY)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"settings": {"train.epoch": 3}}, "got 'train.epoch'; did you mean 'train.epochs'"),
        ({"settings": {"epochs": 3}}, "got 'epochs'; did you mean 'train.epochs'"),
        ({"settings": {"seed": 3}}, "got 'seed'; seed is an argument of its own"),
        ({"settings": {7: 3}}, "settings must have names such as 'train.epochs', got 7$"),
        ({"settings": ["train.epochs"]}, "settings must be a dictionary, got list"),
        ({"settings": {"train.epochs": 0}}, "^train.epochs must be at least 1, got 0"),
        ({"settings": {"text.ngrams": 5}}, "^text.ngrams must be a list, got 5"),
        ({"settings": {"text.pad": "left"}}, "^text.pad must be 'front' or 'back', got 'left'"),
        ({"settings": {"model.merge": "sum", "model.direction": "forward"}}, "model.merge must be"),
        ({"seed": -1}, "^seed must be at least 0, got -1"),
        ({"seed": "x"}, "^seed must be a whole number, got 'x'"),
        ({"test": TEXTS}, r"^test must be a pair \(texts, labels\) or a Bunch, got list"),
        ({"test": (TEXTS,)}, "got a tuple of 1"),
        ({"test": (["a"], ["class 7"])}, r"^test labels\[0\] must be one of .* got 'class 7'"),
        ({"test": ([None], ["class 1"])}, r"^test texts\[0\] must be a string, got NoneType"),
        ({"labels": LABELS[1:]}, "labels must be as many as texts, 60, got 59"),
        ({"labels": ["a"] * 60}, "labels must be of at least two classes, got 'a'"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(arguments, message, temporary_files):
    with pytest.raises(ValueError, match=message) as told:
        lstm_jax.fit(**{"texts": TEXTS, "labels": LABELS, **arguments})
    assert "\n" not in str(told.value)
    assert list(temporary_files.iterdir()) == []


def test_a_training_that_fails_leaves_no_folder(temporary_files, monkeypatch):
    def fail(config, corpus, request):
        (request.path / "begun").touch()
        raise FloatingPointError("loss is not finite")

    monkeypatch.setattr(fitting, "supervised", fail)
    with pytest.raises(FloatingPointError):
        lstm_jax.fit(TEXTS, LABELS)
    assert list(temporary_files.iterdir()) == []


def test_settings_may_be_numbers_of_numpy():
    config = fitting._config({"train.epochs": np.int64(3), "train.ema_decay": np.float32(0.5)}, 0)
    assert (config.train.epochs, config.train.ema_decay) == (3, 0.5)
    assert fitting._config({}, np.uint8(7)).seed == 7  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({"train.validation_fraction": 0.0}, ("train", "patience", 0)),
        ({"text.ngrams": ()}, ("model", "ngram_dropout", 0.0)),
        ({"text.pad": "front"}, ("train", "buckets", 8)),
    ],
)
def test_nothing_is_chosen_that_a_given_setting_makes_idle(given, chosen):
    part, name, value = chosen
    config = choose_settings(CORPUS, fitting._config(given, 0), given).config
    assert getattr(getattr(config, part), name) == value
    check_training(config, 0)
    both = {**given, f"{part}.{name}": 5 if isinstance(value, int) else 0.25}
    config = choose_settings(CORPUS, fitting._config(both, 0), both).config
    with pytest.raises(ValueError, match=rf"{part}\.{name} must be"):
        check_training(config, 0)


def test_weights_of_examples_go_with_them_and_decide_the_run():
    weighted = data.Examples(TEXTS, CORPUS.train.labels, np.arange(1.0, 61))
    taken = weighted.take([5, 0])
    assert taken.weights is not None
    assert taken.weights.tolist() == [6, 1]
    with pytest.raises(ValueError, match=r"weights must have shape \(60,\), got \(3,\)"):
        data.Examples(TEXTS, CORPUS.train.labels, np.ones(3))
    plain, other = (
        inputs_of(Config(), replace(CORPUS, train=t), None) for t in (CORPUS.train, weighted)
    )
    assert set(other) - set(plain) == {"example_weights"}
    balanced = fitting._config({"train.class_weights": "balanced"}, 0)
    few = weighted.take([0, 1, 3])  # of classes 0, 1, 1
    assert example_weights(Config(), few).tolist() == [1, 2, 4]
    assert example_weights(balanced, few).tolist() == [1.5, 1.5, 3]


def test_a_packed_run_is_json_and_what_orbax_wrote(run):
    content = temporary.pack(run.path)
    assert content == temporary.pack(run.path)
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert {name for name in names if "/" not in name} == {
        *("config.json", "data.json", "result.json", "tokenizer.json")
    }
    assert {name.split("/")[0] for name in names if "/" in name} == {"weights"}


def test_an_unpacked_run_predicts_the_same_bits(run, temporary_files):
    again = temporary.unpack(temporary.pack(run.path))
    np.testing.assert_array_equal(again.predict_proba(TEXTS), run.predict_proba(TEXTS))
    assert again.path.parent == temporary_files


def test_a_damaged_packed_run_is_refused_and_leaves_no_folder(run, temporary_files):
    content = temporary.pack(run.path)
    with pytest.raises(ValueError, match="content must be what pack made"):
        temporary.unpack(content[:-30])
    damaged = io.BytesIO()
    with zipfile.ZipFile(damaged, "w") as archive, zipfile.ZipFile(io.BytesIO(content)) as whole:
        for name in whole.namelist():
            changed = b" " if name == "tokenizer.json" else b""
            archive.writestr(name, whole.read(name) + changed)
    with pytest.raises(ValueError, match=r"tokenizer\.json: not as the run wrote it"):
        temporary.unpack(damaged.getvalue())
    assert list(temporary_files.iterdir()) == []


def test_the_guides_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, (texts, numbers) in {"reviews": (TEXTS, CORPUS.train.labels), "test": TEST}.items():
        labels = [f"class {number}" for number in numbers]
        pandas.DataFrame({"text": texts, "label": labels}).to_csv(f"{name}.csv")
    small_config, choose = fitting._config(TINY, 0), choose_settings

    def choose_small(corpus, given, fixed):
        chosen = choose(corpus, small_config.replaced(fixed, given), {*TINY, *fixed})
        return chosen._replace(config=replace(chosen.config, seed=given.seed))

    monkeypatch.setattr(fitting, "choose_settings", choose_small)
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "python.md").read_text()
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    assert names["again"].config.train.epochs == 5
    assert names["again"].config.seed == 1
    assert names["search"].best_params_["lstmclassifier__hidden_size"] in (32, 100)
    np.testing.assert_array_equal(names["same"].predict(TEXTS), names["classifier"].predict(TEXTS))


FORKED = """
import os, sys, lstm_jax
from pathlib import Path
from lstm_jax.recipes import temporary

lstm_jax.predictor.refuse_after_fork()
class Run: pass
temporary.load = lambda folder: Run()
run = temporary.temporary_run(lambda folder: (folder / "file").touch())
folder, = Path(sys.argv[1]).iterdir()
child = os.fork()
if child == 0:
    try:
        lstm_jax.fit(["good", "bad"], [0, 1])
    except RuntimeError as error:
        print(error, flush=True)
    sys.exit()  # which deletes what the process made
os.waitpid(child, 0)
print(folder.exists())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_is_refused_and_deletes_nothing_of_its_parents(tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    refused, kept = done.stdout.splitlines()
    assert refused.startswith("lstm_jax was used before this process was forked")
    assert kept == "True"
    assert list(Path(tmp_path).iterdir()) == []
