"""Explanations: what is promised to add up adds up, and other implementations say the same."""

from dataclasses import replace
from typing import Any

import explaining
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from explaining import LENGTHS, NGRAMS, TOKENS, classifier

from lstm_jax.explain.decomposition import decompose
from lstm_jax.explain.gradients import integrated_gradients
from lstm_jax.explain.ledger import cell_ledger, half_life, logit_ledger, survival, written
from lstm_jax.explain.lrp import propagate
from lstm_jax.explain.methods import as_read, attribute, exact, occlude
from lstm_jax.explain.readout import class_target, read_out
from lstm_jax.explain.trace import lstm_steps, trace_classifier, word_vectors
from lstm_jax.explain.words import to_words
from lstm_jax.models.classifier import TextClassifier

BATCH = jnp.asarray(TOKENS), jnp.asarray(LENGTHS, jnp.int32)
CLASSES = jnp.array([0, 1, 0, 1, 1])
POOLINGS = ("last", "max", "mean", "max_mean", "attention")
DIRECTIONS = ("forward", "backward", "bidirectional")
# Every pooling with every direction; stacks, merges and cells beside the most used of them.
MODELS: list[dict[str, Any]] = [
    *({"pooling": p, "direction": d, "linear": True} for p in POOLINGS for d in DIRECTIONS),
    *({"merge": merge, "layers": 2, "classes": 3} for merge in ("sum", "mean", "mul", "concat")),
    *({"merge": merge, "pooling": "last"} for merge in ("sum", "mean", "mul")),
    *({"cell": cell, "layers": 2} for cell in ("peephole", "coupled", "no_bias", "layer_norm")),
]
NAMES = ["-".join(map(str, model.values())) for model in MODELS]


def logit(model: TextClassifier, params: Any, target: Any) -> np.ndarray:
    """The target by the model itself."""
    logits = exact(model).apply({"params": params}, *BATCH)
    return np.asarray((logits * target).sum(axis=1))


def explained(settings: dict[str, Any], method: Any, dtype: Any = None):
    """What a method says, and the target by the model itself."""
    model, params = classifier(**settings, dtype=dtype)
    target = class_target(model.outputs, CLASSES)
    return attribute(model, params, *BATCH, target, method), logit(model, params, target)


@pytest.mark.parametrize("settings", MODELS, ids=NAMES)
def test_the_ledger_adds_up_to_the_logit(settings):
    found, expected = explained(settings, "ledger")
    np.testing.assert_allclose(found.words.sum(axis=1) + found.base, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.value, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(found.error)).max() < 1e-5
    past = np.arange(TOKENS.shape[1])[None] >= np.array(LENGTHS)[:, None]
    assert not np.asarray(found.words)[past].any()


