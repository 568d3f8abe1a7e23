"""Training a classifier from beginning to end: texts in, a run's folder out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from lstm_jax.classifier import TextClassifier
from lstm_jax.console import doing, say
from lstm_jax.shapes import Params
from lstm_jax.text import (
    UNLABELLED,
    Corpus,
    Examples,
    encode_once,
    split_validation,
)
from lstm_jax.train.advice import after_training, before_training, print_warnings
from lstm_jax.train.batching import batches_to_measure, batches_to_train
from lstm_jax.train.calibration import calibrate
from lstm_jax.train.checkpoints import load_encoder
from lstm_jax.train.config import Config
from lstm_jax.train.fit import fit
from lstm_jax.train.folder import RunFolder, finished_run
from lstm_jax.train.inputs import inputs_of
from lstm_jax.train.metrics import compute_metrics
from lstm_jax.train.objective import Classification
from lstm_jax.train.open_run import OpenRun, open_run
from lstm_jax.train.optimizer import make_optimizer
from lstm_jax.train.prediction import predict_logits
from lstm_jax.train.settings import check_start, check_training
from lstm_jax.train.start import make_phrases, make_tokenizer, vectors_from_counts
from lstm_jax.train.step import all_devices, check_state


def train(
    config: Config,
    corpus: Corpus,
    path: Path,
    *,
    command: str,
    init: Path | None = None,
    teacher: Callable[[Corpus, tuple[float, int]], Corpus] | None = None,
    inputs: Mapping[str, str] | None = None,
    apart: Mapping[str, NDArray[np.bool_]] | None = None,
    resume: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Trains a classifier and measures it once on the test examples.

    Args:
        config: the run's settings.
        corpus: the texts; a part of `train` is set aside for validation.
        path: the run's folder, made here once data, split and model are known to work.
        command: what the user typed, for the record.
        init: the folder of a finished run, of `pretrain` or a classifier, whose tokenizer, phrases,
            words and LSTMs this one starts from; the text settings that made them must be the same.
        teacher: says what to learn, in the place of labels, of the texts that have none: given the
            corpus and which part of it is for validation, gives the corpus with `taught`. Its time
            counts as the run's.
        inputs: checksums of what decides the run and is not in the other arguments, by name: the
            runs that `teacher` asks.
        apart: parts of the test examples, [N] true for those in it, by the names under which their
            accuracy stands in the result too: `test_accuracy_NAME`.
        resume: go on with the run in the folder, if there is one; a finished one is left as it is,
            unless `config` has more epochs.
        console: where progress is shown; standard output by default.

    Returns:
        What result.json holds.

    Raises:
        ValueError: if the folder holds a run and `resume` is false, or the run in it has other
            settings or data, or another process trains in it; or if a setting would change nothing,
            or contradict that of `init`.
        FloatingPointError: if the loss is not finite.
    """
    console, source = console or Console(), finished_run(init)
    check_training(config, len(corpus.unlabelled))
    if source is not None:
        check_start(config.text, source)
    inputs = {**inputs_of(config, corpus, source), **(inputs or {})}
    with open_run(config, path, inputs, command=command, resume=resume) as run:
        if run.result is not None:
            say(console, f"{path} is finished; nothing to do")
            return run.result
        if teacher is not None:
            corpus = teacher(corpus, run.config.validation_part)
        return _train(run, corpus, source, apart or {}, console)


