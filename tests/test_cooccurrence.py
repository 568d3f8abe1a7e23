"""Word vectors from counts."""

import numpy as np
import pytest

from lstm_jax.text import UNKNOWN, cooccurrence, word_vectors
from lstm_jax.text.cooccurrence import _counts, _information


def dense_information(sequences, size, window):
    """By loops over every pair."""
    counts = np.zeros((size, size))
    for ids in sequences:
        for i, first in enumerate(ids):
            for j, second in enumerate(ids):
                if 0 < abs(i - j) <= window and first > UNKNOWN and second > UNKNOWN:
                    counts[first, second] += 1
    of_word = counts.sum(1)
    q = of_word**0.75 / (of_word**0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(counts / counts.sum() / ((of_word / counts.sum())[:, None] * q))
    return counts, np.where(counts > 0, np.maximum(information, 0), 0)


@pytest.fixture
def sequences(rng):
    return [rng.integers(0, 12, n).astype(np.int32) for n in (9, 1, 0, 20, 30)]


@pytest.mark.parametrize("window", [1, 3, 40])
def test_counts_and_information_are_those_of_every_pair(sequences, window):
    counts, information = dense_information(sequences, 12, window)
    found = _counts(sequences, 12, window)
    np.testing.assert_array_equal(found.toarray(), counts)
    np.testing.assert_allclose(_information(found).toarray(), information, atol=1e-6)


def test_vectors_are_the_largest_singular_ones_of_one_length(sequences):
    _, information = dense_information(sequences, 12, 3)
    left, values, _ = np.linalg.svd(information)
    expected = left[:, :4] * np.sqrt(values[:4])
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-9)
    found = word_vectors(sequences, 12, 4, window=3)
    assert found.dtype == np.float32
    # Of one length, and at the same angles to each other: the axes are free.
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)
    assert not found[: UNKNOWN + 1].any()
    np.testing.assert_array_equal(found, word_vectors(sequences, 12, 4, window=3))


def test_words_of_like_use_begin_close_to_each_other(rng):
    """Two words that take each other's place at random, among words that do not."""
    texts = []
    for _ in range(200):
        topic = int(rng.integers(2))
        around = 5 + 10 * topic + rng.integers(0, 10, 6)
        texts.append(np.insert(around, 3, 3 + topic if rng.random() < 0.5 else 25 + topic))
    vectors = word_vectors(texts, 30, 4, window=3)
    assert vectors[3] @ vectors[25] > 0.9
    assert vectors[4] @ vectors[26] > 0.9
    assert vectors[3] @ vectors[26] < 0.5


def test_few_words_give_long_vectors_that_end_in_zeros(sequences):
    short, long = (word_vectors(sequences, 12, size, window=3) for size in (12, 20))
    np.testing.assert_allclose(long @ long.T, short @ short.T, atol=1e-4)
    assert not long[:, 12:].any()


def test_few_words_of_a_large_vocabulary_have_the_vectors_of_a_small_one(sequences):
    small, large = (word_vectors(sequences, words, 4, window=3) for words in (12, 2_000))
    np.testing.assert_allclose(large[:12] @ large[:12].T, small @ small.T, atol=1e-4)
    assert not large[12:].any()


def test_many_words_have_the_vectors_that_few_would(rng, monkeypatch):
    """The largest singular values alone, and all of them."""
    texts = [rng.zipf(1.3, 30) % 60 + 2 for _ in range(100)]
    every = word_vectors(texts, 70, 8, window=2)
    monkeypatch.setattr(cooccurrence, "DENSE", 0)
    some = word_vectors(texts, 70, 8, window=2)
    np.testing.assert_allclose(some @ some.T, every @ every.T, atol=1e-3)


def test_texts_without_two_words_give_zeros():
    assert not word_vectors([np.array([5]), np.array([], np.int32)], 10, 4, window=2).any()


@pytest.mark.parametrize(("size", "window"), [(0, 2), (4, 0)])
def test_what_cannot_be_is_refused(size, window):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        word_vectors([np.array([5, 6])], 10, size, window=window)
