"""`jax_numpy_rank_promotion="raise"`: what Flax's modules run under, ours do too."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import lstm_jax
from lstm_jax import Bidirectional, bidirectional_lstm, init_lstm, lstm, lstm_cell, zero_state
from lstm_jax.kernels import xla
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.models.config import ModelConfig
from lstm_jax.nn import LSTMLayer, LSTMStack, TokenEmbedding
from lstm_jax.text import NGrams
from lstm_jax.variants import VARIANTS

B, T, D, H = 3, 5, 4, 6
PARAMS = init_lstm(jax.random.key(0), D, H)
INPUTS = jax.random.normal(jax.random.key(1), (B, T, D))
LENGTHS = jnp.array([5, 0, 2])


@pytest.fixture(autouse=True)
def _strict():
    with jax.numpy_rank_promotion("raise"):
        yield


def test_a_step_and_its_gradient_promote_no_rank():
    def loss(params):
        return lstm_cell(params, zero_state(B, H), INPUTS[:, 0])[1].sum()

    assert jax.tree.map(jnp.shape, jax.grad(loss)(PARAMS)) == jax.tree.map(jnp.shape, PARAMS)


@pytest.mark.parametrize(
    "implementation",
    ["auto", *(name for name, state in lstm_jax.implementations().items() if state == "available")],
)
def test_an_lstm_with_lengths_and_its_gradient_promote_no_rank(implementation):
    def loss(params, chunk_size):
        options = {"implementation": implementation, "chunk_size": chunk_size}
        both = Bidirectional(params, params)
        outputs, _ = bidirectional_lstm(both, INPUTS, lengths=LENGTHS, **options)
        return outputs.forward.sum() + outputs.backward.sum()

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    for a, b in zip(gradient(PARAMS, None), gradient(PARAMS, 2), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_what_accelerators_run_promotes_no_rank():
    def loss(params):
        states = (zero_state(B, H),)
        ((outputs, _),) = xla.at_once((params,), INPUTS, LENGTHS, states, reverse=(True,))
        return outputs.sum()

    def expected(params):
        return lstm(params, INPUTS, lengths=LENGTHS, reverse=True)[0].sum()

    for a, b in zip(jax.grad(loss)(PARAMS), jax.grad(expected)(PARAMS), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


SETTINGS = [
    *({"pooling": name} for name in ("last", "max", "mean", "max_mean", "attention")),
    *({"cell": name, "layers": 2} for name in VARIANTS if name != "lstm"),
    {"token_dropout": 0.1, "ngram_dropout": 0.1, "layers": 2},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_classifier_in_training_promotes_no_rank(settings):
    config = ModelConfig(embedding_size=4, hidden_size=4, layer_dropout=0.1, **settings)
    ngrams = NGrams(20, (np.array([21, 22]),))
    model: Any = TextClassifier(config, 20, ngrams=ngrams)
    tokens = jnp.ones((B, T), jnp.int32)
    variables = model.init(jax.random.key(0), tokens, LENGTHS)

    def loss(variables):
        rngs = {"dropout": jax.random.key(1)}
        return model.apply(variables, tokens, LENGTHS, train=True, rngs=rngs).sum()

    assert all(map(jnp.isfinite, map(jnp.sum, jax.tree.leaves(jax.grad(loss)(variables)))))


@pytest.mark.parametrize(
    "settings",
    [{"zoneout": (0.1, 0.1)}, {"recurrent_dropout": 0.1}, {"weight_dropout": 0.1}],
    ids=str,
)
def test_layers_that_drop_out_in_the_recurrence_promote_no_rank(settings):
    embedding = TokenEmbedding(20, 4, token_dropout=0.1, feature_dropout=0.1, variational=True)
    layer = partial(LSTMLayer, hidden_size=4, direction="bidirectional", **settings)
    stack = LSTMStack(2, layer, 0.1)
    tokens, dropout = jnp.ones((B, T), jnp.int32), {"dropout": jax.random.key(1)}
    table = embedding.init(jax.random.key(0), tokens)
    params = stack.init(jax.random.key(0), jnp.zeros((B, T, 4)), LENGTHS)

    def loss(table, params):
        embeddings = embedding.apply(table, tokens, train=True, rngs=dropout)
        encoding: Any = stack.apply(params, embeddings, LENGTHS, train=True, rngs=dropout)
        return encoding.outputs.sum() + encoding.last.sum()

    gradients = jax.grad(loss, (0, 1))(table, params)
    assert all(map(jnp.isfinite, map(jnp.sum, jax.tree.leaves(gradients))))


def test_a_run_trains_and_predicts_without_promoting_a_rank(tmp_path):
    small.train(small.CONFIG, small.corpus(), tmp_path / "run")
    found = lstm_jax.load(tmp_path / "run").predict_proba(["the verdict0 film", "verdict1", ""])
    assert found.shape == (3, 2)
    assert found.argmax(1)[:2].tolist() == [0, 1]
