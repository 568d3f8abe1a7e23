"""Training on texts without labels, for classifiers to start from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lstm_jax.console import doing
from lstm_jax.data import (
    Dataset,
    checks,
    evaluation_batches,
    split_validation,
    training_batches,
)
from lstm_jax.models.language_model import LanguageModel
from lstm_jax.models.two_view import BagOfNGrams, TwoViewModel
from lstm_jax.recipes.advice import print_warnings
from lstm_jax.recipes.settings import (
    SAMPLES,
    PretrainingObjective,
    check_pretraining,
    check_start,
)
from lstm_jax.recipes.supervised import initial_parameters
from lstm_jax.recipes.vocabulary import make_ngrams, make_tokenizer
from lstm_jax.text import UNKNOWN, encode_once
from lstm_jax.train.batching import evaluation_batching, training_batching
from lstm_jax.train.config import Config
from lstm_jax.train.evaluation import PretrainingEvaluator
from lstm_jax.train.inputs import checksum_of, inputs_of_runs
from lstm_jax.train.loop import check_fit, fit
from lstm_jax.train.losses import NextWord, TwoView
from lstm_jax.train.open_run import OpenRun, Request, open_run
from lstm_jax.train.result import Outcome, Result
from lstm_jax.train.run_folder import RunFolder, finished_run


@dataclass(frozen=True)
class Task:
    """What is learnt from texts.

    Attributes:
        name: what the texts are called in the run's records.
        objective: what a model learns to predict: the bag of n-grams of a text's other view
            (`lstm_jax.models.two_view`), or the next word (`lstm_jax.models.language_model`).
        samples: the words drawn for each batch, of "next_word".
    """

    name: str
    objective: PretrainingObjective = "two_view"
    samples: int = SAMPLES


def pretrain(
    config: Config,
    texts: Sequence[str],
    task: Task,
    request: Request,
    *,
    init: Path | None = None,
) -> Result:
    """Trains a model of texts, for classifiers to start from.

    Args:
        config: the run's settings; those that are about labels must be the defaults.
        texts: what it reads. A part, `train.validation_fraction`, only measures it.
        task: what it learns.
        request: the run's folder, made here.
        init: the folder of a finished run whose tokenizer, embeddings and LSTMs, and n-grams if it
            has any, this one starts from; the text settings that made them must be the same.

    Returns:
        The result; its validation loss is in nats, of a view or of a word.

    Raises:
        ValueError: as `lstm_jax.recipes.supervised.supervised`, or if there are no texts or
            samples.
        FloatingPointError: if the loss is not finite.
    """
    if not texts:
        raise ValueError("texts must not be empty")
    if task.samples < 1:
        raise ValueError(f"samples must be at least 1, got {task.samples}")
    source = finished_run(init)
    check_pretraining(config, task.objective, task.samples)
    if source is not None:
        check_start(config.text, source)
    inputs = {"texts": checksum_of(texts), "objective": task.objective}
    inputs |= inputs_of_runs(init=[source] if source else [])
    if task.objective == "next_word":
        inputs["samples"] = str(task.samples)
    with open_run(config, inputs, request) as run:
        if run.result is not None:
            return run.result
        return _pretrain(run, texts, source, task)


def _pretrain(run: OpenRun, texts: Sequence[str], source: RunFolder | None, task: Task) -> Result:
    """Trains; the folder is claimed as soon as all that comes before is done."""
    config, console, devices = run.config, run.console, run.shardings.devices
    kept, validation = list(texts), []
    # Nothing is cut off: a text longer than a row becomes several. A row of two views has twice
    # the length that a classifier reads.
    size = config.text.max_length * (2 if task.objective == "two_view" else 1)
    rows = replace(config, text=replace(config.text, max_length=size))
    if config.train.validation_fraction > 0:
        parts = split_validation(np.zeros(len(texts), np.int32), *config.validation_part)
        kept, validation = ([texts[int(row)] for row in part] for part in parts)
    with doing(console, f"tokenizing {len(kept):,} texts"):
        tokenizer = make_tokenizer(run, source, kept)
        chunks = cut_into_chunks(encode_once(tokenizer, kept), size)
    vocabulary_size, ngrams = tokenizer.vocabulary_size, None
    if task.objective == "two_view":
        with doing(console, "counting words and n-grams"):
            ngrams = make_ngrams(run, source, chunks, tokenizer)
            bag = BagOfNGrams.count(chunks, vocabulary_size, ngrams)
        loss = TwoView(TwoViewModel(config.model, bag))
    else:
        ngrams = source.load_ngrams() if source is not None else None
        loss = NextWord(LanguageModel(config.model, vocabulary_size), task.samples)
    evaluate = None
    if validation:
        held_out = cut_into_chunks(encode_once(tokenizer, validation), size)
        if not any((ids > UNKNOWN).any() for ids in held_out):
            raise ValueError(
                "the validation part must have a word of the vocabulary to be measured, got"
                f" {len(validation)} texts without; --train.validation-fraction 0 trains"
                " without one"
            )
        once = evaluation_batches(Dataset(held_out), evaluation_batching(rows, devices))
        evaluate = PretrainingEvaluator(loss, once)
    batches = training_batches(Dataset(chunks), training_batching(rows, devices), seed=config.seed)
    start = initial_parameters(run, source, (chunks, []), tokenizer)
    steps = check_fit(config, loss, batches, evaluate=evaluate, start=start)
    warnings = [
        *checks.check_words(tokenizer, {"validation": validation}),
        *checks.check_schedule(config.optimizer.warmup_steps, steps),
    ]
    print_warnings(console, warnings)
    examples = {"train": len(kept), "validation": len(validation)}
    run.claim(tokenizer, ngrams, name=task.name, class_names=(), examples=examples)
    fitted = fit(run, loss, batches, evaluate=evaluate, start=start)
    outcome = Outcome(
        task.name,
        fitted.steps,
        fitted.best_step,
        warnings,
        dict(fitted.validation),
        objective=task.objective,
    )
    return run.finish(fitted.params, outcome)


def cut_into_chunks(sequences: Sequence[NDArray[np.int32]], size: int) -> list[NDArray[np.int32]]:
    """Each sequence cut into chunks of at most `size` ids; nothing is left out."""
    return [ids[at : at + size] for ids in sequences for at in range(0, len(ids), size)]
