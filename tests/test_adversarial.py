"""Adversarial training."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from lstm_jax.data import UNLABELLED, Batch, load_corpus
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.models.config import ModelConfig
from lstm_jax.train.config import Config, OptimizerConfig, TextConfig, TrainConfig
from lstm_jax.train.losses import Adversarial, Classification
from lstm_jax.train.losses.adversarial import confidence, perturbation
from lstm_jax.train.losses.cross_entropy import cross_entropy
from lstm_jax.train.losses.targets import smoothed_labels
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
    return cross_entropy(logits, smoothed_labels(batch.labels, logits.shape[-1], 0.0))


def embeddings_of(classifier, params, batch) -> Any:
    return classifier.apply({"params": params}, batch.tokens, method="embed")


@pytest.mark.parametrize("one_logit", [True, False])
def test_confidence_is_0_by_chance_and_1_when_sure(one_logit):
    of_1 = np.array([0.5, 1.0, 0.0, 0.9, 0.9])
    targets = np.array([1.0, 1.0, 1.0, 1.0, 0.9])
    expected = [0, 1, 0, 0.8, 2 * (0.9**2 + 0.1**2) - 1]
    found = [
        array[:, None] if one_logit else np.stack([1 - array, array], 1)
        for array in (targets, of_1)
    ]
    np.testing.assert_allclose(confidence(*map(jnp.asarray, found)), expected, atol=1e-6)


def test_confidence_of_several_classes_is_0_by_chance_and_1_when_sure():
    targets = jnp.eye(4)
    probabilities = jnp.stack(
        [jnp.eye(4)[0], jnp.eye(4)[0], jnp.full(4, 0.25), jnp.full(4, 0.2).at[3].set(0.4)]
    )
    np.testing.assert_allclose(confidence(targets, probabilities), [1, 0, 0, 0.2], atol=1e-6)


def test_every_text_is_perturbed_as_far_and_its_loss_rises(classifier, batch):
    params = init_state(
        Classification(classifier),
        make_optimizer(OptimizerConfig(), 1),
        0,
        keep_ema=False,
        keep_best=False,
    ).params
    x = embeddings_of(classifier, params, batch)
    gradient = jax.grad(lambda x: losses(classifier, params, x, batch).sum())(x)
    change = perturbation(x, gradient, batch.lengths, 0.1)
    valid = np.arange(7) < batch.lengths[:, None]
    typical = np.sqrt((np.asarray(x)[valid] ** 2).sum(-1).mean())
    np.testing.assert_allclose(np.sqrt((change**2).sum((1, 2))), 0.1 * typical, rtol=1e-5)
    assert not np.asarray(change)[~valid].any()
    before, after = (losses(classifier, params, at, batch) for at in (x, x + change))
    assert (after > before).all()


def test_a_text_without_a_gradient_is_not_perturbed():
    ones = jnp.ones((2, 3, 4))
    change = perturbation(ones, ones.at[0].set(0), jnp.array([3, 3]), 0.5)
    assert not change[0].any()
    assert np.isfinite(change).all()


def test_the_step_follows_the_mean_of_both_losses(classifier, batch):
    """ε = 0.2 is scaled by the mean of 2 p - 1, p the labels' probabilities, at least 1/2."""
    of_model = Adversarial(Classification(classifier), 0.2)
    optimizer = make_optimizer(OptimizerConfig(clip_norm=None), 1)

    def start():
        return init_state(of_model, optimizer, 0, keep_ema=False, keep_best=False)

    params = start().params
    x = embeddings_of(classifier, params, batch)
    gradient = jax.grad(lambda x: losses(classifier, params, x, batch).mean())(x)
    probabilities = jnp.exp(-losses(classifier, params, x, batch))
    assert (probabilities > 0.5).any()
    assert (probabilities < 0.5).any()
    size = 0.2 * jnp.maximum(2 * probabilities - 1, 0).mean()
    change = perturbation(x, gradient, batch.lengths, size)

    def loss(params):
        x = embeddings_of(classifier, params, batch)
        both = [losses(classifier, params, at, batch).mean() for at in (x, x + change)]
        return sum(both) / 2

    expected = jax.grad(loss)(params)
    state, of_step = train_step(of_model, optimizer, 0.0, start(), batch)
    norm = np.sqrt(sum((array**2).sum() for array in jax.tree.leaves(expected)))
    np.testing.assert_allclose(of_step["norm"], norm, rtol=1e-4)
    # Adam's first step is the sign of the gradient times the learning rate.
    for old, new, slope in zip(
        *map(jax.tree.leaves, (params, state.params, expected)), strict=True
    ):
        clear = np.abs(slope) > 1e-6
        assert (np.sign(old - new)[clear] == np.sign(slope)[clear]).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_texts_without_labels_are_to_be_decided_and_to_stay_so_when_perturbed(rng, batch, classes):
    """Their entropy, and the divergence from the prediction on the embeddings as they are."""
    model = TextClassifier(small.replace_dropout(small.CONFIG.model), 20, classes)
    of_model = Adversarial(Classification(model), 0.2)
    labelled = np.array([True, False, True, True, False, False])
    labels = np.where(labelled, rng.integers(0, classes, 6), UNLABELLED).astype(np.int32)
    batch = batch._replace(labels=labels)
    params = of_model.init(jax.random.key(1))

    def log_probabilities(params, x):
        logits: Any = model.apply({"params": params}, x, batch.lengths, method="classify")
        if classes == 2:
            return jax.nn.log_sigmoid(jnp.concatenate([-logits, logits], 1))
        return jax.nn.log_softmax(logits)

    def rows(params, x, soft_labels=None):
        found = log_probabilities(params, x)
        own = jnp.exp(found if soft_labels is None else soft_labels)
        return jnp.where(labelled, -found[np.arange(6), labels], -(own * found).sum(1))

    x = embeddings_of(model, params, batch)
    soft_labels = log_probabilities(params, x)
    slope = jax.grad(lambda x: rows(params, x).sum())(x)
    given = jnp.where(labelled[:, None], jax.nn.one_hot(labels, classes), jnp.exp(soft_labels))
    likely = (given * jnp.exp(soft_labels)).sum(-1)
    size = 0.2 * jnp.maximum((classes * likely - 1) / (classes - 1), 0).mean()
    change = perturbation(x, slope, batch.lengths, size)

    def loss(params):
        x = embeddings_of(model, params, batch)
        return (rows(params, x).mean() + rows(params, x + change, soft_labels).mean()) / 2

    expected = jax.grad(loss)(params)
    differentiated = jax.value_and_grad(of_model, has_aux=True)
    (value, totals), found = differentiated(params, batch, jax.random.key(0))
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)
    assert float(value) == pytest.approx(float(rows(params, x).mean()), rel=1e-5)
    assert float(totals.examples) == 3
    assert float(totals.loss) == pytest.approx(float(rows(params, x)[labelled].sum()), rel=1e-5)


def test_perturbed_embeddings_do_not_hide_what_there_is_to_learn(tmp_path):
    """Perturbed as far from the first step on, they leave this model at 50 %."""
    corpus = load_corpus("builtin")
    assert corpus.test is not None
    some = replace(
        corpus,
        train=corpus.train.take(np.arange(4_000)),
        test=corpus.test.take(np.arange(1_000)),
    )
    config = Config(
        text=TextConfig(max_length=100, vocabulary_size=1_000),
        model=ModelConfig(embedding_size=32, hidden_size=32),
        optimizer=OptimizerConfig(learning_rate=0.01, schedule="cosine", warmup_steps=20),
        train=TrainConfig(epochs=3, batch_size=32, buckets=2, adversarial=1.0),
    )
    accuracy = small.train(config, some, tmp_path / "run").test["accuracy"]
    assert accuracy is not None
    assert accuracy > 0.85
