"""The linear model beside an LSTM: what it computes, how it is fitted, how the two are added."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import small
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from lstm_jax.interop.export import export_run
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.models.config import ModelConfig
from lstm_jax.nn.linear import LinearNGrams
from lstm_jax.predictor import load
from lstm_jax.recipes.ensemble import weights_of_members
from lstm_jax.text import NGrams
from lstm_jax.train.config import Config, TextConfig, TrainConfig
from lstm_jax.train.linear import STRENGTH, add_linear, fit_linear_ngrams
from lstm_jax.train.metrics import ensemble_weights

WORDS = 12


def made_up(classes: int, texts: int = 60) -> tuple[list[np.ndarray], np.ndarray]:
    """Texts in which some words are more frequent in one class, and their labels."""
    generator = np.random.default_rng(classes)
    labels = np.arange(texts) % classes
    ids = [
        np.append(
            1, generator.choice([2, *range(3, WORDS), 3 + int(label), 3 + int(label)], size=9)
        )
        for label in labels
    ]
    return [each.astype(np.int32) for each in ids], labels.astype(np.int32)


def features(texts: list[np.ndarray], fitted_to: list[np.ndarray], ngrams: NGrams) -> np.ndarray:
    """TF-IDF by its definition, a loop over words and pairs: [N, words + pairs] float64."""
    keys = {key: WORDS + place for place, key in enumerate(ngrams.keys[0].tolist())}

    def counted(ids: np.ndarray) -> np.ndarray:
        counts = np.zeros(WORDS + len(keys))
        for place, word in enumerate(ids.tolist()):
            counts[word] += word > 2
            pair = int(ids[place - 1]) * WORDS + word if place else 0
            if pair in keys:
                counts[keys[pair]] += 1
        return counts

    known = np.array([counted(ids) for ids in fitted_to])
    idf = 1 + np.log((1 + len(known)) / (1 + (known > 0).sum(0)))
    counts = np.array([counted(ids) for ids in texts])
    lengths = np.sqrt((counts * idf**2 * (known > 0).any(0)).sum(1))
    return counts * idf / np.maximum(lengths, 1e-9)[:, None]


def scales(rows: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How much each feature is scaled for each output, by its definition, a loop over both."""
    outputs = [1] if classes == 2 else range(classes)
    scale = np.zeros((rows.shape[1], len(outputs)))
    for column, label in enumerate(outputs):
        texts = [(rows[labels == label] > 0).sum(0) + 1, (rows[labels != label] > 0).sum(0) + 1]
        for feature in range(rows.shape[1]):
            inside, outside = (each[feature] / each.sum() for each in texts)
            scale[feature, column] = np.sqrt(abs(np.log(inside / outside)))
    return scale / np.sqrt((scale**2).mean(0))


