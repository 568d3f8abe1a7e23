"""Adversarial training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from lstm_jax.text import Batch
from lstm_jax.train.adversarial import perturbation
from lstm_jax.train.config import OptimizerConfig
from lstm_jax.train.objective import Classification, TextClassifier, example_losses
from lstm_jax.train.optimizer import make_optimizer
from lstm_jax.train.step import init_state, train_step


@pytest.fixture
def classifier():
    return TextClassifier(small.replace_dropout(small.CONFIG.model), 20)


@pytest.fixture
def batch(rng):
    lengths = np.array([7, 3, 1, 7, 5, 2], np.int32)
    tokens = rng.integers(1, 20, (6, 7)).astype(np.int32)
    tokens[np.arange(7) >= lengths[:, None]] = 0
    labels = rng.integers(0, 2, 6).astype(np.int32)
    return Batch(tokens, lengths, labels, np.ones(6, np.float32), np.arange(6, dtype=np.int32))


def losses(classifier, params, embeddings, batch):
    variables = {"params": params}
    logits = classifier.apply(variables, embeddings, batch.lengths, method="classify")
    return example_losses(logits, batch.labels)


def embeddings_of(classifier, params, batch):
    return classifier.apply({"params": params}, batch.tokens, method="embed")


def test_every_text_is_moved_as_far_and_its_loss_rises(classifier, batch):
    params = init_state(
        Classification(classifier),
        make_optimizer(OptimizerConfig(), 1),
        0,
        keep_ema=False,
        keep_best=False,
    ).params
    x = embeddings_of(classifier, params, batch)
    gradient = jax.grad(lambda x: losses(classifier, params, x, batch).sum())(x)
    moved = perturbation(x, gradient, batch.lengths, 0.1)
    valid = np.arange(7) < batch.lengths[:, None]
    typical = np.sqrt((np.asarray(x)[valid] ** 2).sum(-1).mean())
    np.testing.assert_allclose(np.sqrt((moved**2).sum((1, 2))), 0.1 * typical, rtol=1e-5)
    assert not np.asarray(moved)[~valid].any()
    before, after = (losses(classifier, params, at, batch) for at in (x, x + moved))
    assert (after > before).all()


def test_a_text_without_a_gradient_is_not_moved():
    ones = jnp.ones((2, 3, 4))
    moved = perturbation(ones, ones.at[0].set(0), jnp.array([3, 3]), 0.5)
    assert not moved[0].any()
    assert np.isfinite(moved).all()


def test_the_step_follows_the_mean_of_both_losses(classifier, batch):
    objective = Classification(classifier, adversarial=0.2)
    optimizer = make_optimizer(OptimizerConfig(clip_norm=None), 1)

    def start():
        return init_state(objective, optimizer, 0, keep_ema=False, keep_best=False)

    params = start().params
    x = embeddings_of(classifier, params, batch)
    gradient = jax.grad(lambda x: losses(classifier, params, x, batch).mean())(x)
    moved = perturbation(x, gradient, batch.lengths, 0.2)

    def loss(params):
        x = embeddings_of(classifier, params, batch)
        both = [losses(classifier, params, at, batch).mean() for at in (x, x + moved)]
        return sum(both) / 2

    expected = jax.grad(loss)(params)
    state, of_step = train_step(objective, optimizer, 0.0, start(), batch)
    norm = np.sqrt(sum((array**2).sum() for array in jax.tree.leaves(expected)))
    np.testing.assert_allclose(of_step["norm"], norm, rtol=1e-4)
    # Adam's first step is the sign of the gradient times the learning rate.
    for old, new, slope in zip(
        *map(jax.tree.leaves, (params, state.params, expected)), strict=True
    ):
        clear = np.abs(slope) > 1e-6
        assert (np.sign(old - new)[clear] == np.sign(slope)[clear]).all()
