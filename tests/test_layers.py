"""The Flax modules: merges, pooling, dropout, and padding that never counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_jax import LSTMParams, lstm
from lstm_jax.classifier import ModelConfig, TextClassifier
from lstm_jax.layers import Encoding, LSTMLayer, LSTMStack, Pool, TokenEmbedding

LENGTHS = jnp.array([6, 0, 3, 1])
POOLINGS = ("last", "max", "mean", "max_mean", "attention")
MERGES = ("concat", "sum", "mean", "mul")


@pytest.fixture
def inputs(rng):
    return jnp.asarray(rng.normal(size=(4, 6, 3)), jnp.float32)


@pytest.mark.parametrize("merge", MERGES)
def test_merge_combines_the_two_directions(merge, inputs):
    layer = LSTMLayer(5, direction="bidirectional", merge=merge)
    variables = layer.init(jax.random.key(0), inputs, LENGTHS)
    encoding = layer.apply(variables, inputs, LENGTHS)
    f, b = (
        lstm(LSTMParams(**variables["params"][name]), inputs, lengths=LENGTHS, reverse=reverse)
        for name, reverse in (("forward", False), ("backward", True))
    )
    combine = {
        "concat": lambda x, y: np.concatenate([x, y], -1),
        "sum": np.add,
        "mean": lambda x, y: 0.5 * np.add(x, y),
        "mul": np.multiply,
    }[merge]
    np.testing.assert_allclose(encoding.outputs, combine(f[0], b[0]), atol=1e-6)
    np.testing.assert_allclose(encoding.last, combine(f[1].hidden, b[1].hidden), atol=1e-6)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_last_state_is_the_output_of_the_last_step_read(direction, inputs):
    layer = LSTMLayer(5, direction=direction)
    encoding = layer.apply(layer.init(jax.random.key(0), inputs), inputs, LENGTHS)
    for n, length in enumerate(LENGTHS):
        last = 0 if direction == "backward" else length - 1
        expected = encoding.outputs[n, last] if length else jnp.zeros(5)
        np.testing.assert_array_equal(encoding.last[n], expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_equals_pooling_each_sequence_alone(pooling, rng):
    outputs = jnp.asarray(rng.normal(size=(4, 6, 3)) - 5, jnp.float32)  # all below zero
    last = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    pool = Pool(pooling)
    variables = pool.init(jax.random.key(0), Encoding((outputs,), last), LENGTHS)
    pooled = pool.apply(variables, Encoding((outputs,), last), LENGTHS)
    for n, length in enumerate(LENGTHS):
        if length == 0:
            if pooling != "last":
                np.testing.assert_allclose(
                    pooled[n], 0 if pooling != "attention" else outputs[n].mean(0), atol=1e-6
                )
            continue
        alone = Encoding((outputs[n : n + 1, :length],), last[n : n + 1])
        expected = pool.apply(variables, alone, jnp.array([length]))
        np.testing.assert_allclose(pooled[n], expected[0], atol=1e-6)
    steps = np.asarray(outputs[0])
    by_hand = {"last": last[0], "max": steps.max(0), "mean": steps.mean(0)}
    by_hand["max_mean"] = np.concatenate([steps.max(0), steps.mean(0)])
    if pooling in by_hand:
        np.testing.assert_allclose(pooled[0], by_hand[pooling], rtol=1e-6)


def test_token_dropout_drops_whole_tokens_and_only_in_training():
    layer = TokenEmbedding(10, 64, scale=1.0, token_dropout=0.5)
    tokens = jnp.arange(400).reshape(4, 100) % 10
    variables = layer.init(jax.random.key(0), tokens)
    key = {"dropout": jax.random.key(1)}
    trained = np.asarray(layer.apply(variables, tokens, train=True, rngs=key))
    dropped = (trained == 0).all(-1)
    assert 0.4 < dropped.mean() < 0.6
    assert (trained[~dropped] != 0).all(), "a token is dropped whole or not at all"
    np.testing.assert_array_equal(
        layer.apply(variables, tokens), variables["params"]["table"][tokens]
    )


def test_stack_of_two_is_one_layer_on_the_other(inputs):
    stack = LSTMStack(layers=2, hidden_size=5, direction="bidirectional", dropout=0.5)
    variables = stack.init(jax.random.key(0), inputs, LENGTHS)
    layer, encoding = LSTMLayer(5, direction="bidirectional"), Encoding((inputs,), inputs[:, 0])
    for name in ("layer_0", "layer_1"):
        weights = {"params": variables["params"][name]}
        encoding = layer.apply(weights, encoding.outputs, LENGTHS)
    found = stack.apply(variables, inputs, LENGTHS)
    jax.tree.map(np.testing.assert_array_equal, found, encoding)
    key = {"dropout": jax.random.key(1)}
    trained = stack.apply(variables, inputs, LENGTHS, train=True, rngs=key)
    assert not np.allclose(trained.outputs, found.outputs), "dropout between layers acts"


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("direction", ["forward", "backward", "bidirectional"])
def test_padding_does_not_change_logits_or_gradients(pooling, direction):
    config = ModelConfig(
        embedding_size=4, hidden_size=5, layers=2, direction=direction, pooling=pooling
    )
    model = TextClassifier(config, vocabulary_size=20, classes=3)
    tokens = np.arange(24).reshape(4, 6) % 19 + 1
    padded = np.where(np.arange(6) < np.asarray(LENGTHS)[:, None], tokens, 0)
    variables = model.init(jax.random.key(0), tokens, LENGTHS)

    @jax.jit
    def run(tokens):
        def loss(params):
            logits = model.apply({"params": params}, tokens, LENGTHS)
            return (logits**2).sum(), logits

        return jax.grad(loss, has_aux=True)(variables["params"])

    gradients, logits = run(padded)
    other_gradients, other_logits = run(tokens)
    np.testing.assert_array_equal(logits, other_logits)
    jax.tree.map(np.testing.assert_array_equal, gradients, other_gradients)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    wider, _ = run(np.pad(tokens, ((0, 0), (0, 5)), constant_values=7))
    assert wider["head"]["bias"].shape == (3,)
    wide_logits = model.apply(variables, np.pad(tokens, ((0, 0), (0, 5))), LENGTHS)
    np.testing.assert_allclose(wide_logits, logits, atol=1e-6)


def test_the_parts_of_the_classifier_make_the_whole():
    model = TextClassifier(ModelConfig(embedding_size=4, hidden_size=5), 20)
    tokens = jnp.arange(24).reshape(4, 6) % 20
    variables = model.init(jax.random.key(0), tokens, LENGTHS)
    embeddings = model.apply(variables, tokens, method="embed")
    encoding = model.apply(variables, embeddings, LENGTHS, method="encode")
    features = model.apply(variables, encoding, LENGTHS, method="pool")
    logits = model.apply(variables, features, method="logits")
    assert embeddings.shape == (4, 6, 4)
    assert encoding.outputs.shape == (4, 6, 10)
    assert features.shape == (4, 20)
    np.testing.assert_array_equal(logits, model.apply(variables, tokens, LENGTHS))
    assert logits.shape == (4, 1), "two classes have one logit"


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_size": 0},
        {"output_dropout": 1.0},
        {"pooling": "sum"},
        {"merge": "add"},
        {"size": 3},
    ],
    ids=str,
)
def test_a_wrong_architecture_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ModelConfig(**wrong)
