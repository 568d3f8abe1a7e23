"""Training a classifier from beginning to end: texts in, a run's folder out."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from lstm_jax.classifier import TextClassifier
from lstm_jax.machine import environment
from lstm_jax.shapes import Params
from lstm_jax.text import (
    BatchIterator,
    Corpus,
    Examples,
    WordTokenizer,
    encode_once,
    evaluation_batches,
    split_validation,
    training_batches,
)
from lstm_jax.train.checkpoints import load_encoder, save_weights
from lstm_jax.train.config import Config
from lstm_jax.train.fit import Clock, fit
from lstm_jax.train.folder import RunFolder, write_json
from lstm_jax.train.metrics import compute_metrics, fit_temperature
from lstm_jax.train.objective import Classification
from lstm_jax.train.optimizer import make_optimizer
from lstm_jax.train.prediction import predict_logits
from lstm_jax.train.report import draw_curves
from lstm_jax.train.step import Placement, all_devices


class _Task(NamedTuple):
    """All of a run that does not change while it is trained."""

    config: Config
    placement: Placement
    tokenizer: WordTokenizer
    batches: BatchIterator
    validation: Examples | None
    model: TextClassifier

    def predict(self, params: Params, examples: Examples) -> NDArray[np.float32]:
        """The logits of each example."""
        batches = evaluation_batches(
            encode_once(self.tokenizer, examples.texts),
            examples.labels,
            batch_size=2 * self.config.train.batch_size,  # no backward pass: room for more
            padding=self.config.text.padding,
            buckets=self.config.train.buckets,
            row_multiple=self.placement.devices,
        )
        return predict_logits(self.model, params, batches, self.placement)


def train(
    config: Config,
    corpus: Corpus,
    path: Path,
    *,
    command: str,
    init: Path | None = None,
    resume: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Trains a classifier and measures it once on the test examples.

    Args:
        config: the run's settings.
        corpus: the texts; a part of `train` is set aside for validation.
        path: the run's folder, made here.
        command: what the user typed, for the record.
        init: the folder of a finished run, of a language model or a classifier, whose tokenizer
            and words and LSTMs this one starts from.
        resume: go on with the run in the folder, if there is one; a finished one is left as it is.
        console: where progress is shown; standard output by default.

    Returns:
        What result.json holds.

    Raises:
        ValueError: if the folder holds a run and `resume` is false, or the run in it has other
            settings or data.
        FloatingPointError: if the loss is not finite.
    """
    console, clock, folder = console or Console(), Clock(), RunFolder(path)
    folder.claim(config, resume=resume)
    if folder.result.exists():
        console.print(f"{folder.path} is finished; nothing to do")
        return json.loads(folder.result.read_text())
    start = None
    if init is not None:
        source = RunFolder(init)
        if not source.weights.exists():
            raise ValueError(f"init must be the folder of a finished run; {init} has no weights")
        start = load_encoder(source.weights)
        folder.save_tokenizer(WordTokenizer.load(source.tokenizer))
    task = _prepare(config, corpus, folder)

    def measure(params: Params) -> dict[str, float]:
        assert task.validation is not None
        logits = task.predict(params, task.validation)
        return compute_metrics(logits, task.validation.labels).as_dict()

    steps = config.train.epochs * task.batches.batches_per_epoch
    params, best = fit(
        Classification(task.model, config.train.label_smoothing, config.train.adversarial),
        make_optimizer(config.optimizer, steps),
        task.batches,
        config.train,
        None if task.validation is None else measure,
        seed=config.seed,
        folder=folder,
        console=console,
        clock=clock,
        placement=task.placement,
        start=start,
    )
    save_weights(folder.weights, params)
    draw_curves(folder.metrics, folder.curves)
    result = {"name": config.name, "data": corpus.name, "seed": config.seed, **best}
    if task.validation is not None:
        logits = task.predict(params, task.validation)
        result["temperature"] = fit_temperature(logits, task.validation.labels)
        write_json(folder.calibration, {"temperature": result["temperature"]})
    if corpus.test is not None:  # the one look at the test examples
        logits = task.predict(params, corpus.test)
        measured = compute_metrics(logits / folder.temperature(), corpus.test.labels)
        result |= measured.as_dict("test_")
        result["test_confusion"] = measured.confusion
        uncalibrated = compute_metrics(logits, corpus.test.labels)
        result["test_calibration_error_unscaled"] = uncalibrated.calibration_error
    result |= {
        "steps": steps,
        "minutes": clock.seconds() / 60,
        "parameters": sum(array.size for array in jax.tree.leaves(params)),
        "command": command,
        **environment(),
    }
    write_json(folder.result, result)
    return result


def _prepare(config: Config, corpus: Corpus, folder: RunFolder) -> _Task:
    """Splits and tokenizes; the vocabulary comes from the training part alone."""
    examples, validation = corpus.train, None
    if config.train.validation_fraction > 0:
        kept, held_out = split_validation(
            corpus.train.labels, config.train.validation_fraction, config.seed
        )
        examples, validation = corpus.train.take(kept), corpus.train.take(held_out)
    tokenizer = folder.make_tokenizer(examples.texts, config.text)
    parts = {"train": examples, "validation": validation, "test": corpus.test}
    sizes = {name: len(part) for name, part in parts.items() if part}
    folder.describe_data(corpus.name, corpus.class_names, sizes)
    placement = all_devices()
    batches = training_batches(
        encode_once(tokenizer, examples.texts),
        examples.labels,
        batch_size=config.train.batch_size,
        padding=config.text.padding,
        buckets=config.train.buckets,
        seed=config.seed,
        row_multiple=placement.devices,
        weights=_balanced(examples.labels) if config.train.class_weights == "balanced" else None,
    )
    model = TextClassifier(config.model, tokenizer.vocabulary_size, len(corpus.class_names))
    return _Task(config, placement, tokenizer, batches, validation, model)


def _balanced(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """The weight of each example that makes the classes count alike; 1 on average."""
    counts = np.bincount(labels)
    return len(labels) / ((counts > 0).sum() * counts[labels])
