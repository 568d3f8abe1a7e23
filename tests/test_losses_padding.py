"""What every loss has in common: padding rows count for nothing; to know nothing costs log C."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from test_losses import KEY, NO_DROPOUT, T, V, assert_close, batch_of, bold, classification

from lstm_jax.data import UNLABELLED, Batch
from lstm_jax.models.language_model import LanguageModel
from lstm_jax.models.two_view import BagOfNGrams, TwoViewModel
from lstm_jax.train.losses import Adversarial, NextWord, TwoView


def bag(rng: np.random.Generator) -> BagOfNGrams:
    return BagOfNGrams.count([rng.integers(3, V, 9) for _ in range(5)], V, None)


def every_loss(rng: np.random.Generator, config=NO_DROPOUT):
    plain = [classification(classes, 0.1, config) for classes in (2, 3)]
    return {
        "one logit": plain[0],
        "three logits": plain[1],
        "adversarial, one logit": Adversarial(plain[0], 0.5),
        "adversarial, three logits": Adversarial(plain[1], 0.5),
        "two_view": TwoView(TwoViewModel(config, bag(rng))),
        "next_word": NextWord(LanguageModel(config, V), 30),
    }


NAMES = list(every_loss(np.random.default_rng(0)))
WITH_LABELS = [name for name in NAMES if "logit" in name]


def padded(rng: np.random.Generator, batch: Batch, kind: str) -> Batch:
    """The batch with three padding rows: as they come from `lstm_jax.data`, or of any content."""
    rows: Any = (
        np.zeros((3, *array.shape[1:]), array.dtype) for array in batch if array is not None
    )
    none = Batch(*rows)
    if kind == "padded in front":
        none = none._replace(lengths=np.full(3, T, np.int32))
    if kind == "anything":
        tokens, labels = rng.integers(1, V, (3, T)), rng.integers(0, 2, 3)
        none = none._replace(tokens=tokens.astype(np.int32), labels=labels.astype(np.int32))
        none = none._replace(lengths=rng.integers(1, T, 3).astype(np.int32))
        if none.soft_labels is not None:
            soft = rng.random(none.soft_labels.shape).astype(np.float32)
            none = none._replace(labels=np.full(3, UNLABELLED, np.int32), soft_labels=soft)
    pairs: Any = zip(batch, none, strict=True)
    return Batch(
        *(
            np.concatenate([array, more])
            for array, more in pairs
            if array is not None and more is not None
        )
    )


@pytest.mark.parametrize("content", ["padded behind", "padded in front", "anything"])
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft labels"])
@pytest.mark.parametrize("name", WITH_LABELS)
def test_padding_rows_change_nothing_of_a_classifiers_loss(rng, name, soft, content):
    loss = every_loss(rng)[name]
    classes = 3 if "three" in name else 2
    batch = batch_of(rng, classes, "soft labels" if soft else "own probabilities")
    params = bold(loss.init(KEY))
    differentiated = jax.value_and_grad(loss, has_aux=True)
    expected = differentiated(params, batch, KEY)
    assert_close(differentiated(params, padded(rng, batch, content), KEY), expected)


@pytest.mark.parametrize("content", ["padded in front", "anything"])
@pytest.mark.parametrize("name", NAMES)
def test_what_padding_rows_hold_changes_no_bit(rng, name, content):
    """With dropout and whatever else is random, which depends on the rows' number alone."""
    loss = every_loss(rng, small.CONFIG.model)[name]
    classes = 3 if "three" in name else 2
    batch = batch_of(rng, classes, "labels")
    params = loss.init(KEY)
    differentiated = jax.jit(jax.value_and_grad(loss, has_aux=True))
    found, expected = (
        differentiated(params, padded(rng, batch, kind), KEY) for kind in (content, "padded behind")
    )
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("content", ["padded behind", "padded in front", "anything"])
@pytest.mark.parametrize("name", ["two_view", "next_word"])
def test_padding_rows_change_nothing_of_what_pretraining_measures(rng, name, content):
    loss, batch = every_loss(rng)[name], batch_of(rng, 2, "labels")
    params = loss.init(KEY)
    found = loss.totals(params, padded(rng, batch, content))
    assert_close(found, loss.totals(params, batch))


@pytest.mark.parametrize("name", WITH_LABELS)
def test_a_batch_of_padding_alone_has_a_loss_of_0_and_no_gradient(rng, name):
    loss = every_loss(rng)[name]
    batch = batch_of(rng, 2, "labels")._replace(weights=np.zeros(6, np.float32))
    (value, totals), gradient = jax.value_and_grad(loss, has_aux=True)(loss.init(KEY), batch, KEY)
    assert [float(each) for each in (value, *totals)] == [0, 0, 0, 0]
    assert not any(np.asarray(array).any() for array in jax.tree.leaves(gradient))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_knows_nothing_has_the_uniform_loss(rng, name):
    loss, batch = every_loss(rng)[name], batch_of(rng, 2, "labels")
    zeros = jax.tree.map(jnp.zeros_like, loss.init(KEY))
    if name in WITH_LABELS:
        value = loss(zeros, batch, KEY)[0]
    else:
        sums = loss.totals(zeros, batch)
        value = sums.loss / sums.examples
    assert float(value) == pytest.approx(loss.uniform_loss, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_can_be_compared_and_hashed_so_that_equal_ones_share_a_program(name):
    one = every_loss(np.random.default_rng(0))[name]
    if name == "two_view":  # its bag is compared as an object
        assert TwoView(one.model) == one
        assert hash(TwoView(one.model)) == hash(one)
        return
    other = every_loss(np.random.default_rng(0))[name]
    assert one == other
    assert hash(one) == hash(other)
    assert one not in every_loss(np.random.default_rng(0), small.CONFIG.model).values()
