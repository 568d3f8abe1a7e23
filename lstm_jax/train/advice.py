"""The warnings of a run: what is odd about its data and settings, and about what came out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from lstm_jax.console import say
from lstm_jax.text import Corpus, Examples, WordTokenizer, checks
from lstm_jax.train.calibration import check_calibration
from lstm_jax.train.config import Config


def before_training(
    config: Config,
    corpus: Corpus,
    train: Examples,
    validation: Examples | None,
    tokenizer: WordTokenizer,
    ids: Sequence[NDArray[np.integer]],
    steps: int,
) -> list[str]:
    """What to know of a classifier's data and settings before it is trained; see `text.checks`.

    Args:
        config: the run's settings.
        corpus: all examples; its own warnings come first.
        train, validation: what its training examples were split into.
        tokenizer: made from `train`.
        ids: those of each text of `train`.
        steps: of the whole run.

    Returns:
        A line each.
    """
    others = {"validation": validation, "test": corpus.test}
    unseen = {name: part.texts for name, part in others.items() if part is not None}
    return [
        *corpus.warnings,
        *checks.check_split(corpus, train, validation, config.train.validation_fraction),
        *checks.check_repeats(corpus, train, validation),
        *checks.check_words(tokenizer, unseen),
        *checks.check_lengths(ids, config.text.max_length, config.text.truncate),
        *checks.check_schedule(config.optimizer.warmup_steps, steps),
    ]


def after_training(found: Mapping[str, Any], labels: NDArray[np.integer]) -> list[str]:
    """What to know of a trained classifier, from what validation measured.

    Args:
        found: the validation metrics by name, as `fit` gives them.
        labels: of the validation examples.

    Returns:
        A line each.
    """
    examples, accuracy = found["validation_examples"], found["validation_accuracy"]
    return [
        *checks.check_predictions(found["validation_classes_predicted"], len(np.unique(labels))),
        *check_calibration(examples, accuracy, found["validation_temperature"]),
    ]


def print_warnings(console: Console, warnings: Sequence[str]) -> None:
    """Shows warnings, a line each."""
    for warning in warnings:
        say(console, f"warning: {warning}", "yellow")
