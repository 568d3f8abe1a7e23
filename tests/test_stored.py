"""Texts in a temporary file: a sequence like a list, and training from it gives the same bits."""

import errno
import os
import random

import numpy as np
import pytest
import small

import lstm_jax
from lstm_jax.data import Examples, load_corpus, stored
from lstm_jax.data.duplicates import keys_of, with_two_labels
from lstm_jax.data.stored import Collected, StoredTexts

TEXTS = ["a", "", "schön", "\ud800", "x" * 3_000_000, "\n\t", "\U0001f600 end"]


def test_they_are_read_as_they_were_written_in_any_order():
    texts = StoredTexts(TEXTS * 300)
    assert len(texts) == len(TEXTS) * 300
    assert list(texts[:7]) == TEXTS
    assert texts[-1] == TEXTS[-1]
    rows = np.array(random.Random(0).sample(range(len(texts)), 50))
    assert texts.take(rows) == [(TEXTS * 300)[row] for row in rows]
    assert texts[1::3] == (TEXTS * 300)[1::3]
    texts.append("later")
    assert (texts[-1], texts[0]) == ("later", "a")
    with pytest.raises(IndexError):
        texts[len(texts)]


def test_the_file_is_gone_with_the_last_of_them():
    texts = StoredTexts(["one"])
    part, descriptor = texts[:], texts._file._descriptor
    del texts
    assert part[0] == "one"
    del part
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_texts_are_stored_once_they_are_too_many_for_memory(monkeypatch):
    monkeypatch.setattr(stored, "IN_MEMORY", 10)
    assert isinstance(Collected(["short", "one"]).found, list)
    many = Collected(["short", "one", "more"]).found
    assert isinstance(many, StoredTexts)
    assert many == ["short", "one", "more"]


def test_a_disk_that_is_full_is_named(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left on device: '/"):
        StoredTexts(["x" * 2_000_000])


def test_a_run_of_stored_texts_has_the_bits_of_one_in_memory(tmp_path, monkeypatch):
    given = small.corpus()
    table = tmp_path / "train.csv"
    labels = given.train.labels.tolist()
    rows = [f"{text},{label}" for text, label in zip(given.train.texts, labels, strict=True)]
    table.write_text("\n".join(["text,label", *rows]))
    in_memory = load_corpus(table)
    monkeypatch.setattr(stored, "IN_MEMORY", 100)
    in_file = load_corpus(table)
    assert isinstance(in_file.train.texts, StoredTexts)
    for name, corpus in (("memory", in_memory), ("file", in_file)):
        small.train(small.CONFIG, corpus, tmp_path / name)
    expected, found = (lstm_jax.load(tmp_path / name) for name in ("memory", "file"))
    texts = given.train.texts[:9]
    np.testing.assert_array_equal(found.predict_proba(texts), expected.predict_proba(texts))


def test_texts_with_two_labels_are_found_among_many():
    rng = random.Random(0)
    texts = [f"Text  {rng.randrange(400)}" for _ in range(1000)]
    labels = np.array([rng.randrange(3) if text < "Text  2" else 1 for text in texts])
    expected: dict[str, set[int]] = {}
    for text, label in zip(texts, labels.tolist(), strict=True):
        expected.setdefault(text, set()).add(label)
    found = with_two_labels(keys_of(text.upper() for text in texts), labels)
    assert {texts[row]: set(given) for row, given in found} == {
        text: given for text, given in expected.items() if len(given) > 1
    }
    assert all(texts.index(texts[row]) == row for row, _ in found)
    assert with_two_labels(keys_of([" ", ""]), np.array([0, 1])) == []
    assert len(Examples(texts, labels.astype(np.int32))) == 1000