def _train(
    run: OpenRun,
    corpus: Corpus,
    source: RunFolder | None,
    apart: Mapping[str, NDArray[np.bool_]],
    console: Console,
) -> dict[str, Any]:
    """Trains and measures; the folder is claimed as soon as all that comes before is done."""
    config = run.config
    examples, validation = corpus.train, None
    if config.train.validation_fraction > 0:
        kept, held_out = split_validation(corpus.train.labels, *config.validation_part)
        examples, validation = corpus.train.take(kept), corpus.train.take(held_out)
    # The vocabulary comes from the training part alone.
    rows = _some(len(corpus.unlabelled), config)
    with doing(console, f"tokenizing {len(examples) + len(rows):,} texts"):
        tokenizer = make_tokenizer(run.folder, source, examples.texts, config.text)
        ids = encode_once(tokenizer, examples.texts)
        phrases = make_phrases(run.folder, source, ids, tokenizer, config.text)
        more = encode_once(tokenizer, [corpus.unlabelled[row] for row in rows])
    placement = all_devices()
    size, classes = tokenizer.vocabulary_size, len(corpus.class_names)
    model = TextClassifier(config.model, size, classes, phrases)
    weights = np.ones(len(examples))
    if config.train.class_weights == "balanced":
        weights = _balanced(examples.labels)
    taught = None
    if corpus.taught is not None:
        taught = np.zeros((len(ids) + len(more), classes), np.float32)
        taught[len(ids) :] = corpus.taught[rows]
        taught = taught[:, -model.outputs :]  # of two classes, that of class 1
    batches = batches_to_train(
        config,
        [*ids, *more],
        np.concatenate([examples.labels, np.full(len(more), UNLABELLED)]),
        devices=placement.devices,
        weights=np.concatenate([weights, np.ones(len(more))]),
        taught=taught,
    )

    def predict(params: Params, examples: Examples) -> NDArray[np.float32]:
        ids = encode_once(tokenizer, examples.texts)
        once = batches_to_measure(config, ids, examples.labels, devices=placement.devices)
        return predict_logits(model, params, once, placement)

    def measure(params: Params) -> dict[str, float]:
        assert validation is not None
        logits = predict(params, validation)
        temperature = calibrate(logits, validation.labels)
        measured = compute_metrics(logits / temperature, validation.labels)
        predicted = int(np.any(measured.confusion, axis=0).sum())
        return {
            "temperature": temperature,
            "classes_predicted": predicted,
            **measured.as_dict(),
        }

    start = None if source is None else load_encoder(source.weights)
    if source is None and config.text.window > 0:
        with doing(console, "counting which words stand near each other"):
            near = [*ids, *encode_once(tokenizer, corpus.unlabelled)]
            start = vectors_from_counts(config, near, size)
    objective = Classification(model, config.train.label_smoothing, config.train.adversarial)
    steps = config.train.epochs * batches.batches_per_epoch
    optimizer = make_optimizer(config.optimizer, steps)
    check_state(
        objective,
        optimizer,
        keep_ema=config.train.ema_decay > 0,
        keep_best=validation is not None,
        start=start,
    )
    with doing(console, "checking the texts"):
        warnings = before_training(config, corpus, examples, validation, tokenizer, ids, steps)
    print_warnings(console, warnings)
    parts = {"train": examples, "validation": validation, "test": corpus.test}
    run.claim(
        tokenizer,
        phrases,
        name=corpus.name,
        class_names=corpus.class_names,
        examples={name: len(part) for name, part in parts.items() if part},
    )
    params, found = fit(
        objective,
        optimizer,
        batches,
        config,
        None if validation is None else measure,
        folder=run.folder,
        console=console,
        clock=run.clock,
        placement=placement,
        start=start,
    )
    result: dict[str, Any] = {"data": corpus.name, "warnings": warnings, **found}
    if validation is not None:
        seen = after_training(found, validation.labels)
        print_warnings(console, seen)
        warnings += seen
    temperature = found.get("validation_temperature")
    if corpus.test is not None:  # the one look at the test examples
        with doing(console, f"measuring {len(corpus.test):,} test examples"):
            logits = predict(params, corpus.test)
        measured = compute_metrics(logits / (temperature or 1.0), corpus.test.labels)
        result |= measured.as_dict("test_")
        result["test_confusion"] = measured.confusion
        for name, chosen in apart.items():
            result[f"test_examples_{name}"] = int(chosen.sum())
            if chosen.any():
                some = compute_metrics(logits[chosen], corpus.test.labels[chosen])
                result[f"test_accuracy_{name}"] = some.accuracy
        uncalibrated = compute_metrics(logits, corpus.test.labels)
        result["test_calibration_error_unscaled"] = uncalibrated.calibration_error
    return run.finish(params, result, temperature=temperature)


def _some(texts: int, config: Config) -> NDArray[np.integer]:
    """Row numbers of as many of the texts as the configuration asks for, drawn by its seed."""
    return np.random.default_rng(config.seed).permutation(texts)[: config.train.unlabelled]


def _balanced(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """The weight of each example that makes the classes count alike; 1 on average."""
    counts = np.bincount(labels)
    return len(labels) / ((counts > 0).sum() * counts[labels])
