"""Each loss by itself: its value and gradient beside NumPy in float64 and plain JAX."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from lstm_jax.data import UNLABELLED, Batch
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.train.losses import Adversarial, Classification
from lstm_jax.train.losses.adversarial import with_own_gradient
from lstm_jax.train.losses.cross_entropy import (
    class_probabilities,
    cross_entropy,
    predicted_labels,
)
from lstm_jax.train.losses.targets import smoothed_labels, targets

V, T = 20, 7
LENGTHS = np.array([7, 3, 1, 7, 5, 2], np.int32)
WEIGHTS = np.array([1.0, 0.5, 2.0, 1.0, 3.0, 1.0], np.float32)
LABELLED = np.array([True, False, True, True, False, False])
KEY = jax.random.key(3)
NO_DROPOUT = small.replace_dropout(small.CONFIG.model)
CLASSES = pytest.mark.parametrize("classes", [2, 3])
KINDS = pytest.mark.parametrize("kind", ["labels", "soft labels", "own probabilities"])
SMOOTHING = pytest.mark.parametrize("smoothing", [0.0, 0.1])


def batch_of(rng: np.random.Generator, classes: int, kind: str) -> Batch:
    """Six texts of other weights; but for "labels", half of them have no label."""
    tokens = rng.integers(1, V, (6, T)).astype(np.int32)
    tokens[np.arange(T) >= LENGTHS[:, None]] = 0
    labels = rng.integers(0, classes, 6).astype(np.int32)
    soft = None
    if kind != "labels":
        labels = np.where(LABELLED, labels, UNLABELLED).astype(np.int32)
    if kind == "soft labels":
        soft = rng.dirichlet(np.ones(classes), 6).astype(np.float32)
        soft = soft[:, 1:] if classes == 2 else soft
    return Batch(tokens, LENGTHS, labels, WEIGHTS, np.arange(6, dtype=np.int32), soft)


def classification(classes: int, smoothing: float = 0.0, config=NO_DROPOUT) -> Classification:
    return Classification(TextClassifier(config, V, classes), smoothing)


def bold(params):
    """Parameters with a head so large that the model is sure of some texts, and wrong of others."""
    kernel = 8 * params["head"]["kernel"]
    return params | {"head": params["head"] | {"kernel": kernel}}


def softmax(logits) -> np.ndarray:
    """Probabilities of all classes in float64; one logit is that of class 1."""
    logits = np.asarray(logits, np.float64)
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], 1)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def of_all_classes(probabilities) -> np.ndarray:
    """Those of class 1 alone beside those of class 0."""
    found = np.asarray(probabilities, np.float64)
    return np.concatenate([1 - found, found], 1) if found.shape[1] == 1 else found


def wanted(batch: Batch, predicted: np.ndarray, smoothing: float) -> np.ndarray:
    """The targets of all classes [6, classes] by their definition."""
    classes = predicted.shape[1]
    without = predicted if batch.soft_labels is None else of_all_classes(batch.soft_labels)
    given = (1 - smoothing) * np.eye(classes)[batch.labels] + smoothing / classes
    return np.where((batch.labels == UNLABELLED)[:, None], without, given)


def logits_of(loss: Classification, params, batch: Batch) -> Any:
    return loss.model.apply({"params": params}, batch.tokens, batch.lengths)


def assert_close(found, expected, atol=2e-6):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(one, other, atol=atol, rtol=1e-4)


# Cross-entropy --------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_cross_entropy_is_its_definition(rng, outputs):
    logits = 3 * rng.normal(size=(50, outputs)).astype(np.float32)
    given = rng.dirichlet(np.ones(max(outputs, 2)), 50).astype(np.float32)
    expected = -(given * np.log(softmax(logits))).sum(1)
    given = given[:, 1:] if outputs == 1 else given
    np.testing.assert_allclose(cross_entropy(jnp.asarray(logits), given), expected, rtol=1e-5)
    chances = of_all_classes(class_probabilities(jnp.asarray(logits)))
    np.testing.assert_allclose(chances, softmax(logits), atol=1e-6)
    found = predicted_labels(jnp.asarray(logits))
    np.testing.assert_array_equal(found, softmax(logits).argmax(1))


@pytest.mark.parametrize("outputs", [1, 3])
def test_cross_entropy_of_logits_beyond_float32s_exponentials_is_finite(outputs):
    logits = np.zeros((2, outputs), np.float32)
    logits[0, -1], logits[1, -1] = 300, -300
    target = np.zeros((2, outputs), np.float32)
    target[:, -1] = 1
    loss = partial(cross_entropy, targets=jnp.asarray(target))
    np.testing.assert_allclose(loss(jnp.asarray(logits)), [0, 300 + np.log(max(outputs - 1, 1))])
    assert np.isfinite(jax.grad(lambda x: loss(x).sum())(jnp.asarray(logits))).all()


def test_one_logit_and_two_that_differ_by_it_have_the_same_cross_entropy(rng):
    logits = rng.normal(size=(9, 1)).astype(np.float32)
    of_1 = rng.random((9, 1)).astype(np.float32)
    two = np.concatenate([np.zeros_like(logits), logits], 1)
    found = cross_entropy(jnp.asarray(logits), jnp.asarray(of_1))
    other = cross_entropy(jnp.asarray(two), jnp.concatenate([1 - of_1, of_1], 1))
    np.testing.assert_allclose(found, other, rtol=1e-5)


# Targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.75])
@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_smoothed_labels_are_a_mixture_with_all_classes_alike(rng, outputs, smoothing):
    classes = max(outputs, 2)
    labels = rng.integers(0, classes, 30)
    expected = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    found = smoothed_labels(jnp.asarray(labels), outputs, smoothing)
    assert found.shape == (30, outputs)
    np.testing.assert_allclose(of_all_classes(found), expected, atol=1e-6)


@CLASSES
@SMOOTHING
@KINDS
def test_targets_are_labels_else_soft_labels_else_what_the_model_says(
    rng, classes, smoothing, kind
):
    batch: Any = batch_of(rng, classes, kind)
    logits = rng.normal(size=(6, 1 if classes == 2 else classes)).astype(np.float32)
    own = class_probabilities(jnp.asarray(logits))
    found = targets(jnp.asarray(batch.labels), batch.soft_labels, own, smoothing)
    expected = wanted(batch, softmax(logits), smoothing)
    np.testing.assert_allclose(of_all_classes(found), expected, atol=1e-6)


# Classification -------------------------------------------------------------------------------


@CLASSES
@SMOOTHING
@KINDS
def test_classification_is_the_weighted_mean_cross_entropy(rng, classes, smoothing, kind):
    loss, batch = classification(classes, smoothing), batch_of(rng, classes, kind)
    params = bold(loss.init(KEY))
    value, totals = loss(params, batch, KEY)
    predicted = softmax(logits_of(loss, params, batch))
    losses = -WEIGHTS * (wanted(batch, predicted, smoothing) * np.log(predicted)).sum(1)
    assert float(value) == pytest.approx(losses.sum() / WEIGHTS.sum(), rel=1e-5)
    labelled = batch.labels != UNLABELLED
    assert float(totals.loss) == pytest.approx(losses[labelled].sum(), rel=1e-5)
    assert float(totals.correct) == (predicted.argmax(1) == batch.labels)[labelled].sum()
    assert float(totals.examples) == labelled.sum()


@CLASSES
@SMOOTHING
@KINDS
def test_the_gradient_of_classification_is_that_of_its_definition(rng, classes, smoothing, kind):
    """Of the entropy too: there the targets are not constant."""
    loss, batch = classification(classes, smoothing), batch_of(rng, classes, kind)
    params = bold(loss.init(KEY))

    def plain(params):
        logits = logits_of(loss, params, batch)
        if classes == 2:
            logits = jnp.concatenate([jnp.zeros_like(logits), logits], 1)
        logs = jax.nn.log_softmax(logits)
        given = (1 - smoothing) * jax.nn.one_hot(batch.labels, classes) + smoothing / classes
        soft = jnp.exp(logs)
        if batch.soft_labels is not None:
            soft = jnp.asarray(of_all_classes(batch.soft_labels))
        given = jnp.where((batch.labels == UNLABELLED)[:, None], soft, given)
        return (WEIGHTS * -(given * logs).sum(1)).sum() / WEIGHTS.sum()

    found, _ = jax.grad(loss, has_aux=True)(params, batch, KEY)
    assert_close(found, jax.grad(plain)(params))


@CLASSES
def test_entropy_minimisation_makes_the_model_surer_and_changes_no_prediction(rng, classes):
    loss, batch = classification(classes), batch_of(rng, classes, "own probabilities")
    batch = batch._replace(labels=np.full(6, UNLABELLED, np.int32))
    before = bold(loss.init(KEY))
    gradient, totals = jax.grad(loss, has_aux=True)(before, batch, KEY)
    after = jax.tree.map(lambda array, slope: array - 0.1 * slope, before, gradient)
    chances = [softmax(logits_of(loss, params, batch)) for params in (before, after)]
    entropies = [-(p * np.log(p)).sum(1) @ WEIGHTS for p in chances]
    assert entropies[1] < entropies[0]
    np.testing.assert_array_equal(chances[0].argmax(1), chances[1].argmax(1))
    assert [float(total) for total in totals] == [0, 0, 0]


@CLASSES
def test_learning_soft_labels_ends_at_them(rng, classes):
    """The loss is then their entropy, and its gradient is zero."""
    loss, batch = classification(classes), batch_of(rng, classes, "soft labels")
    params = bold(loss.init(KEY))
    soft = class_probabilities(logits_of(loss, params, batch))
    labels = np.full(6, UNLABELLED, np.int32)
    batch = batch._replace(soft_labels=np.asarray(soft), labels=labels)
    gradient, _ = jax.grad(loss, has_aux=True)(params, batch, KEY)
    assert_close(gradient, jax.tree.map(jnp.zeros_like, gradient))
    predicted = of_all_classes(soft)
    entropy = -(predicted * np.log(predicted)).sum(1) @ WEIGHTS / WEIGHTS.sum()
    assert float(loss(params, batch, KEY)[0]) == pytest.approx(entropy, rel=1e-5)


# Adversarial training -------------------------------------------------------------------------


def plain_adversarial(loss: Classification, size: float, params, batch: Batch):
    """Loss, gradient of the mean of both passes, written out; dropout as drawn from `KEY`."""
    model, classes, smoothing = loss.model, loss.model.classes, loss.label_smoothing
    options = {"train": True, "rngs": {"dropout": KEY}}

    def embed(params):
        return model.apply({"params": params}, batch.tokens, method="embed", **options)

    def log_probabilities(params, x):
        variables = {"params": params}
        logits: Any = model.apply(variables, x, batch.lengths, method="classify", **options)
        if classes == 2:
            logits = jnp.concatenate([jnp.zeros_like(logits), logits], 1)
        return jax.nn.log_softmax(logits)

    def mean(params, x, unlabelled=None):
        logs = log_probabilities(params, x)
        given = (1 - smoothing) * jax.nn.one_hot(batch.labels, classes) + smoothing / classes
        without = jnp.exp(logs) if unlabelled is None else unlabelled
        given = jnp.where((batch.labels == UNLABELLED)[:, None], without, given)
        return (batch.weights * -(given * logs).sum(1)).sum() / batch.weights.sum()

    x = embed(params)
    soft = None if batch.soft_labels is None else jnp.asarray(of_all_classes(batch.soft_labels))
    predicted = np.exp(np.asarray(log_probabilities(params, x), np.float64))
    # r, in NumPy and float64.
    slope = np.asarray(jax.grad(mean, 1)(params, x, soft), np.float64)
    agreement = (wanted(batch, predicted, smoothing) * predicted).sum(1)
    confidences = np.maximum((classes * agreement - 1) / (classes - 1), 0)
    confidence = (batch.weights * confidences).sum() / batch.weights.sum()
    there = (
        np.arange(batch.tokens.shape[1]) < np.where(batch.weights > 0, batch.lengths, 0)[:, None]
    )
    typical = np.sqrt((np.asarray(x, np.float64)[there] ** 2).sum(-1).mean())
    norms = np.sqrt((slope**2).sum((1, 2), keepdims=True))
    r = size * confidence * typical * slope / np.where(norms > 0, norms, 1)
    assert confidence > 0.02
    # Without any label the second pass is to give what the first gave.
    second = jnp.asarray(predicted, jnp.float32) if soft is None else soft
    clean = jax.grad(lambda params: mean(params, embed(params), soft))(params)
    perturbed = jax.grad(lambda params: mean(params, embed(params) + r, second))(params)
    both = jax.tree.map(lambda one, other: (one + other) / 2, clean, perturbed)
    return mean(params, x, soft), both, clean


@CLASSES
@SMOOTHING
@KINDS
@pytest.mark.parametrize("config", [NO_DROPOUT, small.CONFIG.model], ids=["plain", "dropout"])
def test_the_adversarial_gradient_is_the_mean_of_that_at_x_and_at_x_plus_r(
    rng, classes, smoothing, kind, config
):
    loss, batch = classification(classes, smoothing, config), batch_of(rng, classes, kind)
    params = bold(loss.init(KEY))
    expected_value, expected, clean = plain_adversarial(loss, 0.5, params, batch)
    differentiated = jax.jit(jax.value_and_grad(Adversarial(loss, 0.5), has_aux=True))
    (value, totals), found = differentiated(params, batch, KEY)
    assert_close(found, expected)
    apart = jax.tree.map(lambda one, other: np.abs(one - other).max(), found, clean)
    assert max(jax.tree.leaves(apart)) > 1e-3
    # Loss and totals are those of the classifier, and of it alone.
    assert float(value) == pytest.approx(float(expected_value), rel=1e-5)
    other_value, other_totals = loss(params, batch, KEY)
    assert_close([value, *totals], [other_value, *other_totals])


@KINDS
def test_a_size_of_0_is_no_adversarial_training(rng, kind):
    """But for texts whose target is the prediction itself, which the second pass holds fast."""
    loss, batch = classification(3, 0.1), batch_of(rng, 3, kind)
    params = bold(loss.init(KEY))
    found, _ = jax.grad(Adversarial(loss, 0.0), has_aux=True)(params, batch, KEY)
    expected, _ = jax.grad(loss, has_aux=True)(params, batch, KEY)
    if kind == "own probabilities":
        of_labels = batch._replace(weights=np.where(LABELLED, WEIGHTS, 0).astype(np.float32))
        share = WEIGHTS[LABELLED].sum() / WEIGHTS.sum()
        labelled, _ = jax.grad(loss, has_aux=True)(params, of_labels, KEY)
        expected = jax.tree.map(lambda all, some: (all + share * some) / 2, expected, labelled)
    assert_close(found, expected)


def test_adversarial_training_runs_the_model_twice_and_embeds_once(rng, monkeypatch):
    calls = {"embed": 0, "classify": 0}
    apply = TextClassifier.apply

    def counting(self, *arguments, method, **options):
        calls[method] += 1
        return apply(self, *arguments, method=method, **options)

    loss, batch = classification(2), batch_of(rng, 2, "labels")
    params = loss.init(KEY)
    monkeypatch.setattr(TextClassifier, "apply", counting)
    for each, expected in ((loss, 1), (Adversarial(loss, 0.5), 2)):
        calls.update(embed=0, classify=0)
        jax.value_and_grad(each, has_aux=True)(params, batch, KEY)
        assert calls == {"embed": 1, "classify": expected}


def test_the_compiled_adversarial_step_has_two_forward_and_two_backward_passes(rng):
    """As many loops over time as two plain steps, but for those of the embeddings."""
    loss = classification(2, config=replace(NO_DROPOUT, implementation="scan"))
    batch, params = batch_of(rng, 2, "labels"), loss.init(KEY)

    def loops(function) -> int:
        step = jax.jit(jax.value_and_grad(function, has_aux=True))
        text = step.lower(params, batch, KEY).compile().as_text()
        assert text is not None
        return text.count(" while(")

    def embed(params, batch, key):
        return (loss.embed(params, batch, key) ** 2).sum(), None

    of_embedding, plain = loops(embed), loops(loss)
    assert plain - of_embedding >= 2
    assert loops(Adversarial(loss, 0.5)) == 2 * plain - of_embedding


def test_a_function_with_its_own_gradient_is_differentiated_by_it():
    def function(params):
        return (params["a"] * 2, {"beside": params["a"]}), {"a": jnp.float32(7)}

    own, params = with_own_gradient(function), {"a": jnp.float32(5)}
    value, beside = own(params)
    assert (float(value), float(beside["beside"])) == (10, 5)
    (value, beside), gradient = jax.value_and_grad(own, has_aux=True)(params)
    assert (float(value), float(beside["beside"]), float(gradient["a"])) == (10, 5, 7)
    assert float(jax.grad(lambda params: -3 * own(params)[0])(params)["a"]) == -21
    assert float(jax.grad(lambda params: own(params)[1]["beside"])(params)["a"]) == 0


# All losses -----------------------------------------------------------------------------------
