"""One step: its loss, its gradient, what it leaves in the state."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small

from lstm_jax.data import Batch
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.train.config import OptimizerConfig
from lstm_jax.train.losses import Classification
from lstm_jax.train.losses.cross_entropy import cross_entropy, predicted_labels
from lstm_jax.train.losses.targets import smoothed_labels
from lstm_jax.train.metrics import probabilities
from lstm_jax.train.optimizer import make_optimizer, make_schedule
from lstm_jax.train.step import init_state, train_step


def a_batch(rng, rows=6, width=5):
    return Batch(
        tokens=rng.integers(1, 20, (rows, width)).astype(np.int32),
        lengths=rng.integers(1, width + 1, rows).astype(np.int32),
        labels=rng.integers(0, 2, rows).astype(np.int32),
        weights=np.ones(rows, np.float32),
        index=np.arange(rows, dtype=np.int32),
    )


def a_model(**changes):
    config = replace(small.CONFIG.model, token_dropout=0.0, output_dropout=0.0, **changes)
    return TextClassifier(config, 20)


def test_padding_rows_do_not_change_the_step(rng):
    model, batch = a_model(), a_batch(rng)
    optimizer = make_optimizer(OptimizerConfig(), 10)
    arrays: Any = batch[:5]
    filled = Batch(*(np.concatenate([array, array[:3]]) for array in arrays))
    filled = filled._replace(weights=np.array([1] * 6 + [0] * 3, np.float32))
    results = []
    for one in (batch, filled):
        state = init_state(Classification(model), optimizer, 0, keep_ema=True, keep_best=False)
        results.append(train_step(Classification(model), optimizer, 0.9, state, one))
    (state, of_step), (filled_state, of_filled) = results
    np.testing.assert_allclose(of_step["loss"], of_filled["loss"], rtol=1e-6)
    np.testing.assert_allclose(of_step["norm"], of_filled["norm"], rtol=1e-5)
    assert float(filled_state.totals.examples) == 6
    np.testing.assert_allclose(state.totals.loss, filled_state.totals.loss, rtol=1e-6)


def test_ema_follows_the_weights(rng):
    model, batch = a_model(), a_batch(rng)
    optimizer = make_optimizer(OptimizerConfig(), 10)
    state = init_state(Classification(model), optimizer, 0, keep_ema=True, keep_best=False)
    ema = np.asarray(state.params["head"]["kernel"])
    for step in range(4):
        state, _ = train_step(Classification(model), optimizer, 0.5, state, batch)
        decay = min(0.5, (1 + step) / (10 + step))
        ema = decay * ema + (1 - decay) * np.asarray(state.params["head"]["kernel"])
    np.testing.assert_allclose(state.evaluated["head"]["kernel"], ema, rtol=1e-5)


def test_weight_decay_decays_kernels_and_spares_biases():
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.5)
    optimizer = make_optimizer(config, 10)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    updated: Any = optax.apply_updates(params, updates)
    np.testing.assert_allclose(updated["kernel"], 1 - 0.1 * 0.5)
    np.testing.assert_allclose(updated["bias"], 1)


def test_schedule_rises_then_falls_to_zero():
    config = OptimizerConfig(learning_rate=0.1, schedule="cosine", warmup_steps=10)
    schedule: Any = make_schedule(config, 100)
    assert float(schedule(0)) == 0
    assert float(schedule(10)) == pytest.approx(0.1)
    assert float(schedule(55)) == pytest.approx(0.05)
    assert float(schedule(100)) == pytest.approx(0, abs=1e-9)


def example_losses(logits, labels, smoothing=0.0):
    return cross_entropy(logits, smoothed_labels(labels, logits.shape[-1], smoothing))


def test_binary_and_softmax_losses_agree(rng):
    logits, labels = rng.normal(size=(5, 1)), rng.integers(0, 2, 5)
    two = np.concatenate([np.zeros((5, 1)), logits], 1)
    binary, softmax = (example_losses(jnp.asarray(x), labels) for x in (logits, two))
    np.testing.assert_allclose(binary, softmax, rtol=1e-5)
    of_one, of_two = (predicted_labels(jnp.asarray(x)) for x in (logits, two))
    np.testing.assert_array_equal(of_one, of_two)


def test_the_encoder_learns_at_its_own_rate(rng):
    loss, batch, found = Classification(a_model()), a_batch(rng), []
    for rate in (1.0, 0.25):
        optimizer = make_optimizer(OptimizerConfig(encoder_learning_rate_multiplier=rate), 10)
        state = init_state(loss, optimizer, 0, keep_ema=False, keep_best=False)
        before = jax.tree.map(np.asarray, state.params)
        after = train_step(loss, optimizer, 0.0, state, batch)[0].params
        found.append(jax.tree.map(lambda old, new: np.asarray(new) - old, before, after))
    full, slow = found
    assert set(full) == {"embedding", "stack", "head"}
    for name, share in {"embedding": 0.25, "stack": 0.25, "head": 1.0}.items():
        for whole, part in zip(*map(jax.tree.leaves, (full[name], slow[name])), strict=True):
            assert np.abs(whole).max() > 0
            np.testing.assert_allclose(part, share * whole, atol=1e-7)


@pytest.mark.parametrize("classes", [2, 3])
def test_smoothed_losses_are_those_of_mixed_labels(rng, classes):
    logits = rng.normal(size=(5, 1 if classes == 2 else classes)).astype(np.float32)
    labels = rng.integers(0, classes, 5)
    predicted = probabilities(logits)
    targets = 0.9 * np.eye(classes)[labels] + 0.1 / classes
    found = example_losses(logits, labels, smoothing=0.1)
    np.testing.assert_allclose(found, -(targets * np.log(predicted)).sum(1), rtol=1e-4)
    plain = -np.log(predicted[np.arange(5), labels])
    np.testing.assert_allclose(example_losses(logits, labels), plain, rtol=1e-4)


def test_a_weight_scales_its_examples_gradient(rng):
    model, batch = a_model(), a_batch(rng)
    optimizer = make_optimizer(OptimizerConfig(clip_norm=None), 10)
    arrays: Any = batch[:5]
    doubled = Batch(*(np.concatenate([array, array[:1]]) for array in arrays))
    heavier = batch._replace(weights=np.array([2, 1, 1, 1, 1, 1], np.float32))
    found = []
    for one in (doubled, heavier):
        state = init_state(Classification(model), optimizer, 0, keep_ema=False, keep_best=False)
        state, of_step = train_step(Classification(model), optimizer, 0.0, state, one)
        found.append((of_step["loss"], of_step["norm"]))
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_the_gradients_of_parts_add_up_to_that_of_the_batch(rng):
    model, batch = a_model(), a_batch(rng, rows=12)
    batch = batch._replace(weights=np.array([1, 2] * 4 + [1, 0, 0, 0], np.float32))
    optimizer = make_optimizer(OptimizerConfig(), 10)
    results = []
    for parts in (1, 2, 3, 4):
        state = init_state(Classification(model), optimizer, 0, keep_ema=False, keep_best=False)
        results.append(train_step(Classification(model), optimizer, 0.0, state, batch, parts))
    (whole, of_whole), *others = results
    for state, of_step in others:
        np.testing.assert_allclose(of_step["loss"], of_whole["loss"], rtol=1e-5)
        np.testing.assert_allclose(of_step["norm"], of_whole["norm"], rtol=1e-5)
        assert np.asarray(state.totals).tolist() == pytest.approx(np.asarray(whole.totals).tolist())
        for a, b in zip(*map(jax.tree.leaves, (state.params, whole.params)), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_parts_take_less_memory(rng):
    model, batch = a_model(implementation="xla"), a_batch(rng, rows=64, width=200)
    optimizer = make_optimizer(OptimizerConfig(), 10)
    loss = Classification(model)
    state = init_state(loss, optimizer, 0, keep_ema=False, keep_best=False)

    def needed(parts: int) -> int:
        compiled = train_step.lower(loss, optimizer, 0.0, state, batch, parts).compile()
        found: Any = compiled.memory_analysis()
        return found.temp_size_in_bytes

    assert needed(4) < 0.4 * needed(1)
