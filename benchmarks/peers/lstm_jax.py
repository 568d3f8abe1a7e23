"""This library, as its commands run it: with the memory kept."""

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case, Problem
from benchmarks.data import WITH_LENGTHS, Data
from benchmarks.worker import Run
from experiments.imdb.article import CONFIG as ARTICLE
from lstm_jax import Bidirectional, LSTMParams, bidirectional_lstm, lstm
from lstm_jax.data import Batch, Batching, Dataset, training_batches
from lstm_jax.kernels import cpu
from lstm_jax.machine import tune_malloc
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.predictor import Predictor
from lstm_jax.text import WordTokenizer
from lstm_jax.train.losses import Classification
from lstm_jax.train.optimizer import make_optimizer
from lstm_jax.train.step import TrainState, init_state, predict_step, train_step

tune_malloc()


def recurrence(
    case: dict[str, Any],
    train: bool,
    implementation: str = "auto",
    precision: str | None = None,
    chunk_size: int | None = None,
) -> Run | None:
    """`lstm` or `bidirectional_lstm`: outputs, or with `train` gradients of weights and inputs."""
    if precision is not None and cpu.unsupported(jnp.dtype(jnp.float32), precision):
        return None
    size = Case(**case)
    problem = Problem.of(size)
    params = [LSTMParams(*(jnp.asarray(w) for w in weights)) for weights in problem.weights()]
    lengths = None if problem.lengths is None else jnp.asarray(problem.lengths)

    def forward(params, inputs):
        settings = {
            "lengths": lengths,
            "implementation": implementation,
            "precision": precision,
            "chunk_size": chunk_size,
        }
        if size.bidirectional:
            outputs, _ = bidirectional_lstm(Bidirectional(*params), inputs, **settings)
            return jnp.concatenate(outputs, -1)
        return lstm(params[0], inputs, **settings)[0]

    def loss(params, inputs, cotangent):
        return jnp.vdot(forward(params, inputs), cotangent)

    inputs, cotangent = jnp.asarray(problem.inputs), jnp.asarray(problem.cotangent)
    if not train:
        compiled = jax.jit(forward)
        return lambda: {"outputs": jax.block_until_ready(compiled(params, inputs))}
    gradient = jax.jit(jax.grad(loss, (0, 1)))

    def run():
        d_params, d_inputs = jax.block_until_ready(gradient(params, inputs, cotangent))
        return {
            "d_input_kernel": d_params[0].input_kernel,
            "d_recurrent_kernel": d_params[0].recurrent_kernel,
            "d_inputs": d_inputs,
        }

    return run


def matrix_product(size: int) -> Run:
    """One float32 product of two square matrices, by XLA."""
    left, right = np.random.default_rng(0).normal(size=(2, size, size)).astype(np.float32)
    left, right = jnp.asarray(left), jnp.asarray(right)
    compiled = jax.jit(jnp.matmul)

    def run():
        jax.block_until_ready(compiled(left, right))
        return {}

    return run


def training(folder: str, batch_size: int, steps: int, lengths: bool) -> Run:
    """Steps of training, as `lstm_jax.train` takes them: its batches, its step."""
    data, config = Data.load(folder), WITH_LENGTHS if lengths else ARTICLE
    batching = Batching(batch_size, config.text.padding, config.train.buckets)
    batches = training_batches(Dataset(data.train_ids, data.train_labels), batching, seed=0)
    model = TextClassifier(config.model, len(data.words))
    loss, optimizer = Classification(model), make_optimizer(config.optimizer, 1)

    def start() -> TrainState:
        state = init_state(loss, optimizer, 0, keep_ema=False, keep_best=False)
        return state._replace(params=_classifier_params(data.weights))

    rows = data.padded()[:64]
    logits = predict_step(model, start().params, rows, np.full(64, rows.shape[1], np.int32))
    state = start()
    for shape in batches.batches.shapes:  # compiled here, as an epoch is repeated
        sizes = np.full(shape[0], shape[1], np.int32)
        labels, weights = np.zeros(shape[0], np.int32), np.ones(shape[0], np.float32)
        batch = Batch(np.zeros(shape, np.int32), sizes, labels, weights, labels)
        state, _ = train_step(loss, optimizer, 0.0, state, batch)
    state = start()

    def run():
        nonlocal state
        for _ in range(steps):
            batch = jax.device_put(next(batches))
            state, _ = train_step(loss, optimizer, 0.0, state, batch)
        jax.block_until_ready(state)
        return {"logits": logits}

    return run


def vocabulary(size: int) -> Run:
    """One step of training the article's model with a vocabulary of another size."""
    loss = Classification(TextClassifier(ARTICLE.model, size))
    optimizer = make_optimizer(ARTICLE.optimizer, 1)
    state = init_state(loss, optimizer, 0, keep_ema=False, keep_best=False)
    tokens = np.random.default_rng(0).integers(0, size, (32, 100), np.int32)
    ones = np.ones(32, np.int32)
    batch = jax.device_put(Batch(tokens, 100 * ones, ones, np.ones(32, np.float32), ones))

    def run():
        nonlocal state
        state, _ = train_step(loss, optimizer, 0.0, state, batch)
        jax.block_until_ready(state)
        return {}

    return run


def prediction(folder: str, batch_size: int) -> Run:
    """Texts to probabilities, as `lstm_jax.predictor` does it."""
    trained, texts = _trained(folder)
    return lambda: {"probability": trained.predict_proba(texts, batch_size=batch_size)[:, 1]}


def latency(folder: str) -> Run:
    """One text to its probability, the next one in each call."""
    trained, texts = _trained(folder)
    trained.predict_proba(texts[:500], batch_size=1)  # every width is compiled
    order = itertools.cycle(texts[:500])
    return lambda: {"probability": trained.predict_proba([next(order)])[:, 1]}


def _trained(folder: str) -> tuple[Predictor, list[str]]:
    data = Data.load(folder)
    tokenizer, params = WordTokenizer.load(data.tokenizer), _classifier_params(data.weights)
    return Predictor(Path(), WITH_LENGTHS, ("neg", "pos"), tokenizer, params), data.test_texts


def _classifier_params(weights: dict[str, np.ndarray]) -> dict:
    """A fresh copy of the weights as TextClassifier has them."""
    lstm = {name: weights[name] for name in LSTMParams._fields}
    head = {"kernel": weights["head_kernel"], "bias": weights["head_bias"]}
    params = {
        "embedding": {"table": weights["embedding"]},
        "stack": {"layer_0": {"forward": lstm}},
        "head": head,
    }
    return jax.tree.map(jnp.array, params)
