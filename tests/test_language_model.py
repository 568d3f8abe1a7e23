"""The language model, and what starts from it."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from small import pretrain

import lstm_jax
from lstm_jax.data import Batch
from lstm_jax.models.language_model import LanguageModel
from lstm_jax.recipes.pretrain import cut_into_chunks
from lstm_jax.text import WordTokenizer
from lstm_jax.train.checkpoints import load_encoder
from lstm_jax.train.evaluation import PretrainingEvaluator
from lstm_jax.train.losses import NextWord
from lstm_jax.train.losses.next_word import draw_probabilities, draw_words

MODEL = LanguageModel(small.replace_dropout(small.CONFIG.model), 20)
directions = pytest.mark.parametrize("direction", ["forward", "backward", "bidirectional"])


def a_model(direction: str) -> LanguageModel:
    config = replace(small.replace_dropout(small.CONFIG.model), direction=direction)
    return LanguageModel(config, 20)


@pytest.fixture
def batch(rng):
    lengths = np.array([7, 3, 1, 5], np.int32)
    tokens = rng.integers(1, 20, (4, 7)).astype(np.int32)
    tokens[np.arange(7) >= lengths[:, None]] = 0
    zeros = np.zeros(4, np.int32)
    return Batch(tokens, lengths, zeros, np.ones(4, np.float32), zeros)


@directions
def test_each_word_but_the_last_read_is_predicted_once(direction, batch):
    model = a_model(direction)
    params = NextWord(model).init(jax.random.key(0))
    predicted: Any = model.apply({"params": params}, batch.tokens, batch.lengths)
    _, targets, valid = predicted
    ways = len(model.directions)
    targets, valid = (np.asarray(a).reshape(ways, 4, 7) for a in (targets, valid))
    for way, name in enumerate(model.directions):
        for row, length in enumerate(batch.lengths):
            words = batch.tokens[row, :length]
            expected = words[1:] if name == "forward" else words[:-1]
            np.testing.assert_array_equal(targets[way, row][valid[way, row]], expected)


@directions
def test_a_word_is_not_predicted_from_itself(direction, batch):
    model = a_model(direction)
    params = NextWord(model).init(jax.random.key(0))

    def vectors(tokens):
        predicted: Any = model.apply({"params": params}, tokens, batch.lengths)
        found, targets, valid = predicted
        return np.asarray(found), np.asarray(targets), np.asarray(valid)

    before, _, valid = vectors(batch.tokens)
    changed = batch.tokens.copy()
    changed[0, 3] = (changed[0, 3] + 1) % 19 + 1
    after, _, _ = vectors(changed)
    shape = (len(model.directions), 4, 7)
    ways = dict(zip(model.directions, range(2), strict=False))
    differs = (before != after).any(-1).reshape(shape)
    for name, way in ways.items():
        predicting = 2 if name == "forward" else 4  # the place from which word 3 is predicted
        assert valid.reshape(shape)[way, 0, predicting]
        assert not differs[way, 0, predicting]
        assert differs[way, 0, 3]


def test_words_are_drawn_as_often_as_their_probabilities_say():
    probabilities = np.asarray(draw_probabilities(50))
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    drawn = np.asarray(draw_words(jax.random.key(0), 200_000, 50))
    frequencies = np.bincount(drawn, minlength=50) / 200_000
    np.testing.assert_allclose(frequencies, probabilities, atol=0.003)


def test_the_sampled_loss_comes_near_the_whole_one(batch):
    """With many draws the estimate of the normalisation has little variance."""
    loss = NextWord(MODEL, samples=20_000)
    params = loss.init(jax.random.key(0))
    params["bias"] = jnp.linspace(-1, 1, 20)
    differentiated = jax.value_and_grad(loss, has_aux=True)
    (value, totals), gradients = differentiated(params, batch, jax.random.key(1))
    exact = PretrainingEvaluator(loss, [batch])(params)
    assert float(value) == pytest.approx(exact["loss"], abs=0.03)
    assert exact["perplexity"] == pytest.approx(np.exp(exact["loss"]))
    assert float(totals.examples) == 2 * (batch.lengths - 1).sum()
    assert all(np.abs(array).max() > 0 for array in jax.tree.leaves(gradients))


def test_chunks_leave_nothing_out():
    sequences = [np.arange(count, dtype=np.int32) for count in (7, 3, 6)]
    chunks = cut_into_chunks(sequences, 3)
    assert [len(chunk) for chunk in chunks] == [3, 3, 1, 3, 3, 3]
    np.testing.assert_array_equal(np.concatenate(chunks), np.concatenate(sequences))


def test_two_layers_that_read_both_ways_are_refused():
    model = LanguageModel(replace(MODEL.config, layers=2), 20)
    with pytest.raises(ValueError, match="must have one layer"):
        NextWord(model).init(jax.random.key(0))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A language model of texts in which each word decides the next."""
    rng, words = np.random.default_rng(0), [f"w{n}" for n in range(12)]
    starts = rng.integers(0, 12, 300)
    texts = [" ".join(words[(s + n) % 12] for n in range(10)) for s in starts]
    path = tmp_path_factory.mktemp("runs") / "model"
    config = replace(
        small.CONFIG,
        model=small.replace_dropout(small.CONFIG.model),
        train=replace(small.CONFIG.train, epochs=15),
    )
    return path, pretrain(config, texts, path, name="cycle", objective="next_word")


