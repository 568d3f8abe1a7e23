"""The Flax modules: merges, pooling, dropout, and padding that never counts."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_jax import Bidirectional, LSTMParams, LSTMState, lstm, scan_cell
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.models.config import ModelConfig
from lstm_jax.nn.embedding import TokenEmbedding
from lstm_jax.nn.layer import Encoding, LSTMLayer
from lstm_jax.nn.pooling import Pool
from lstm_jax.nn.stack import LSTMStack
from lstm_jax.variants import VARIANTS, Variant

LENGTHS = jnp.array([6, 0, 3, 1])
POOLINGS = ("last", "max", "mean", "max_mean", "attention")
MERGES = ("concat", "sum", "mean", "mul")


@pytest.fixture
def inputs(rng):
    return jnp.asarray(rng.normal(size=(4, 6, 3)), jnp.float32)


@pytest.mark.parametrize("merge", MERGES)
def test_merge_combines_the_two_directions(merge, inputs):
    layer: Any = LSTMLayer(5, direction="bidirectional", merge=merge)
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
    layer: Any = LSTMLayer(5, direction=direction)
    encoding = layer.apply(layer.init(jax.random.key(0), inputs), inputs, LENGTHS)
    for n, length in enumerate(LENGTHS):
        last = 0 if direction == "backward" else length - 1
        expected = encoding.outputs[n, last] if length else jnp.zeros(5)
        np.testing.assert_array_equal(encoding.last[n], expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_equals_pooling_each_sequence_alone(pooling, rng):
    outputs = jnp.asarray(rng.normal(size=(4, 6, 3)) - 5, jnp.float32)  # all below zero
    last = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    pool: Any = Pool(pooling)
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


def test_variational_dropout_drops_the_same_features_of_every_token():
    tokens = jnp.arange(400).reshape(4, 100) % 10
    for variational in (True, False):
        layer = TokenEmbedding(10, 64, scale=1.0, feature_dropout=0.5, variational=variational)
        variables = layer.init(jax.random.key(0), tokens)
        key = {"dropout": jax.random.key(1)}
        dropped = np.asarray(layer.apply(variables, tokens, train=True, rngs=key)) == 0
        assert dropped.mean() == pytest.approx(0.5, abs=0.1)
        assert (dropped == dropped[:, :1]).all() == variational
        assert (dropped[0] != dropped[1]).any(), "each sequence draws for itself"


def test_stack_of_two_is_one_layer_on_the_other(inputs):
    stack: Any = LSTMStack(2, partial(LSTMLayer, 5, "bidirectional"), dropout=0.5)
    variables = stack.init(jax.random.key(0), inputs, LENGTHS)
    layer: Any = LSTMLayer(5, direction="bidirectional")
    encoding = Encoding((inputs,), inputs[:, 0])
    states = []
    for name in ("layer_0", "layer_1"):
        weights = {"params": variables["params"][name]}
        encoding = layer.apply(weights, encoding.outputs, LENGTHS)
        states.append(encoding.state)
    found = stack.apply(variables, inputs, LENGTHS)
    expected = encoding._replace(state=tuple(states))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    key = {"dropout": jax.random.key(1)}
    trained = stack.apply(variables, inputs, LENGTHS, train=True, rngs=key)
    assert not np.allclose(trained.outputs, found.outputs), "dropout between layers acts"


class Average:
    """A cell of a user's own: it remembers the mean of what it has read."""

    def init(self, key, features, hidden_size):
        return jax.random.normal(key, (features, hidden_size))

    def initial_state(self, params, batch_size):
        return jnp.zeros((batch_size, params.shape[1])), jnp.zeros((batch_size, 1))

    def __call__(self, params, state, inputs):
        total, count = state[0] + inputs @ params, state[1] + 1
        return (total, count), total / count


CELLS = {
    **{name: name for name in VARIANTS},
    "projected": Variant(projection_size=2, clip_cell=1.0),
    "a user's": Average(),
}
cells = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())


