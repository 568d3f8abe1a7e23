"""Learning from texts that have no labels, before a classifier does from those that have."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from lstm_jax.console import doing, say
from lstm_jax.text import UNKNOWN, checks, encode_once, split_validation
from lstm_jax.train.advice import print_warnings
from lstm_jax.train.batching import batches_to_measure, batches_to_train
from lstm_jax.train.checkpoints import load_encoder
from lstm_jax.train.config import Config
from lstm_jax.train.fit import fit
from lstm_jax.train.folder import RunFolder, finished_run
from lstm_jax.train.halves import HalfModel, Halves, Targets, mean_half_loss
from lstm_jax.train.inputs import checksum_of, inputs_of_runs
from lstm_jax.train.language_model import LanguageModel, Prediction, mean_word_loss
from lstm_jax.train.objective import Objective
from lstm_jax.train.open_run import OpenRun, open_run
from lstm_jax.train.optimizer import make_optimizer
from lstm_jax.train.settings import SAMPLES, Predicted, check_pretraining, check_start
from lstm_jax.train.start import make_phrases, make_tokenizer, vectors_from_counts
from lstm_jax.train.step import all_devices, check_state


def pretrain(
    config: Config,
    texts: Sequence[str],
    path: Path,
    *,
    name: str,
    predict: Predicted = "halves",
    samples: int = SAMPLES,
    init: Path | None = None,
    command: str,
    resume: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Trains a model of texts, for classifiers to start from.

    Args:
        config: the run's settings; those that are about labels must be the defaults.
        texts: what it reads. A part, `train.validation_fraction`, only measures it.
        path: the run's folder, made here.
        name: what the texts are called in the run's records.
        predict: what it learns to predict: the words of a text's other half
            (`lstm_jax.train.halves`), or the next word (`lstm_jax.train.language_model`).
        samples: the words drawn for each batch, of `next_words`.
        init: the folder of a finished run whose tokenizer, words and LSTMs, and phrases if it has
            any, this one starts from; the text settings that made them must be the same.
        command: what the user typed, for the record.
        resume: go on with the run in the folder, if there is one.
        console: where progress is shown; standard output by default.

    Returns:
        What result.json holds; `validation_loss` is in nats, of a half or of a word.

    Raises:
        ValueError: as `lstm_jax.train.loop.train`, or if there are no texts or samples.
        FloatingPointError: if the loss is not finite.
    """
    if not texts:
        raise ValueError("texts must not be empty")
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    console, source = console or Console(), finished_run(init)
    check_pretraining(config, predict, samples)
    if source is not None:
        check_start(config.text, source)
    inputs = {"texts": checksum_of(texts), "predict": predict}
    inputs |= inputs_of_runs(init=[source] if source else [])
    if predict == "next_words":
        inputs["samples"] = str(samples)
    with open_run(config, path, inputs, command=command, resume=resume) as run:
        if run.result is not None:
            say(console, f"{path} is finished; nothing to do")
            return run.result
        return _pretrain(run, texts, source, Task(name, predict, samples), console)


@dataclass(frozen=True)
class Task:
    """What is learnt.

    Attributes:
        data: what the texts are called.
        predict, samples: as for `pretrain`.
    """

    data: str
    predict: Predicted
    samples: int


def _pretrain(
    run: OpenRun, texts: Sequence[str], source: RunFolder | None, task: Task, console: Console
) -> dict[str, Any]:
    """Trains; the folder is claimed as soon as all that comes before is done."""
    config, kept, validation = run.config, list(texts), []
    # Nothing is cut off: a text longer than a row becomes several. A row of two halves has twice
    # the length that a classifier reads.
    size = config.text.max_length * (2 if task.predict == "halves" else 1)
    rows = replace(config, text=replace(config.text, max_length=size))
    if config.train.validation_fraction > 0:
        parts = split_validation(np.zeros(len(texts), np.int32), *config.validation_part)
        kept, validation = ([texts[int(row)] for row in part] for part in parts)
    with doing(console, f"tokenizing {len(kept):,} texts"):
        tokenizer = make_tokenizer(run.folder, source, kept, config.text)
        to_read = in_pieces(encode_once(tokenizer, kept), size)
    placement, vocabulary_size = all_devices(), tokenizer.vocabulary_size
    phrases = None
    objective: Objective
    if task.predict == "halves":
        with doing(console, "counting words and phrases"):
            phrases = make_phrases(run.folder, source, to_read, tokenizer, config.text)
            targets = Targets.count(to_read, vocabulary_size, phrases)
        objective = Halves(HalfModel(config.model, targets))
        measure = partial(mean_half_loss, objective)
    else:
        phrases = source.load_phrases() if source is not None else None
        model = LanguageModel(config.model, vocabulary_size)
        objective = Prediction(model, task.samples)
        measure = partial(mean_word_loss, model)
    if validation:
        once = in_pieces(encode_once(tokenizer, validation), size)
        if not any((ids > UNKNOWN).any() for ids in once):
            raise ValueError(
                "the validation part must have a word of the vocabulary to be measured, got"
                f" {len(validation)} texts without; --train.validation-fraction 0 trains"
                " without one"
            )
        measure = partial(measure, batches_to_measure(rows, once, None, devices=placement.devices))
    batches = batches_to_train(
        rows, to_read, np.zeros(len(to_read), np.int32), devices=placement.devices
    )
    start = None if source is None else load_encoder(source.weights)
    if source is None and config.text.window > 0:
        with doing(console, "counting which words stand near each other"):
            start = vectors_from_counts(config, to_read, vocabulary_size)
    steps = config.train.epochs * batches.batches_per_epoch
    optimizer = make_optimizer(config.optimizer, steps)
    check_state(
        objective,
        optimizer,
        keep_ema=config.train.ema_decay > 0,
        keep_best=len(validation) > 0,
        start=start,
    )
    warnings = [
        *checks.check_words(tokenizer, {"validation": validation}),
        *checks.check_schedule(config.optimizer.warmup_steps, steps),
    ]
    print_warnings(console, warnings)
    examples = {"train": len(kept), "validation": len(validation)}
    run.claim(tokenizer, phrases, name=task.data, class_names=(), examples=examples)
    params, found = fit(
        objective,
        optimizer,
        batches,
        config,
        measure if validation else None,
        folder=run.folder,
        console=console,
        clock=run.clock,
        placement=placement,
        start=start,
    )
    return run.finish(
        params, {"data": task.data, "warnings": warnings, "predicts": task.predict, **found}
    )


def in_pieces(sequences: Sequence[NDArray[np.int32]], size: int) -> list[NDArray[np.int32]]:
    """Each sequence cut into pieces of at most `size` ids; nothing is left out."""
    return [ids[at : at + size] for ids in sequences for at in range(0, len(ids), size)]