@pytest.mark.parametrize("method", ["ledger", "lrp", "decomposition"])
def test_in_float64_nothing_is_lost(method):
    for pooling in POOLINGS:
        with jax.enable_x64(True):
            settings = {"pooling": pooling, "linear": True, "implementation": "scan"}
            found, expected = explained(settings, method, jnp.float64)
            assert found.words.dtype == jnp.float64
            assert np.abs(np.asarray(found.error)).max() < 1e-12
            if method != "decomposition":
                total = found.words.sum(axis=1) + found.base
                np.testing.assert_allclose(total, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("settings", MODELS[::2], ids=NAMES[::2])
def test_relevance_propagation_is_conserved(settings):
    if settings.get("cell") == "layer_norm":
        with pytest.raises(ValueError, match="method must be another one than lrp"):
            explained(settings, "lrp")
        return
    found, expected = explained(settings, "lrp")
    np.testing.assert_allclose(found.words.sum(axis=1) + found.base, expected, rtol=1e-4, atol=2e-5)


def test_relevance_propagation_is_arras_and_others():
    for reverse in (False, True):
        direction = "backward" if reverse else "forward"
        model, params = classifier(direction=direction, pooling="max", ngrams=None)
        trace = trace_classifier(model, params, *BATCH)
        readout = read_out(model, params, trace, class_target(1, CLASSES))
        relevance, start = propagate(model.config, trace, readout, epsilon=0.01)
        W, U, b = (
            np.asarray(each, np.float64) for each in trace.layers[0].directions[0].params[:3]
        )
        (weights,), inputs = readout.weights, trace.layers[0].inputs
        hidden = trace.layers[0].directions[0].steps.hidden
        for n, length in enumerate(LENGTHS):
            if length == 0:
                continue
            order = slice(None, None, -1) if reverse else slice(None)
            of_hidden = np.asarray(weights * hidden)[n, :length].astype(np.float64)
            of_hidden += float(readout.bias[n]) / of_hidden.size
            expected, lost = explaining.lrp(
                W, U, b, np.asarray(inputs)[n, :length][order], of_hidden[order], 0.01
            )
            np.testing.assert_allclose(relevance[n, :length][order], expected, rtol=1e-3, atol=1e-5)
            np.testing.assert_allclose(start[n], lost, rtol=1e-3, atol=1e-5)


def test_contextual_decomposition_is_murdoch_and_others():
    model, params = classifier(direction="forward", pooling="last", ngrams=None)
    trace = trace_classifier(model, params, *BATCH)
    readout = read_out(model, params, trace, class_target(1, CLASSES))
    phrase = np.zeros(TOKENS.shape, bool)
    phrase[:, 3:6] = True
    phrase[2, 0] = True
    found = decompose(model.config, trace, readout, jnp.asarray(phrase)[:, None])
    W, U, b = (np.asarray(each, np.float64) for each in trace.layers[0].directions[0].params[:3])
    for n, length in enumerate(LENGTHS):
        if length:
            inputs = np.asarray(trace.layers[0].inputs)[n, :length]
            parts = explaining.contextual_decomposition(W, U, b, inputs, phrase[n])
            weights = np.asarray(readout.weights[0])[n, length - 1]
            np.testing.assert_allclose(found.phrase[n, 0], weights @ parts[0], rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(found.rest[n, 0], weights @ parts[1], rtol=1e-4, atol=1e-6)


def test_a_phrase_and_its_rest_add_up_and_a_phrase_of_everything_is_everything():
    model, params = classifier(layers=2, classes=3)
    trace = trace_classifier(model, params, *BATCH)
    target = class_target(3, CLASSES)
    readout = read_out(model, params, trace, target)
    phrases = jnp.stack([jnp.ones(TOKENS.shape, bool), jnp.zeros(TOKENS.shape, bool)], axis=1)
    found = decompose(model.config, trace, readout, phrases)
    expected = logit(model, params, target) - np.asarray(readout.bias)
    total = found.phrase + found.rest
    np.testing.assert_allclose(total, np.stack([expected] * 2, 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.phrase[:, 0], expected, rtol=1e-5, atol=1e-6)
    # In the phrase of nothing there is what the biases write into the state by themselves: nothing.
    np.testing.assert_allclose(found.phrase[:, 1], 0, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_cell_state_is_the_sum_of_what_survives(reverse):
    rng = np.random.default_rng(0)
    W, U, b = rng.normal(size=(5, 16)), rng.normal(size=(4, 16)), rng.normal(size=16)
    inputs, lengths = rng.normal(size=(3, 6, 5)), np.array([6, 2, 0])
    zeros = np.zeros((3, 4))
    _, _, expected = reference.lstm(W, U, b, inputs, lengths, zeros, zeros, reverse)
    params = {
        "input_kernel": jnp.float32(W),
        "recurrent_kernel": jnp.float32(U),
        "bias": jnp.float32(b),
    }
    found = lstm_steps("lstm", params, jnp.float32(inputs), jnp.asarray(lengths), reverse=reverse)
    ledger = cell_ledger(found, jnp.asarray(lengths), reverse=reverse)
    np.testing.assert_allclose(ledger.sum(axis=1), expected, atol=1e-6)
    kept = np.asarray(survival(found, jnp.asarray(lengths), reverse=reverse))
    order = slice(None, None, -1) if reverse else slice(None)
    forget = np.asarray(found.forget)[0][order]
    by_hand = [np.prod(forget[t + 1 :], axis=0) for t in range(6)]
    np.testing.assert_allclose(kept[0][order], by_hand, rtol=1e-5)
    np.testing.assert_allclose(kept[1, 0 if reverse else 1], 1)
    assert not kept[1, 2:].any()
    assert not kept[2].any()
    np.testing.assert_allclose(written(found), found.input * found.candidate)


def test_half_lives_are_the_steps_in_which_half_is_lost():
    np.testing.assert_allclose(half_life(jnp.array([0.5, 0.25, 0.5**0.1])), [1, 0.5, 10], rtol=1e-5)


def test_cells_of_a_variant_are_traced_as_they_are_run():
    model, params = classifier(cell="peephole", direction="bidirectional", ngrams=None)
    trace = trace_classifier(model, params, *BATCH)
    (inputs,) = word_vectors(model, params, BATCH[0])
    encoding: Any = model.apply({"params": params}, inputs, BATCH[1], method="encode")
    for part, direction in zip(encoding.parts, trace.layers[0].directions, strict=True):
        np.testing.assert_allclose(direction.steps.hidden, part, atol=1e-6)


def test_integrated_gradients_of_a_smooth_model_are_complete_and_their_error_is_said():
    found, expected = explained({"pooling": "mean", "linear": True}, "integrated_gradients")
    np.testing.assert_allclose(found.words.sum(axis=1) + found.base, expected, atol=1e-5)
    found, expected = explained({"pooling": "max"}, "integrated_gradients")
    missed = np.abs(np.asarray(found.words.sum(axis=1) + found.base) - expected)
    np.testing.assert_allclose(found.error, missed, atol=1e-6)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        integrated_gradients(lambda inputs: inputs.sum((1, 2)), jnp.ones((1, 2, 3)), steps=0)


def test_integrated_gradients_are_captums_of_the_same_weights_in_pytorch():
    torch = pytest.importorskip("torch")
    captum = pytest.importorskip("captum.attr")
    model, params = classifier(pooling="mean", ngrams=None)
    trace = trace_classifier(model, params, *BATCH)
    inputs = np.asarray(trace.layers[0].inputs)[:1]
    layer = torch.nn.LSTM(6, 7, bidirectional=True, batch_first=True)
    for suffix, direction in zip(("", "_reverse"), trace.layers[0].directions, strict=True):
        W, U, b = (torch.tensor(np.asarray(each)) for each in direction.params[:3])
        values = {"weight_ih": W.T, "weight_hh": U.T, "bias_ih": b, "bias_hh": torch.zeros(28)}
        for name, value in values.items():
            getattr(layer, f"{name}_l0{suffix}").data.copy_(value)
    head = torch.tensor(np.asarray(params["head"]["kernel"]))
    forward = lambda x: (layer(x)[0].mean(dim=1) @ head)[:, 0]  # noqa: E731
    expected = captum.IntegratedGradients(forward).attribute(
        torch.tensor(inputs), method="gausslegendre", n_steps=32
    )

    def target(inputs):
        logits: Any = model.apply({"params": params}, inputs, jnp.array([17]), method="classify")
        return logits[:, 0]

    found = integrated_gradients(target, jnp.asarray(inputs), steps=32)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_gradient_times_input_is_the_first_term_of_integrated_gradients():
    linear = lambda inputs: (inputs * 3).sum((1, 2))  # noqa: E731
    inputs = jnp.arange(6.0).reshape(1, 2, 3)
    np.testing.assert_allclose(integrated_gradients(linear, inputs), 3 * inputs, rtol=1e-6)
    found, _ = explained({"pooling": "mean"}, "gradient_x_input")
    assert np.isnan(found.error).all()


def test_a_class_of_many_is_explained_against_the_mean_of_all():
    target = class_target(4, jnp.array([2]))
    np.testing.assert_allclose(target, [[-0.25, -0.25, 0.75, -0.25]])
    np.testing.assert_allclose(class_target(1, jnp.array([0, 1])), [[-1], [1]])


def test_credits_of_ngrams_are_divided_among_their_words():
    parts = [jnp.zeros((1, 5)), jnp.array([[0.0, 0, 4, 0, 0]]), jnp.array([[0.0, 0, 0, 0, 6]])]
    np.testing.assert_allclose(to_words(parts), [[0, 2, 4, 2, 2]])


def test_words_left_out_and_texts_cut_short_are_what_they_say():
    asked = []

    def targets(ids, lengths):
        asked.append((ids, lengths))
        return np.array([ids[n, : lengths[n]].sum() for n in range(len(ids))], float)

    ids = np.array([1, 5, 7, 9], np.int32)
    np.testing.assert_allclose(occlude(targets, ids), [0, 5, 7, 9])
    np.testing.assert_allclose(as_read(targets, ids), [1, 6, 13, 22])
    np.testing.assert_allclose(occlude(targets, ids[:1]), [0])


def test_what_is_explained_is_not_rounded_to_bfloat16():
    model, _ = classifier()
    rounded = model.clone(config=replace(model.config, precision="bfloat16"))
    assert exact(rounded).config.precision is None


def test_an_unknown_method_is_refused_by_name():
    model, params = classifier()
    unknown: Any = "guess"
    with pytest.raises(ValueError, match=r"method must be one of ledger, lrp, .* got 'guess'"):
        attribute(model, params, *BATCH, class_target(1, CLASSES), unknown)


def test_the_ledger_of_units_and_words_agree():
    model, params = classifier(ngrams=NGRAMS)
    trace = trace_classifier(model, params, *BATCH)
    readout = read_out(model, params, trace, class_target(1, CLASSES))
    steps = logit_ledger(trace, readout)
    np.testing.assert_allclose(steps.sum(axis=1) + readout.bias, readout.value, atol=1e-5)
