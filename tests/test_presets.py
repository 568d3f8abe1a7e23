"""The presets of the experiment, trained for real."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import train

from experiments import ablation, five_classes
from experiments.imdb import bilstm, command, session
from lstm_jax import kernels
from lstm_jax.cli import reading
from lstm_jax.data import Corpus, Examples, load_corpus
from lstm_jax.data.synthetic import FIVE_CLASS_NAMES
from lstm_jax.models.encoder import lstm_stack
from lstm_jax.train.config import Config


def test_the_bilstm_reads_the_builtin_corpus(tmp_path):
    # As a user does, and not with the flags of conftest.py: here the programs' speed counts.
    environment = {**os.environ, "XLA_FLAGS": ""}
    typed = [sys.executable, "-m", "experiments.imdb", "--data", "builtin"]
    typed += ["--runs", str(tmp_path)]
    subprocess.run(typed, check=True, cwd=Path(__file__).parents[1], env=environment)
    folder = tmp_path / "builtin-bilstm-seed0"
    result = json.loads((folder / "result.json").read_text())
    assert result["test"]["accuracy"] >= 0.99  # a linear model of words has 0.645
    assert Config.load(folder / "config.json") == bilstm.BUILTIN  # and it says how


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        ("builtin", [], bilstm.BUILTIN),
        ("imdb", [], bilstm.CONFIG),
        # What is typed holds, also where it is what another corpus has anyway.
        (
            "builtin",
            ["--train.epochs", "4"],
            replace(bilstm.BUILTIN, train=replace(bilstm.BUILTIN.train, epochs=4)),
        ),
    ],
    ids=str,
)
def test_the_builtin_corpus_has_settings_of_its_own(monkeypatch, data, options, expected):
    examples = Examples(["a film", "a plot"], np.array([0, 1], np.int32))
    chosen = []
    monkeypatch.setattr(sys, "argv", ["", "bilstm", "--data", data, *options])
    monkeypatch.setattr(
        reading, "load_corpus", lambda name, **how: Corpus(name, examples, None, ("bad", "good"))
    )
    monkeypatch.setattr(
        command, "run", lambda preset, experiment, corpus: chosen.append(experiment.config)
    )
    command.main()
    assert chosen == [expected]


@pytest.mark.real_data
def test_a_tenth_of_the_reviews_teaches_far_more_than_chance(tmp_path):
    corpus = load_corpus("imdb")
    rows = np.random.default_rng(0).choice(25_000, 2_500, replace=False)
    fewer = replace(corpus, train=corpus.train.take(rows), test=None)
    # The middle of each cut out, and one width: most of the time here would be compilation. Less of
    # the preset fits so few: fewer n-grams, smaller batches, a shorter warm-up.
    config = replace(
        bilstm.CONFIG,
        text=replace(bilstm.CONFIG.text, max_length=150, ngrams=(3_000, 2_000)),
        optimizer=replace(bilstm.CONFIG.optimizer, warmup_steps=20),
        train=replace(
            bilstm.CONFIG.train, epochs=2, batch_size=16, validation_fraction=0.2, buckets=1
        ),
    )
    result = train(config, fewer, tmp_path / "run", command="test")
    assert result.validation["examples"] == 500
    assert result.validation["auc"] is not None
    # Chance is 0.5, and its standard error here 0.03. It hangs on how XLA rounds: 0.81 and 0.83.
    assert result.validation["auc"] >= 0.7


@pytest.mark.parametrize(
    ("preset", "unlabelled"),
    [("adversarial", False), ("finetuned", True), ("distilled", True), ("bilstm", False)],
)
def test_a_preset_reads_reviews_without_labels_only_if_it_says_so(
    monkeypatch, tmp_path, preset, unlabelled
):
    examples = Examples(["a film", "a plot"], np.array([0, 1], np.int32))
    asked, read = [], []

    def load(*, unlabelled):
        asked.append(unlabelled)
        more = ["more"] * unlabelled
        return Corpus("small", examples, None, ("bad", "good"), unlabelled=more), None

    def pretrain(self, config, texts):
        read.extend(texts)
        return tmp_path / "pretrained"

    def stop(*arguments, **how):
        raise InterruptedError

    # What comes before belongs to the preset, whatever the run is called.
    monkeypatch.setattr(sys, "argv", ["", preset, "--name", "mine", "--runs", str(tmp_path)])
    monkeypatch.setattr(reading, "imdb_or_builtin", load)
    monkeypatch.setattr(session.Session, "pretrain", pretrain)
    monkeypatch.setattr(session.Session, "supervised", stop)
    with pytest.raises(InterruptedError):
        command.main()
    assert asked == [unlabelled]
    labelled = [] if preset == "bilstm" else examples.texts
    assert read == [*labelled, *(["more"] * unlabelled)]


def test_each_variant_of_the_ablation_has_one_piece_changed():
    for variant in ablation.VARIANTS[1:]:
        differences = ablation.BASE.differences(variant)
        name, *pieces = differences
        assert name == "name"
        if "text.ngrams" in pieces:  # without n-grams there are none to drop
            assert differences["model.ngram_dropout"].endswith("0.5, not 0.0")
            pieces.remove("model.ngram_dropout")
        assert len(pieces) == 1, pieces


@pytest.mark.real_data
def test_held_out_films_are_a_fifth_of_the_training_reviews_and_apart():
    archive = Path(__file__).parents[2] / "shared" / "data" / "aclImdb_v1.tar.gz"
    if not archive.exists():
        pytest.skip("the archive is not there")
    corpus = ablation.held_out_films(archive)
    assert corpus.test is not None
    assert (len(corpus.train), len(corpus.test)) == (20_000, 5_000)
    assert corpus.test.labels.mean() == 0.5


def test_five_classes_come_back_from_their_files_as_rare_as_they_were_made(tmp_path):
    made = load_corpus("builtin5").train
    kept = five_classes.some(made)
    fractions = np.bincount(kept.labels) / np.bincount(made.labels)
    np.testing.assert_allclose(fractions, five_classes.FRACTIONS, atol=1e-3)
    five_classes.write_csv(tmp_path / "made.csv", kept, FIVE_CLASS_NAMES)
    read = load_corpus(tmp_path / "made.csv")
    assert read.train.texts == kept.texts
    names = [read.class_names[label] for label in read.train.labels]
    assert names == [FIVE_CLASS_NAMES[label] for label in kept.labels]


@pytest.mark.parametrize(("why_not", "expected"), [("", "bfloat16"), ("no AVX512-BF16", None)])
def test_precision_auto_is_bfloat16_only_where_the_processor_has_it(monkeypatch, why_not, expected):
    monkeypatch.setattr(kernels.jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(kernels.cpu, "unsupported", lambda dtype, precision=None: why_not)
    config = replace(bilstm.CONFIG.model, precision="auto")
    assert lstm_stack(config).layer().precision == expected
    for other in ({"cell": "peephole"}, {"implementation": "scan"}, {"implementation": "xla"}):
        assert lstm_stack(replace(config, **other)).layer().precision is None
