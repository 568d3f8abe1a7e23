"""A corpus and settings small enough to train in a second or two."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from lstm_jax.data import Corpus, Examples
from lstm_jax.models.config import ModelConfig
from lstm_jax.recipes import pretrain as pretraining
from lstm_jax.recipes.supervised import supervised
from lstm_jax.train.config import Config, OptimizerConfig, TextConfig, TrainConfig
from lstm_jax.train.open_run import Request
from lstm_jax.train.result import Result

QUIET = Console(quiet=True)
WORDS = ("good", "bad", "film", "plot", "very", "slow", "the", "a", "scene", "music")


def corpus(train: int = 100, test: int = 30, classes: int = 2, seed: int = 0) -> Corpus:
    """Texts of 1 to 30 words in which one word decides the class."""
    rng = np.random.default_rng(seed)

    def examples(count: int) -> Examples:
        labels = np.arange(count, dtype=np.int32) % classes
        texts = []
        for label in labels:
            words = list(rng.choice(WORDS[2:], rng.integers(1, 30)))
            words.insert(rng.integers(len(words) + 1), f"verdict{label}")
            texts.append(" ".join(words))
        return Examples(texts, labels)

    names = tuple(f"class {n}" for n in range(classes))
    return Corpus("small", examples(train), examples(test), names)


CONFIG = Config(
    name="small",
    text=TextConfig(max_length=24, vocabulary_size=50),
    model=ModelConfig(
        embedding_size=8,
        hidden_size=8,
        embedding_scale=0.5,
        token_dropout=0.1,
        output_dropout=0.1,
    ),
    optimizer=OptimizerConfig(learning_rate=0.03, schedule="cosine", warmup_steps=2),
    train=TrainConfig(
        epochs=5,
        batch_size=8,
        buckets=2,
        validation_fraction=0.2,
        ema_decay=0.9,
        log_every=2,
    ),
)
# Options of `train` in the place of what it chooses from the data: as little as there can be.
PLAIN = (
    *("--text.tokenizer", "punctuation", "--text.ngrams", "--text.cooccurrence-window", "0"),
    *("--model.no-linear", "--model.token-dropout", "0", "--model.embedding-dropout", "0"),
    *("--model.ngram-dropout", "0", "--model.output-dropout", "0", "--train.adversarial", "0"),
    *("--optimizer.schedule", "constant", "--optimizer.warmup-steps", "0"),
    *("--train.patience", "0", "--train.ema-decay", "0"),
)
# Checkpoints within its epochs, and not behind them alone.
KEPT_OFTEN = replace(CONFIG, train=replace(CONFIG.train, checkpoint_every=5))


def train(
    config: Config,
    corpus: Corpus,
    path: Path,
    *,
    command: str = "test",
    resume: bool = False,
    console: Console = QUIET,
    **options: Any,
) -> Result:
    """`supervised` with what a test seldom cares about filled in."""
    return supervised(config, corpus, Request(path, command, resume, console), **options)


def pretrain(
    config: Config,
    texts: Sequence[str],
    path: Path,
    *,
    name: str = "small",
    objective: pretraining.PretrainingObjective = "two_view",
    samples: int = pretraining.SAMPLES,
    init: Path | None = None,
    command: str = "test",
    resume: bool = False,
    console: Console = QUIET,
) -> Result:
    """`pretrain` likewise."""
    task = pretraining.Task(name, objective, samples)
    request = Request(path, command, resume, console)
    return pretraining.pretrain(config, texts, task, request, init=init)


def lines(path: Path) -> list[str]:
    """The lines of a text file."""
    return path.read_text().splitlines()


def standard_input(content: bytes) -> io.TextIOWrapper:
    """What `sys.stdin` is like when those bytes are piped in."""
    return io.TextIOWrapper(io.BufferedReader(io.BytesIO(content)), "ascii")  # pyright: ignore


def replace_dropout(config: ModelConfig) -> ModelConfig:
    """The same model without dropout."""
    return replace(config, token_dropout=0.0, output_dropout=0.0)
