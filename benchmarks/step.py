"""How much of a training step is the LSTM: `python -m benchmarks.step`.

Batches of an epoch of the presets, on real reviews: the whole step,
data and optimizer included, and the LSTM's forward and backward pass alone on arrays of the same
shapes and lengths, one after the other for each batch. The compilations come before. What is
reported are medians over the batches, of the share as well: a pause of the machine moves none.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write_record
from experiments.imdb.command import PRESETS
from lstm_jax import Bidirectional, bidirectional_lstm, init_lstm, lstm
from lstm_jax.cli.program import run_command
from lstm_jax.data import Dataset, load_corpus, training_batches
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.models.config import ModelConfig
from lstm_jax.models.encoder import lstm_stack
from lstm_jax.text import NGrams, WordTokenizer, encode_once
from lstm_jax.train.batching import training_batching
from lstm_jax.train.config import Config
from lstm_jax.train.losses import Adversarial, Classification, Loss
from lstm_jax.train.optimizer import make_optimizer
from lstm_jax.train.step import init_state, train_step


@dataclass(frozen=True)
class Benchmark:
    """On what, and how much of it."""

    data: str = "imdb"
    """As for `experiments.imdb`."""
    batches: int = 80
    """Batches of an epoch that are timed."""


def main() -> None:
    """Times the presets and writes the record."""
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.step"), Console()
    corpus = load_corpus(benchmark.data)
    table = Table("", "ms a step", "waiting for data", "the LSTM alone", "share of the LSTM")
    results: dict[str, Any] = {}
    for config in (preset.config for preset in PRESETS.values()):
        tokenizer = WordTokenizer.train(
            corpus.train.texts,
            preset=config.text.tokenizer,
            vocabulary_size=config.text.vocabulary_size,
        )
        ids = encode_once(tokenizer, corpus.train.texts)
        found = measure(config, ids, corpus.train.labels, benchmark.batches)
        results[config.name] = found
        milliseconds = (
            f"{1e3 * found[f'{name}_seconds']:.1f}" for name in ("step", "data", "lstm")
        )
        table.add_row(config.name, *milliseconds, f"{found['share']:.0%}")
    console.print(table)
    write_record("step", {"presets": results}, console)


def measure(config: Config, ids: list[np.ndarray], labels: np.ndarray, count: int) -> dict:
    """Median seconds of a step, of waiting for its batch, and of its LSTM, each time it runs."""
    batches = training_batches(Dataset(ids, labels), training_batching(config), seed=config.seed)
    size, train = config.text.vocabulary_size, config.train
    ngrams = NGrams.find(ids, size, config.text.ngrams) if config.text.ngrams else None
    model = TextClassifier(config.model, size, ngrams=ngrams)
    loss: Loss = Classification(model, train.label_smoothing)
    if train.adversarial > 0:
        loss = Adversarial(loss, train.adversarial)
    optimizer = make_optimizer(config.optimizer, batches.batches_per_epoch)
    state = init_state(loss, optimizer, 0, keep_ema=train.ema_decay > 0, keep_best=False)
    alone = lstm_alone(config.model)
    of_shape = {batches.batches[n].tokens.shape: n for n in range(batches.batches_per_epoch)}
    for number in of_shape.values():
        batch = batches.batches[number]
        state, _ = train_step(loss, optimizer, train.ema_decay, state, batch)
        jax.block_until_ready(alone(batch.tokens.shape, batch.lengths))
    times = []
    for _ in range(count):
        began = time.perf_counter()
        batch = jax.device_put(next(batches))
        ready = time.perf_counter()
        state, _ = train_step(loss, optimizer, train.ema_decay, state, batch)
        jax.block_until_ready(state)
        done = time.perf_counter()
        for _ in range(2 if train.adversarial > 0 else 1):
            jax.block_until_ready(alone(batch.tokens.shape, batch.lengths))
        times.append((done - began, ready - began, time.perf_counter() - done))
    batches.close()
    step, data, recurrence = np.array(times).T
    return {
        "step_seconds": float(np.median(step)),
        "data_seconds": float(np.median(data)),
        "lstm_seconds": float(np.median(recurrence)),
        "share": float(np.median(recurrence / step)),
    }


def lstm_alone(config: ModelConfig):
    """The gradients of weights and inputs of the preset's recurrence, by shape and lengths."""
    params = [init_lstm(jax.random.key(0), config.embedding_size, config.hidden_size)] * 2
    both = config.direction == "bidirectional"
    precision = lstm_stack(config).layer().precision

    def loss(params, inputs, lengths, cotangent):
        how = {"lengths": lengths, "precision": precision}
        if both:
            outputs, _ = bidirectional_lstm(Bidirectional(*params), inputs, **how)
            return sum(jnp.vdot(each, cotangent) for each in outputs)
        return jnp.vdot(lstm(params[0], inputs, **how)[1].hidden, cotangent)

    gradient = jax.jit(jax.grad(loss, (0, 1)))
    arrays: dict[tuple[int, ...], tuple] = {}

    def run(shape: tuple[int, ...], lengths):
        if shape not in arrays:
            rng = np.random.default_rng(0)
            inputs = rng.normal(size=(*shape, config.embedding_size))
            cotangent = rng.normal(size=(*shape[: 2 if both else 1], config.hidden_size))
            arrays[shape] = jnp.asarray(inputs, jnp.float32), jnp.asarray(cotangent, jnp.float32)
        inputs, cotangent = arrays[shape]
        return gradient(params[: 1 + both], inputs, lengths, cotangent)

    return run


if __name__ == "__main__":
    run_command(main)
