"""The warnings of a run: what is odd about its data and settings, and about what came out."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from lstm_jax.console import say
from lstm_jax.data import Corpus, Examples, checks
from lstm_jax.data.description import Repeats
from lstm_jax.text import WordTokenizer
from lstm_jax.train.calibration import check_calibration
from lstm_jax.train.config import Config
from lstm_jax.train.result import Numbers


def before_training(
    config: Config,
    corpus: Corpus,
    parts: Mapping[str, Examples | None],
    tokenizer: WordTokenizer,
    ids: Sequence[NDArray[np.integer]],
    steps: int,
    repeats: Repeats | None = None,
) -> list[str]:
    """What to know of a classifier's data and settings before it is trained; see `text.checks`.

    Args:
        config: the run's settings.
        corpus: all examples; its own warnings come first.
        parts: the examples to train on, "train", and those of "validation" and "test", if any.
        tokenizer: made from the training part.
        ids: those of each text of the training part.
        steps: of the whole run.
        repeats: what `describe` found; by default test texts that are nearly training texts are
            looked for where that takes two seconds.

    Returns:
        A line each.
    """
    train, validation = parts["train"], parts["validation"]
    assert train is not None
    unseen = {name: parts[name] for name in ("validation", "test")}
    unseen = {name: part.texts for name, part in unseen.items() if part is not None}
    near = (repeats.near, repeats.compared) if repeats else checks.find_near(corpus)
    return [
        *corpus.warnings,
        *checks.check_split(corpus, train, validation, config.train.validation_fraction),
        *checks.check_repeats(corpus, train, validation),
        *checks.check_near(*near),
        *checks.check_words(tokenizer, unseen),
        *checks.check_lengths(ids, config.text.max_length, config.text.truncate),
        *checks.check_schedule(config.optimizer.warmup_steps, steps),
    ]


def after_training(found: Mapping[str, float], labels: NDArray[np.integer]) -> list[str]:
    """What to know of a trained classifier, from what validation measured.

    Args:
        found: the validation metrics by name, as `fit` gives them.
        labels: of the validation examples.

    Returns:
        A line each.
    """
    return [
        *checks.check_predictions(int(found["classes_predicted"]), len(np.unique(labels))),
        *check_calibration(int(found["examples"]), found["accuracy"], found["temperature"]),
    ]


def about_members(members: Mapping[str, Numbers]) -> list[str]:
    """What the LSTM and the linear model beside it are each worth.

    Args:
        members: `Outcome.members`.

    Returns:
        A sentence, or none where there are not two.
    """
    if not members:
        return []
    lstm, linear = (members[name]["accuracy"] or 0.0 for name in ("lstm", "linear"))
    sentence = (
        f"On the validation texts the LSTM alone has {lstm:.1%}, the linear model {linear:.1%}"
    )
    if linear > lstm:
        sentence += ": word counts tell more here than word order, and the sum of both predicts"
    return [sentence]


def print_warnings(console: Console, warnings: Sequence[str]) -> None:
    """Shows warnings, a line each."""
    for warning in warnings:
        say(console, f"warning: {warning}", "yellow")