@cells
@pytest.mark.parametrize("direction", ["backward", "bidirectional"])
def test_any_cell_runs_in_any_layer_and_stack(cell, direction, inputs):
    layer: Any = LSTMLayer(5, direction, cell=cell)
    variables = layer.init(jax.random.key(0), inputs, LENGTHS)
    encoding = layer.apply(variables, inputs, LENGTHS)
    assert set(variables) == {"params"}
    names = ("forward", "backward") if direction == "bidirectional" else (direction,)
    whole = VARIANTS[cell] if isinstance(cell, str) else cell
    for name, part in zip(names, encoding.parts, strict=True):
        params = variables["params"][name]
        if cell == "lstm":
            expected, _ = lstm(
                LSTMParams(**params), inputs, lengths=LENGTHS, reverse=name == "backward"
            )
        else:
            expected, _ = scan_cell(
                whole,
                params,
                inputs,
                whole.initial_state(params, 4),
                lengths=LENGTHS,
                reverse=name == "backward",
            )
        np.testing.assert_allclose(part, expected, atol=1e-6)
    lasts = np.split(np.asarray(encoding.last), len(names), axis=1)
    for name, part, last in zip(names, encoding.parts, lasts, strict=True):
        for n, length in enumerate(LENGTHS):
            at = 0 if name == "backward" else int(length) - 1
            np.testing.assert_array_equal(last[n], part[n, at] if length else 0 * last[n])
    stack = LSTMStack(2, partial(LSTMLayer, 5, direction, cell=cell))
    shape = stack.init_with_output(jax.random.key(0), inputs, LENGTHS)[0].outputs.shape
    assert shape == encoding.outputs.shape


@cells
def test_the_carry_of_one_batch_is_the_start_of_the_next(cell, inputs):
    stack: Any = LSTMStack(2, partial(LSTMLayer, 5, cell=cell))
    variables = stack.init(jax.random.key(0), inputs)
    whole = stack.apply(variables, inputs)
    state, outputs = None, []
    for t in range(inputs.shape[1]):  # a step at a time
        encoding = stack.apply(variables, inputs[:, t : t + 1], initial_state=state)
        state = encoding.state
        outputs.append(encoding.outputs)
    np.testing.assert_allclose(np.concatenate(outputs, 1), whole.outputs, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state, whole.state)


def test_a_bidirectional_layer_starts_from_a_state_for_each_direction(inputs):
    layer: Any = LSTMLayer(5, "bidirectional")
    variables = layer.init(jax.random.key(0), inputs)
    states = Bidirectional(*(LSTMState(*jnp.full((2, 4, 5), value)) for value in (0.3, -0.2)))
    encoding = layer.apply(variables, inputs, LENGTHS, initial_state=states)
    for name, part, start, end in zip(
        Bidirectional._fields, encoding.parts, states, encoding.state, strict=True
    ):
        outputs, final = lstm(
            LSTMParams(**variables["params"][name]),
            inputs,
            lengths=LENGTHS,
            initial_state=start,
            reverse=name == "backward",
        )
        np.testing.assert_array_equal(part, outputs)
        jax.tree.map(np.testing.assert_array_equal, end, final)


