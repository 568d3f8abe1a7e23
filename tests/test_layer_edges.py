"""Layers at their edges: no steps, unknown settings, under `nn.remat`."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_jax.models.classifier import TextClassifier
from lstm_jax.models.config import ModelConfig
from lstm_jax.nn.layer import LSTMLayer
from lstm_jax.nn.pooling import Pool
from lstm_jax.nn.stack import LSTMStack
from lstm_jax.text import NGrams

B, D, H = 3, 4, 5
POOLINGS = ("last", "max", "mean", "max_mean", "attention")


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_a_classifier_of_no_steps_gives_the_bias_of_its_last_layer(pooling, direction):
    """Every feature of a text without words is zero, however it is pooled."""
    config = ModelConfig(
        embedding_size=4,
        hidden_size=H,
        layers=2,
        direction=direction,
        pooling=pooling,
        token_dropout=0.2,
        embedding_dropout=0.2,
        layer_dropout=0.2,
        ngram_dropout=0.2,
    )
    model = TextClassifier(config, 20, classes=3, ngrams=NGrams(20, (np.array([21, 22]),)))
    tokens, lengths = jnp.zeros((B, 0), jnp.int32), jnp.zeros(B, jnp.int32)
    variables = model.init(jax.random.key(0), tokens, lengths)
    variables["params"]["head"]["bias"] = bias = jnp.array([1.0, 2.0, 3.0])
    of_one_step = model.init(jax.random.key(0), tokens[:, :1], lengths)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, of_one_step)

    def logits(variables, train) -> Any:
        rngs = {"dropout": jax.random.key(1)}
        return model.apply(variables, tokens, lengths, train=train, rngs=rngs)

    for train in (False, True):
        np.testing.assert_array_equal(logits(variables, train), np.tile(bias, (B, 1)))
        gradient = jax.grad(lambda v, train=train: logits(v, train).sum())(variables)
        for array in jax.tree.leaves(gradient):
            assert np.isfinite(array).all()


def test_a_stack_of_no_steps_keeps_the_states_it_started_from():
    stack: Any = LSTMStack(2, partial(LSTMLayer, H))
    (_, variables) = stack.init_with_output(jax.random.key(0), jnp.zeros((B, 1, D)))
    states = stack.apply(variables, jnp.ones((B, 1, D))).state
    encoding = stack.apply(variables, jnp.zeros((B, 0, D)), initial_state=states)
    assert encoding.outputs.shape == (B, 0, H)
    np.testing.assert_array_equal(encoding.last, states[1].hidden)
    jax.tree.map(np.testing.assert_array_equal, encoding.state, states)


INPUTS = jnp.ones((B, 2, D))
UNKNOWN = {
    "pooling must be one of ('last', 'max', 'mean', 'max_mean', 'attention'), got 'first'": (
        lambda: Pool("first").init(  # pyright: ignore[reportArgumentType]
            jax.random.key(0),
            LSTMLayer(H).init_with_output(jax.random.key(0), INPUTS)[0],
            jnp.ones(B, jnp.int32),
        )
    ),
    "direction must be one of ('forward', 'backward', 'bidirectional'), got 'both'": (
        lambda: LSTMLayer(H, "both").init(jax.random.key(0), INPUTS)  # pyright: ignore[reportArgumentType]
    ),
    "merge must be one of ('concat', 'sum', 'mean', 'mul'), got 'max'": (
        lambda: LSTMLayer(H, "bidirectional", merge="max").init(jax.random.key(0), INPUTS)  # pyright: ignore[reportArgumentType]
    ),
    "layers must be at least 1, got 0": (
        lambda: LSTMStack(0, partial(LSTMLayer, H)).init(jax.random.key(0), INPUTS)
    ),
}


@pytest.mark.parametrize("message", UNKNOWN)
def test_an_unknown_setting_is_refused_in_one_line(message):
    with pytest.raises(ValueError) as caught:
        UNKNOWN[message]()
    assert str(caught.value) == message


NOISE = [{"weight_dropout": 0.5}, {"recurrent_dropout": 0.5}, {"zoneout": (0.5, 0.5)}]


@pytest.mark.parametrize("noise", NOISE, ids=str)
def test_a_layer_under_remat_in_training_is_the_layer_itself(noise):
    """`static_argnums` as Flax counts them: 0 is the module, 4 is train."""
    Remat = nn.remat(LSTMLayer, static_argnums=4)
    settings = {"direction": "bidirectional", **noise}
    layer, remat = LSTMLayer(H, **settings), Remat(H, **settings)
    variables = layer.init(jax.random.key(0), INPUTS)
    rngs = {"dropout": jax.random.key(1)}

    def loss(variables, module):
        lengths = jnp.array([2, 0, 1])
        encoding = module.apply(variables, INPUTS, lengths, None, True, rngs=rngs)
        return (encoding.outputs**2).sum()

    expected = jax.value_and_grad(loss)(variables, layer)
    found = jax.value_and_grad(loss)(variables, remat)
    predicted: Any = layer.apply(variables, INPUTS)
    assert loss(variables, layer) != (predicted.outputs**2).sum()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, expected)


def test_a_layer_without_noise_takes_train_under_remat_by_name_too():
    layer: Any = LSTMLayer(H)
    remat: Any = nn.remat(LSTMLayer)(H)
    variables = layer.init(jax.random.key(0), INPUTS)
    expected = layer.apply(variables, INPUTS).outputs
    np.testing.assert_array_equal(remat.apply(variables, INPUTS, train=True).outputs, expected)


def test_a_stack_of_layers_under_remat_trains():
    Remat = nn.remat(LSTMLayer, static_argnums=4)
    settings = {"weight_dropout": 0.5}
    stacks = [
        LSTMStack(2, partial(layer, H, **settings), dropout=0.5) for layer in (LSTMLayer, Remat)
    ]
    variables = stacks[0].init(jax.random.key(0), INPUTS)

    def loss(variables, stack):
        rngs = {"dropout": jax.random.key(1)}
        return (stack.apply(variables, INPUTS, train=True, rngs=rngs).outputs ** 2).sum()

    found, expected = (jax.grad(loss)(variables, stack) for stack in reversed(stacks))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, expected)


def test_a_traced_setting_is_refused_in_one_line_that_says_what_to_write():
    remat = nn.remat(LSTMLayer)(H, weight_dropout=0.5)
    variables = LSTMLayer(H).init(jax.random.key(0), INPUTS)
    message = r"train must be True or False.*static_argnums=4"
    with pytest.raises(ValueError, match=message) as caught:
        remat.apply(variables, INPUTS, train=True, rngs={"dropout": jax.random.key(1)})
    assert "\n" not in str(caught.value)
