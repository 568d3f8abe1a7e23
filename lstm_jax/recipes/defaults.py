"""The settings of a classifier, chosen from its training data.

What they are for each size and kind of data was chosen on sentences, questions, docstrings, names
and reviews, from 400 to 25,000 of them; dev/LOG.md has the figures.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lstm_jax.data import Corpus
from lstm_jax.models.config import ModelConfig
from lstm_jax.recipes.settings import without_idle
from lstm_jax.text import WordTokenizer, choose_tokenizer
from lstm_jax.train.config import (
    Config,
    OptimizerConfig,
    TextConfig,
    TokenizerName,
    TrainConfig,
)

# Of so many texts the lengths are looked at.
_SAMPLE = 1000
# A byte-pair encoding has as many pieces as there are characters, one more for so many characters
# of text, and so many at most. With more, each is rare, and hides the characters in it: of 3,000
# generated reviews without spaces an LSTM learnt to read 92 of 100 others right with 1,000 pieces,
# and 55 with 4,000 (dev/LOG.md).
_CHARACTERS_OF_A_PIECE, _MOST_PIECES = 1500, 8_000
# Tokens of a text that are read at most, unless a setting says otherwise.
_LONGEST = 500
# Gradient steps that a small set of two classes gets, and the passes at least and at most. Fifty
# classes get 2.2 times as many: with 1,150 steps their loss still fell at the end.
_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS = 1200, 3, 30
_FEWEST_OF_CHARACTERS = 6  # which take a tenth of the time of a review each
# The learning rate rises for so many steps, and at most for a tenth of a run.
_WARMUP_STEPS = 50
_PRETRAINING_STEPS = 2400
# Examples that validation needs to be worth something, and its shares at least and at most.
_VALIDATED, _SMALLEST_PART, _LARGEST_PART = 200, 0.02, 0.2
# Beyond so many weights a linear model takes longer to fit than it is worth.
_MOST_LINEAR_WEIGHTS = 20_000_000


class Chosen(NamedTuple):
    """Settings, and what in the data decided them."""

    config: Config
    reasons: tuple[str, ...]
    """Lines for a person, such as "Reads words and punctuation marks: ..."."""


def choose_settings(
    corpus: Corpus, given: Config, fixed: Collection[str] = (), start: Config | None = None
) -> Chosen:
    """Chooses the settings of a classifier.

    Args:
        corpus: its training examples are looked at.
        given: the name and the seed, and the settings that are not to be chosen.
        fixed: the names of those, such as "train.epochs".
        start: the settings of the run that it starts from, if any: its text and sizes are taken.

    Returns:
        The settings.
    """
    texts = corpus.train.texts
    kind: TokenizerName
    if start is not None:
        kind, reason = start.text.tokenizer, "the run to start from reads them"
    elif "text.tokenizer" in fixed:
        kind, reason = given.text.tokenizer, "the setting says so"
    else:
        kind, reason = choose_tokenizer(texts)
    text = _text(kind, texts) if start is None else start.text
    model = _model(kind, text, len(corpus.class_names))
    if start is not None:
        sizes = ("embedding_size", "hidden_size", "layers", "cell", "direction", "merge")
        model = replace(model, **{name: getattr(start.model, name) for name in sizes})
    train = _train(len(corpus.train), len(corpus.class_names), text)
    chosen = Config(
        name=given.name,
        seed=given.seed,
        text=text,
        model=model,
        optimizer=OptimizerConfig(learning_rate=2e-3, schedule="cosine"),
        train=train,
    ).replaced(fixed, given)
    chosen = without_idle(chosen, fixed)
    if "optimizer.warmup_steps" not in fixed:
        warmup = min(_WARMUP_STEPS, _steps(chosen.train, len(corpus.train)) // 10)
        chosen = replace(chosen, optimizer=replace(chosen.optimizer, warmup_steps=warmup))
    return Chosen(chosen, _reasons(chosen, kind, reason, len(texts)))


def choose_pretraining(config: Config, texts: int) -> Config:
    """Chooses the settings of a pretraining by two views that a classifier starts from.

    Args:
        config: the classifier's, whose words and sizes it has.
        texts: how many it reads.

    Returns:
        The settings.
    """
    batch_size = 32 if texts < 10_000 else 64
    epochs = int(np.clip(round(_PRETRAINING_STEPS * batch_size / texts), 3, 20))
    return Config(
        name="pretrained",
        seed=config.seed,
        text=config.text,
        model=replace(
            config.model,
            token_dropout=0.1,
            ngram_dropout=0.3 if config.text.ngrams else 0.0,
            embedding_dropout=0.25,
            output_dropout=0.2,
            linear=False,
        ),
        optimizer=replace(config.optimizer, warmup_steps=_WARMUP_STEPS),
        train=TrainConfig(
            epochs=epochs,
            batch_size=batch_size,
            buckets=config.train.buckets,
            validation_fraction=0.01 if texts >= 1000 else 0.0,
        ),
    )


def _text(kind: TokenizerName, texts: Sequence[str]) -> TextConfig:
    """What is read of each text."""
    size = 20_000
    if kind in ("bpe", "characters"):
        size = _pieces(texts) if kind == "bpe" else _MOST_PIECES
    sample = texts[:: -(-len(texts) // _SAMPLE)]
    tokenizer = WordTokenizer.train(sample, preset=kind, vocabulary_size=size)
    longest = max(map(len, tokenizer.encode_batch(sample)))
    # A quarter more, because other texts may be longer.
    max_length = int(np.clip(8 * -(-longest * 5 // 32), 16, _LONGEST))
    words = kind in ("punctuation", "keras")
    ngrams = (30_000,) if words else (10_000, 20_000)
    if kind == "characters":
        ngrams = (2_000, 10_000, 20_000, 20_000)
    return TextConfig(
        tokenizer=kind,
        vocabulary_size=size,
        ngrams=ngrams,
        cooccurrence_window=8 if words else 0,
        max_length=max_length,
        truncate="middle",
    )


def _pieces(texts: Sequence[str]) -> int:
    """How many pieces of words a byte-pair encoding is to have, in hundreds."""
    sample = texts[:: -(-len(texts) // (10 * _SAMPLE))]
    characters = sum(map(len, sample)) * len(texts) / len(sample)
    pieces = len(set().union(*sample)) + characters / _CHARACTERS_OF_A_PIECE
    return min(100 * -(-round(pieces) // 100), _MOST_PIECES)


def _model(kind: str, text: TextConfig, classes: int) -> ModelConfig:
    """How large the model is, and how much of it is dropped in training."""
    words = kind in ("punctuation", "keras")
    weights = (text.vocabulary_size + sum(text.ngrams)) * (1 if classes == 2 else classes)
    return ModelConfig(
        embedding_size=100 if words else 64,
        hidden_size=100,
        token_dropout=0.2 if words else 0.0,
        ngram_dropout=0.5,
        embedding_dropout=0.5 if words else 0.2,
        output_dropout=0.5,
        linear=weights <= _MOST_LINEAR_WEIGHTS,
    )


def _train(count: int, classes: int, text: TextConfig) -> TrainConfig:
    """How long it is trained, and on how much at a time."""
    characters = text.tokenizer == "characters"
    batch_size = 32 if count < 50_000 else 64 if count < 200_000 else 128
    steps = _STEPS * (1 + np.log2(max(classes, 2) / 2) / 4)
    fewest = _FEWEST_OF_CHARACTERS if characters else _FEWEST_EPOCHS
    epochs = int(np.clip(round(steps * batch_size / count), fewest, _MOST_EPOCHS))
    part = float(np.clip(_VALIDATED / count, _SMALLEST_PART, _LARGEST_PART))
    return TrainConfig(
        epochs=epochs,
        patience=max(3, epochs // 4),
        batch_size=batch_size,
        buckets=2 if text.max_length < 64 else 4,
        validation_fraction=round(part, 3),
        ema_decay=0.99,
        adversarial=0.0 if characters else 0.3,
    )


def _steps(train: TrainConfig, count: int) -> int:
    """About how many gradient steps that many examples get."""
    trained = round(count * (1 - train.validation_fraction))
    return train.epochs * -(-trained // train.batch_size)


def _reasons(config: Config, kind: str, reason: str, count: int) -> tuple[str, ...]:
    """What was chosen, and why, in sentences."""
    tokens = {
        "punctuation": "words and punctuation marks",
        "keras": "words",
        "characters": "characters",
        "bpe": "pieces of words",
    }[kind]
    text, train, longest = config.text, config.train, len(config.text.ngrams) + 1
    ngrams = {1: "", 2: ", and pairs of them"}.get(
        longest, f", and up to {longest} of them in a row"
    )
    patience = f", until {train.patience} bring no lower validation loss" if train.patience else ""
    chosen = [
        f"Reads {tokens}{ngrams}: {reason}",
        f"Reads at most {text.max_length:,} {tokens.split()[0]} of a text",
        f"Trains for at most {train.epochs} epochs with batches of {train.batch_size}{patience}",
    ]
    if train.validation_fraction > 0:
        part = f"{train.validation_fraction:.1%} of {count:,} examples"
        chosen.insert(2, f"Sets {part} aside for validation")
    if config.model.linear:
        chosen.append(f"Adds a linear model of {tokens}{ngrams}")
    return tuple(chosen)