@pytest.mark.parametrize(
    "noise", [{"weight_dropout": 0.5}, {"recurrent_dropout": 0.5}, {"zoneout": (0.5, 0.5)}], ids=str
)
@pytest.mark.parametrize("direction", ["backward", "bidirectional"])
def test_noise_in_the_recurrence_acts_in_training_only(noise, direction, inputs):
    plain, noisy = LSTMLayer(5, direction), LSTMLayer(5, direction, **noise)
    variables = plain.init(jax.random.key(0), inputs)

    def run(layer, seed=None) -> Any:
        rngs = None if seed is None else {"dropout": jax.random.key(seed)}
        return layer.apply(variables, inputs, LENGTHS, train=seed is not None, rngs=rngs)

    first, again, other = run(noisy, 1), run(noisy, 1), run(noisy, 2)
    np.testing.assert_array_equal(first.outputs, again.outputs)
    assert not np.allclose(first.outputs, other.outputs)
    assert jax.tree.structure(first.state) == jax.tree.structure(run(plain).state)
    if "zoneout" not in noise:  # which predicts with a mixture
        np.testing.assert_array_equal(run(noisy).outputs, run(plain).outputs)
    np.testing.assert_array_equal(run(noisy).outputs, run(noisy).outputs)
    padding = np.arange(6) >= np.asarray(LENGTHS)[:, None]
    np.testing.assert_array_equal(np.asarray(first.outputs)[padding], 0)


WRONG = {
    "cell must be one of": {"cell": "gru"},
    "recurrent_dropout and zoneout": {"recurrent_dropout": 0.1, "zoneout": (0.1, 0.1)},
    'must be "auto" or "scan"': {"cell": "peephole", "implementation": "xla"},
    "zoneout, got 'auto' and 'bfloat16'": {"zoneout": (0.1, 0.0), "precision": "bfloat16"},
    "zoneout, got 'scan' and 'bfloat16'": {
        "recurrent_dropout": 0.1,
        "implementation": "scan",
        "precision": "bfloat16",
    },
}


@pytest.mark.parametrize("message", WRONG)
def test_settings_that_do_not_go_together_are_refused(message, inputs):
    with pytest.raises(ValueError, match=message):
        LSTMLayer(5, **WRONG[message]).init(jax.random.key(0), inputs)


def test_a_layer_works_in_nnx(inputs):
    try:
        from flax import nnx
        from flax.nnx import bridge
    except ImportError as error:
        pytest.skip(f"flax.nnx does not import here: {error}")
    linen: Any = LSTMLayer(5, "bidirectional")
    module = bridge.ToNNX(linen, rngs=nnx.Rngs(0))
    bridge.lazy_init(module, inputs, LENGTHS)
    encoding = module(inputs, LENGTHS)
    params = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    expected = linen.apply({"params": params}, inputs, LENGTHS)
    np.testing.assert_allclose(encoding.outputs, expected.outputs, atol=1e-6)
    gradients = nnx.grad(lambda m: (m(inputs, LENGTHS).outputs ** 2).sum())(module)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(nnx.to_pure_dict(gradients)))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("direction", ["forward", "backward", "bidirectional"])
def test_padding_does_not_change_logits_or_gradients(pooling, direction):
    config = ModelConfig(
        embedding_size=4, hidden_size=5, layers=2, direction=direction, pooling=pooling
    )
    model = TextClassifier(config, vocabulary_size=20, classes=3)
    tokens = np.arange(24).reshape(4, 6) % 19 + 1
    padded = np.where(np.arange(6) < np.asarray(LENGTHS)[:, None], tokens, 0)
    variables = jax.jit(model.init)(jax.random.key(0), tokens, LENGTHS)

    @jax.jit
    def run(tokens):
        def loss(params):
            logits: Any = model.apply({"params": params}, tokens, LENGTHS)
            return (logits**2).sum(), logits

        return jax.grad(loss, has_aux=True)(variables["params"])

    gradients, logits = run(padded)
    other_gradients, other_logits = run(tokens)
    np.testing.assert_array_equal(logits, other_logits)
    jax.tree.map(np.testing.assert_array_equal, gradients, other_gradients)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    wider, wide_logits = run(np.pad(tokens, ((0, 0), (0, 5)), constant_values=7))
    assert wider["head"]["bias"].shape == (3,)
    np.testing.assert_allclose(wide_logits, logits, atol=1e-6)


def test_the_parts_of_the_classifier_make_the_whole():
    model: Any = TextClassifier(ModelConfig(embedding_size=4, hidden_size=5), 20)
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