def expected_logits(rows: np.ndarray, labels: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """scikit-learn's for two classes; for more, whose features differ, by SciPy's minimum."""
    if scale.shape[1] == 1:
        oracle = LogisticRegression(C=STRENGTH, tol=1e-8, max_iter=10_000)
        scaled = csr_array(rows * scale[:, 0])
        return oracle.fit(scaled, labels).decision_function(scaled)

    def logits(flat: np.ndarray) -> np.ndarray:
        weights = flat.reshape(len(scale) + 1, scale.shape[1])
        return rows @ (scale * weights[1:]) + weights[0]

    def loss(flat: np.ndarray) -> float:
        each = logits(flat)
        right = each[np.arange(len(labels)), labels]
        penalty = (flat[scale.shape[1] :] ** 2).sum() / 2
        return STRENGTH * (logsumexp(each, axis=1) - right).sum() + penalty

    start = np.zeros((len(scale) + 1) * scale.shape[1])
    options = {"maxfun": 10**6, "maxiter": 10_000}
    return logits(minimize(loss, start, method="L-BFGS-B", options=options).x)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_fitted_module_gives_the_logits_of_scikit_learn_or_of_scipy(classes):
    texts, labels = made_up(classes)
    ngrams, outputs = NGrams.find(texts, WORDS, (20,)), 1 if classes == 2 else classes
    params = fit_linear_ngrams(texts, labels, outputs, WORDS, ngrams)
    rows = features(texts, texts, ngrams)
    expected = expected_logits(rows, labels, scales(rows, labels, classes))
    tokens = np.zeros((len(texts), 14), np.int32)
    for row, ids in zip(tokens, texts, strict=True):
        row[: len(ids)] = ids
    tokens[:, 10:] = 5  # what stands past a length never counts
    lengths = np.full(len(texts), 10, np.int32)
    module = LinearNGrams(WORDS, outputs, ngrams)
    found = np.asarray(module.apply({"params": params}, tokens, lengths))
    expected = expected.reshape(found.shape)
    # What all outputs share has no effect on probabilities, nor a penalty on the bias.
    shift = (found - expected).mean(1, keepdims=True) if outputs > 1 else 0
    np.testing.assert_allclose(found - shift, expected, rtol=0, atol=0.02)


def test_a_text_without_a_known_word_gets_the_bias():
    texts, labels = made_up(2)
    params = fit_linear_ngrams(texts, labels, 1, WORDS, None)
    tokens, lengths = np.array([[1, 2, 0], [0, 0, 0]], np.int32), np.array([2, 0], np.int32)
    found = np.asarray(LinearNGrams(WORDS, 1).apply({"params": params}, tokens, lengths))
    np.testing.assert_array_equal(np.ravel(found), np.repeat(params["bias"], 2))


def test_the_weights_of_an_ensemble_become_part_of_its_parameters():
    config = ModelConfig(embedding_size=4, hidden_size=4, implementation="scan")
    texts, labels = made_up(2)
    tokens = np.stack(texts)
    lengths = np.full(len(tokens), tokens.shape[1], np.int32)
    alone = TextClassifier(config, WORDS)
    params = alone.init(jax.random.key(0), tokens, lengths)["params"]
    linear = fit_linear_ngrams(texts, labels, 1, WORDS, None)
    both = TextClassifier(replace(config, linear=True), WORDS)
    of_lstm = alone.apply({"params": params}, tokens, lengths)
    of_linear = LinearNGrams(WORDS, 1).apply({"params": linear}, tokens, lengths)
    added = add_linear(params, linear, (0.25, 0.5))
    found = np.asarray(both.apply({"params": added}, tokens, lengths))
    expected = 0.25 * np.asarray(of_lstm) + 0.5 * np.asarray(of_linear)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_run_with_a_linear_model_says_what_each_is_worth_and_is_exported_whole(classes, tmp_path):
    corpus = small.corpus(classes=classes)
    config = Config(
        text=TextConfig(vocabulary_size=60, ngrams=(40, 20), max_length=24),
        model=ModelConfig(embedding_size=4, hidden_size=4, linear=True, implementation="scan"),
        train=TrainConfig(epochs=1, batch_size=32, buckets=1, validation_fraction=0.3),
    )
    result = small.train(config, corpus, tmp_path / "run")
    assert set(result.outcome.members) == {"lstm", "linear"}
    weights = [member["weight"] for member in result.outcome.members.values()]
    assert weights[1] != 0.5
    assert (
        result.validation["accuracy"] or 0
    ) > 0.8  # which 8 units alone do not reach in an epoch
    run = load(tmp_path / "run")
    assert corpus.test is not None
    assert run.evaluate(corpus.test).accuracy == result.test["accuracy"]
    export_run(run, tmp_path / "onnx", "onnx")
    export_run(run, tmp_path / "stablehlo", "stablehlo")


def test_the_linear_model_is_fitted_again_to_the_validation_examples_too(tmp_path):
    corpus = small.corpus(train=60)
    model = replace(small.CONFIG.model, linear=True)
    config = replace(small.CONFIG, model=model)
    small.train(config, corpus, tmp_path / "run")
    run = load(tmp_path / "run")
    ids = [config.text.padding.cut(each) for each in run.tokenizer.encode_batch(corpus.train.texts)]
    linear = fit_linear_ngrams(ids, corpus.train.labels, 1, run.tokenizer.vocabulary_size, None)
    kept = np.ravel(run.params["linear"]["weights_of_1"])
    expected = np.ravel(linear["weights_of_1"])
    np.testing.assert_allclose(kept / kept.max(), expected / expected.max(), atol=1e-4)


def test_few_labels_keep_the_weights_of_an_ensemble_near_equal():
    labels = np.array([0, 1] * 5)
    right, wrong = (
        np.where(labels == 1, 3.0, -3.0)[:, None],
        np.where(labels == 1, -3.0, 3.0)[:, None],
    )
    free = ensemble_weights([right, wrong], labels)
    held = ensemble_weights([right, wrong], labels, prior=1000.0)
    assert free[1] == 0
    np.testing.assert_allclose(held, 0.5, atol=0.05)


def test_an_lstm_that_is_far_too_sure_counts_as_much_as_a_calibrated_one(rng):
    labels = np.arange(100) % 2
    signs = np.where(labels == 1, 1.0, -1.0)
    of_lstm, of_linear = ((signs * share + rng.normal(size=100))[:, None] for share in (0.6, 1.2))
    plain, sure = (
        weights_of_members([factor * of_lstm, of_linear], labels) for factor in (1.0, 20.0)
    )
    assert plain[0] > 0.1
    np.testing.assert_allclose(20 * sure[0], plain[0], rtol=0.1)
    np.testing.assert_allclose(sure[1], plain[1], rtol=0.1)
    # One that knows nothing is left out almost, however few the labels are.
    nothing = weights_of_members([rng.normal(size=(100, 1)), of_linear], labels)
    assert nothing[0] < 0.2 * nothing[1]
