"""Training: steps, resuming, selection, what a run leaves behind."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
import small

import lstm_jax
from lstm_jax.data import Batching, Dataset, evaluation_batches
from lstm_jax.nn import LSTMLayer
from lstm_jax.predictor import Predictor
from lstm_jax.train import loop
from lstm_jax.train.config import Config, OptimizerConfig, TrainConfig
from lstm_jax.train.report import read_metrics
from lstm_jax.train.result import Result
from lstm_jax.train.step import predict_step, train_step

# On a GPU, sums of gradients over repeated tokens come in no fixed order.
same_bits = pytest.mark.skipif(
    jax.default_backend() != "cpu", reason="the same bits are promised on a CPU only"
)
TESTS = Path(__file__).parent


def train(path, config=small.CONFIG, corpus=None, **options):
    corpus = small.corpus() if corpus is None else corpus
    return small.train(config, corpus, path, **options)


def weights(path):
    """The final parameters of a run, as NumPy arrays by name."""
    params = ocp.StandardCheckpointer().restore((path / "weights").absolute())
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(key): np.asarray(leaf) for key, leaf in leaves}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run and its result."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    return path, train(path, small.KEPT_OFTEN)


def test_it_learns(finished):
    _, result = finished
    assert result.test["accuracy"] >= 0.9
    assert result.validation["accuracy"] >= 0.9
    assert result.test["examples"] == 30
    assert result.validation["examples"] == 20


def test_a_run_folder_holds_all_there_is_to_know(finished):
    path, result = finished
    assert Config.load(path / "config.json") == small.KEPT_OFTEN
    data = json.loads((path / "data.json").read_text())
    assert data["examples"] == {"train": 80, "validation": 20, "test": 30}
    assert data["class_names"] == ["class 0", "class 1"]
    content = json.loads((path / "result.json").read_text())
    assert Result.from_json(content) == result
    assert content == {**result.to_json(), "checksums": content["checksums"]}
    assert {"seed", "minutes", "environment", "command"} <= set(content)
    assert {"versions", "machine"} <= set(content["environment"])
    assert (path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list(path.glob("events.out.tfevents.*"))
    steps = [record["step"] for record in read_metrics(path / "metrics.jsonl")]
    assert steps == sorted(steps)
    epochs = [r for r in read_metrics(path / "metrics.jsonl") if "epoch" in r]
    assert [record["epoch"] for record in epochs] == [1, 2, 3, 4, 5]
    assert epochs[-1]["step"] == result.outcome.steps
    assert len(list((path / "checkpoints").iterdir())) == small.CONFIG.train.keep_checkpoints


@same_bits
def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(finished, tmp_path):
    path, _ = finished
    train(tmp_path / "again")
    train(tmp_path / "other", replace(small.CONFIG, seed=1))
    first, again, other = weights(path), weights(tmp_path / "again"), weights(tmp_path / "other")
    for name in first:
        np.testing.assert_array_equal(first[name], again[name], err_msg=name)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


@same_bits
def test_a_finished_run_is_not_trained_again(finished):
    path, result = finished
    before = time.monotonic()
    assert train(path, small.KEPT_OFTEN, resume=True) == result
    assert time.monotonic() - before < 1


def test_a_run_is_never_overwritten(finished, tmp_path):
    path, _ = finished
    with pytest.raises(ValueError, match="holds a finished run; give --resume"):
        train(path, small.KEPT_OFTEN)
    other = replace(small.KEPT_OFTEN, optimizer=OptimizerConfig(learning_rate=0.5))
    with pytest.raises(ValueError, match=r"optimizer.learning_rate: 0.03, not 0.5"):
        train(path, other, resume=True)
    (tmp_path / "mine.txt").write_text("not a run")
    with pytest.raises(ValueError, match="is not empty, and holds no run"):
        train(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"implementation": "scan", "precision": "bfloat16"}, "precision must be None"),
        ({"implementation": "cudnn"}, "implementation must be one of"),
        ({"cell": "peephole", "implementation": "xla"}, "with another cell"),
    ],
)
def test_a_model_that_cannot_run_leaves_no_folder(tmp_path, settings, message):
    model = replace(small.CONFIG.model, **settings)
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", replace(small.CONFIG, model=model))
    assert not (tmp_path / "run").exists()


def test_a_layer_whose_state_is_both_zoned_out_and_dropped_out_is_refused():
    layer = LSTMLayer(4, zoneout=(0.1, 0.1), recurrent_dropout=0.1)
    with pytest.raises(ValueError, match="recurrent_dropout and zoneout must not both be above 0"):
        layer.check()


def test_resuming_on_other_data_is_refused(tmp_path, monkeypatch):
    def stopping(*_):
        raise KeyboardInterrupt

    config = replace(small.CONFIG, train=replace(small.CONFIG.train, checkpoint_every=1))
    steps = iter([train_step, stopping])
    monkeypatch.setattr(loop, "train_step", lambda *a: next(steps)(*a))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", config)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"a run with other .*training examples"):
        train(tmp_path / "run", config, small.corpus(seed=5), resume=True)


def test_more_classes_are_learnt_and_predicted(tmp_path):
    corpus = small.corpus(train=200, test=50, classes=5)
    config = replace(small.CONFIG, train=replace(small.CONFIG.train, epochs=10))
    result = train(tmp_path / "run", config, corpus)
    assert result.test["accuracy"] is not None
    assert result.test["accuracy"] >= 0.9
    assert corpus.test is not None
    found = lstm_jax.load(tmp_path / "run").predict_proba(corpus.test.texts)
    assert found.shape == (50, 5)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    assert (found.argmax(1) == corpus.test.labels).mean() == pytest.approx(result.test["accuracy"])


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    config = replace(small.CONFIG, optimizer=OptimizerConfig(learning_rate=1e38, clip_norm=None))
    with pytest.raises(FloatingPointError, match="not finite at step"):
        train(tmp_path / "run", config)


def test_the_weights_with_the_lowest_validation_loss_are_kept(tmp_path, monkeypatch):
    # The loss is climbed in the end, which ruins what was learnt: the last epoch is not the best.
    def spoiling(_, steps):
        return optax.adam(lambda step: jnp.where(step < 3 * steps // 5, 0.03, -0.3))

    monkeypatch.setattr(loop, "make_optimizer", spoiling)
    config = replace(small.CONFIG, train=replace(small.CONFIG.train, ema_decay=0.0))
    result = train(tmp_path / "run", config)
    epochs = [r for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "epoch" in r]
    losses = [record["validation_loss"] for record in epochs]
    assert result.validation["loss"] == min(losses) < losses[-1]
    assert result.outcome.best_step == epochs[losses.index(min(losses))]["step"]
    run, corpus = lstm_jax.load(tmp_path / "run"), small.corpus()
    assert corpus.test is not None
    assert run.evaluate(corpus.test).loss == pytest.approx(result.test["loss"], abs=1e-5)


def test_without_validation_the_last_weights_are_kept(tmp_path):
    config = replace(
        small.CONFIG, train=TrainConfig(epochs=1, batch_size=8, validation_fraction=0.0)
    )
    result = train(tmp_path / "run", config)
    assert result.validation == {}
    assert result.outcome.best_step is None
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert data["examples"]["train"] == 100


def test_the_validation_texts_do_not_reach_the_vocabulary(finished, tmp_path):
    corpus = small.corpus()
    unique = [f"{text} unique{n}" for n, text in enumerate(corpus.train.texts)]
    corpus = replace(corpus, train=replace(corpus.train, texts=unique))
    train(
        tmp_path / "run",
        replace(
            small.CONFIG,
            text=replace(small.CONFIG.text, vocabulary_size=1000),
            train=replace(small.CONFIG.train, epochs=1),
        ),
        corpus,
    )
    vocabulary = json.loads((tmp_path / "run" / "tokenizer.json").read_text())["model"]["vocab"]
    assert sum(word.startswith("unique") for word in vocabulary) == 80


def test_one_compilation_per_bucket(tmp_path):
    training: Any = train_step
    predicting: Any = predict_step
    # Of a size that no other test has, since equal settings share their programs.
    config = replace(small.CONFIG, model=replace(small.CONFIG.model, hidden_size=11))
    compiled, predicted = training._cache_size(), predicting._cache_size()
    train(tmp_path / "run", config)
    assert training._cache_size() - compiled == config.train.buckets
    # Validation and test texts each have buckets of their own.
    assert 0 < predicting._cache_size() - predicted <= 2 * config.train.buckets
    compiled, predicted = training._cache_size(), predicting._cache_size()
    train(tmp_path / "again", config)
    assert (training._cache_size(), predicting._cache_size()) == (compiled, predicted)


def test_every_example_is_predicted_once_whatever_the_buckets(rng, finished):
    path, _ = finished
    run, corpus = lstm_jax.load(path), small.corpus()
    texts = corpus.train.texts[:37]
    together = run.predict_proba(texts)
    one_by_one = np.concatenate([run.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(together, one_by_one, atol=1e-6)
    data = Dataset(run.tokenizer.encode_batch(texts))
    batches = evaluation_batches(data, Batching(5, run.config.text.padding, 3))
    assert sum(batch.weights.sum() for batch in batches) == 37


def test_balanced_weights_make_a_rare_class_count_as_much(tmp_path):
    corpus = small.corpus(train=200)
    rows = np.flatnonzero((corpus.train.labels == 0) | (np.arange(200) % 20 == 1))
    corpus = replace(corpus, train=corpus.train.take(rows))
    recall = {}
    for weights in ("equal", "balanced"):
        config = replace(
            small.CONFIG, train=replace(small.CONFIG.train, class_weights=weights, epochs=8)
        )
        result = train(tmp_path / weights, config, corpus)
        recall[weights] = result.outcome.confusion[1][1] / sum(result.outcome.confusion[1])
    assert recall["balanced"] > recall["equal"] + 0.2


def test_the_temperature_is_kept_with_the_run(finished):
    path, result = finished
    run = lstm_jax.load(path)
    assert run.temperature == pytest.approx(result.validation["temperature"])
    raw = Predictor(path, run.config, run.class_names, run.tokenizer)
    test = small.corpus().test
    assert test is not None
    texts = test.texts
    np.testing.assert_allclose(
        run.logits(texts), raw.logits(texts) / result.validation["temperature"], rtol=1e-5
    )
    assert run.evaluate(test).loss == pytest.approx(result.test["loss"], rel=1e-5)


@pytest.mark.parametrize("cell", ["peephole", "coupled", "layer_norm", "no_bias"])
def test_a_run_of_another_cell_learns_and_is_the_same_when_opened_again(cell, tmp_path):
    model = replace(small.CONFIG.model, cell=cell)
    training = replace(small.CONFIG.train, epochs=10, buckets=1)
    config = replace(small.CONFIG, model=model, train=training)
    result = train(tmp_path / "run", config)
    assert result.test["accuracy"] is not None
    assert result.test["accuracy"] > 0.7  # of two classes
    run = lstm_jax.load(tmp_path / "run")
    test = small.corpus().test
    assert test is not None
    measured = run.evaluate(test)
    assert measured.accuracy == pytest.approx(result.test["accuracy"])
    assert measured.loss == pytest.approx(result.test["loss"], rel=1e-5)
