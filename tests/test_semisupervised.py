"""Training with texts that have no labels beside those that have."""

from dataclasses import replace

import numpy as np
import pytest
import small

import lstm_jax
from lstm_jax.cli import main, train
from lstm_jax.data import UNLABELLED
from lstm_jax.recipes import supervised

CORPUS = small.corpus(train=60)
MORE = small.corpus(train=300).train.texts[60:]
CONFIG = replace(small.CONFIG, train=replace(small.CONFIG.train, unlabelled=50, adversarial=0.1))


def what_fit_gets(monkeypatch, tmp_path, config, corpus):
    """The batches and the start of a run that is stopped there."""

    class Stopped(Exception):
        pass

    def fit(run, loss, batches, *, start, **options):
        found.update(batches=batches.batches, start=start)
        batches.close()
        raise Stopped

    found = {}
    monkeypatch.setattr(supervised, "fit", fit)
    with pytest.raises(Stopped):
        small.train(config, corpus, tmp_path / "run")
    return found


@pytest.mark.parametrize(("there", "read"), [(MORE, 50), (MORE[:30], 30)])
def test_as_many_texts_without_labels_are_read_as_asked_and_there(
    monkeypatch, tmp_path, there, read
):
    corpus = replace(CORPUS, unlabelled=list(there))
    batches = what_fit_gets(monkeypatch, tmp_path, CONFIG, corpus)["batches"]
    labels = np.concatenate(
        [
            batch.labels[batch.weights > 0]
            for batch in (batches[n] for n in range(batches.batches_per_epoch))
        ]
    )
    assert (labels == UNLABELLED).sum() == read
    assert (labels != UNLABELLED).sum() == 48  # 60 less a fifth for validation


def test_none_are_read_unless_asked_for(monkeypatch, tmp_path):
    corpus = replace(CORPUS, unlabelled=list(MORE))
    batches = what_fit_gets(monkeypatch, tmp_path, small.CONFIG, corpus)["batches"]
    labels = [batches[n].labels for n in range(batches.batches_per_epoch)]
    assert (np.concatenate(labels) != UNLABELLED).all()


def test_word_vectors_start_from_all_texts_at_the_length_of_random_ones(monkeypatch, tmp_path):
    config = replace(small.CONFIG, text=replace(small.CONFIG.text, cooccurrence_window=3))
    corpus = replace(CORPUS, unlabelled=list(MORE))
    start = what_fit_gets(monkeypatch, tmp_path, config, corpus)["start"]
    table = start["embedding"]["table"]
    lengths = np.linalg.norm(table, axis=1)
    random_ones = np.random.default_rng(0).uniform(-0.5, 0.5, (1000, 8))
    mean = np.sqrt((random_ones**2).sum(1).mean())
    np.testing.assert_allclose(lengths[lengths > 0], mean, rtol=0.05)
    assert (lengths > 0).sum() == 10  # all but the three special ids


def test_a_run_with_them_learns_and_counts_labelled_texts_only(tmp_path):
    config = replace(
        CONFIG,
        text=replace(CONFIG.text, cooccurrence_window=3),
        train=replace(CONFIG.train, epochs=8),
    )
    corpus = replace(CORPUS, unlabelled=list(MORE))
    result = small.train(config, corpus, tmp_path / "run")
    assert result.test["accuracy"] is not None
    assert result.test["accuracy"] >= 0.9
    lines = small.lines(tmp_path / "run" / "metrics.jsonl")
    epochs = [line for line in lines if "train_accuracy" in line]
    assert len(epochs) == config.train.epochs


def test_the_command_reads_them_from_a_file(tmp_path, monkeypatch, capsys):
    texts, table = tmp_path / "texts.txt", tmp_path / "train.csv"
    texts.write_text("\n".join(MORE))
    rows = [
        f"{text},{label}"
        for text, label in zip(CORPUS.train.texts, CORPUS.train.labels, strict=True)
    ]
    table.write_text("\n".join(["text,label", *rows]))
    seen = []

    def watched(config, corpus, *rest, **options):
        seen.append((config.train.unlabelled, corpus.unlabelled))
        return supervised.supervised(config, corpus, *rest, **options)

    monkeypatch.setattr(train, "supervised", watched)
    options = ["--unlabelled", str(texts), "--train.unlabelled", "20", "--train.epochs", "1"]
    arguments = ["lstm_jax", "train", str(table), str(tmp_path / "run"), *options]
    monkeypatch.setattr("sys.argv", arguments)
    main()
    assert seen == [(20, list(MORE))]
    assert lstm_jax.load(tmp_path / "run").config.train.unlabelled == 20