def test_a_language_model_learns_what_follows(pretrained):
    _, result = pretrained
    # Only the first and the last word cannot be known: one of twelve words, of ten predicted.
    assert result.validation["perplexity"] < 2.5


def test_a_classifier_starts_from_a_language_model(pretrained, tmp_path):
    path, _ = pretrained
    corpus, config = small.corpus(), replace(small.CONFIG, model=MODEL.config)
    small.train(config, corpus, tmp_path / "run", init=path)
    run = lstm_jax.load(tmp_path / "run")
    assert run.tokenizer.to_json() == WordTokenizer.load(path / "tokenizer.json").to_json()
    encoder = load_encoder(path / "weights")
    # It has gone on from there, and not far: a step moves a number by about the learning rate.
    for name in ("embedding", "stack"):
        trees = map(jax.tree.leaves, (encoder[name], run.params[name]))
        for before, after in zip(*trees, strict=True):
            assert before.shape == after.shape
            assert np.corrcoef(np.ravel(before), np.ravel(after))[0, 1] > 0.5


def test_two_view_pretraining_starts_from_a_language_model(pretrained, tmp_path):
    path, _ = pretrained
    still = replace(small.CONFIG.optimizer, learning_rate=1e-12)
    config = replace(
        small.CONFIG,
        text=replace(small.CONFIG.text, ngrams=(5,)),
        model=small.replace_dropout(small.CONFIG.model),
        optimizer=still,
        # None of its words is in the vocabulary, so there is nothing to validate on.
        train=replace(small.CONFIG.train, epochs=1, validation_fraction=0.0),
    )
    texts = small.corpus().train.texts
    result = pretrain(config, texts, tmp_path / "two_view", name="films", init=path)
    assert result.outcome.objective == "two_view"
    before, after = (load_encoder(run / "weights") for run in (path, tmp_path / "two_view"))
    assert set(after["embedding"]) - set(before["embedding"]) == {"ngrams_of_2"}
    del after["embedding"]["ngrams_of_2"]
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), before, after)


def test_a_language_model_of_another_size_is_refused(pretrained, tmp_path):
    path, _ = pretrained
    config = replace(small.CONFIG, model=replace(MODEL.config, hidden_size=9))
    with pytest.raises(ValueError, match="must fit the model"):
        small.train(config, small.corpus(), tmp_path, init=path)


def test_a_folder_without_a_run_cannot_be_started_from(tmp_path):
    with pytest.raises(ValueError, match="must be the folder of a finished run"):
        small.train(small.CONFIG, small.corpus(), tmp_path / "run", init=tmp_path / "none")
