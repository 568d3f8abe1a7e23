"""N-grams: found, given ids, and given vectors of their own."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import lstm_jax
from lstm_jax.nn.embedding import TokenEmbedding
from lstm_jax.text import NGrams

TEXTS = [
    np.array(ids, np.int32) for ids in ([3, 4, 5, 3, 4], [3, 4, 5, 6], [7, 6, 3, 4, 6], [4, 5], [])
]


def spelled(ngrams, tokens):
    """The n-grams that end at each place of a text, spelled out, by looking at it."""
    known = [set(), set()]
    for length, keys in enumerate(ngrams.keys):
        for key in keys.tolist():
            first, last = divmod(key, ngrams.vocabulary_size)
            before = (first,) if length == 0 else bigrams(ngrams)[first]
            known[length].add((*before, last))
    return [
        [
            tuple(tokens[at - n + 1 : at + 1]) in known[n - 2] if at >= n - 1 else False
            for n in (2, 3)
        ]
        for at in range(len(tokens))
    ]


def bigrams(ngrams):
    """Those of two tokens in the order of their ids."""
    return [divmod(key, ngrams.vocabulary_size) for key in ngrams.keys[0].tolist()]


def test_the_ngrams_of_the_most_texts_are_found():
    ngrams = NGrams.find(TEXTS, 10, [2, 5])
    # (3, 4) is in three texts, (4, 5) in three, (5, 6) and (6, 3) in one; twice in one is once.
    assert bigrams(ngrams) == [(3, 4), (4, 5)]
    # Of three tokens only (3, 4, 5), in two texts; (3, 4, 6) is in one.
    assert [divmod(key, 10) for key in ngrams.keys[1].tolist()] == [(0, 5)]


def test_an_ngram_never_reaches_over_two_texts():
    ngrams = NGrams.find([np.array([1, 2]), np.array([3, 1]), np.array([2, 3])] * 2, 5, [10])
    assert bigrams(ngrams) == [(1, 2), (2, 3), (3, 1)]


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_ids_are_those_of_the_ngrams_that_end_there(rng, xp):
    texts = [rng.integers(1, 6, rng.integers(1, 30)).astype(np.int32) for _ in range(40)]
    ngrams = NGrams.find(texts, 6, [9, 12])
    tokens = np.zeros((40, 30), np.int32)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = text
    ids = [np.asarray(found) for found in ngrams.ids(xp.asarray(tokens), xp)]
    for row, text in enumerate(texts):
        expected = spelled(ngrams, text.tolist())
        for length, found in enumerate(ids):
            known = found[row, : len(text)] < len(ngrams.keys[length])
            assert known.tolist() == [each[length] for each in expected]
            assert (found[row, len(text) :] == len(ngrams.keys[length])).all(), "padding"
    two = ids[0][0]
    for at in np.flatnonzero(two < 9):
        assert bigrams(ngrams)[two[at]] == tuple(tokens[0, at - 1 : at + 1])


def test_more_than_keys_can_tell_apart_are_refused():
    with pytest.raises(
        ValueError,
        match=r"n-grams must be at most 42948 with a vocabulary of 50000 tokens, got 50000",
    ):
        NGrams.find(TEXTS, 50_000, [10])


def test_an_ngram_adds_its_vector_to_that_of_its_last_token(rng, tmp_path):
    ngrams = NGrams.find(TEXTS, 10, [2, 5])
    ngrams.save(tmp_path / "ngrams.json")
    layer: Any = TokenEmbedding(10, 4, scale=1.0, ngrams=NGrams.load(tmp_path / "ngrams.json"))
    tokens = jnp.array([[3, 4, 5, 6]])
    params = layer.init(jax.random.key(0), tokens)["params"]
    table, two, three = params["table"], params["ngrams_of_2"], params["ngrams_of_3"]
    found = layer.apply({"params": params}, tokens)[0]
    expected = [table[3], table[4] + two[0], table[5] + two[1] + three[0], table[6]]
    np.testing.assert_allclose(found, jnp.stack(expected), rtol=1e-6)
    gradient = jax.grad(lambda p: layer.apply({"params": p}, tokens).sum())(params)
    np.testing.assert_array_equal(gradient["ngrams_of_2"], 1)


def test_a_run_keeps_its_ngrams(tmp_path):
    config = replace(small.CONFIG, text=replace(small.CONFIG.text, ngrams=(30, 20)))
    corpus = small.corpus()
    result = small.train(config, corpus, tmp_path / "run")
    run = lstm_jax.load(tmp_path / "run")
    assert run.model.ngrams is not None
    assert 0 < len(run.model.ngrams.keys[0]) <= 30
    assert corpus.test is not None
    assert run.evaluate(corpus.test).loss == pytest.approx(result.test["loss"], abs=1e-5)


def test_lengths_without_ngrams_are_left_out():
    texts = [np.array([3, 4, 5]), np.array([6, 3, 4]), np.array([5, 4, 3])]
    found = NGrams.find(texts, 7, (10, 10, 10))
    assert [len(keys) for keys in found.keys] == [1], "3 4 stands in two texts, no longer one"
    nothing = NGrams.find([np.array([3, 4]), np.array([4, 3])], 7, (10, 10))
    assert nothing.keys == ()
    layer = TokenEmbedding(7, 4, ngrams=nothing)
    embeddings, variables = layer.init_with_output(jax.random.key(0), jnp.array([[3, 4, 5]]))
    assert embeddings.shape == (1, 3, 4)
    assert set(variables["params"]) == {"table"}
