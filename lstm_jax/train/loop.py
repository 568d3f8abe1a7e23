"""Training from beginning to end: the only place where steps, data and files meet."""

import importlib.metadata
import json
import math
import os
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from lstm_jax.classifier import TextClassifier
from lstm_jax.shapes import Params
from lstm_jax.text import (
    BatchIterator,
    BatchSource,
    Corpus,
    Examples,
    WordTokenizer,
    evaluation_batches,
    split_validation,
    training_batches,
)
from lstm_jax.train.checkpoints import Checkpoints, save_weights
from lstm_jax.train.config import Config
from lstm_jax.train.folder import RunFolder, write_json
from lstm_jax.train.metrics import Metrics, compute_metrics
from lstm_jax.train.optimizer import make_optimizer
from lstm_jax.train.prediction import predict_logits
from lstm_jax.train.report import Report, draw_curves, parameter_table
from lstm_jax.train.step import (
    Placement,
    TrainState,
    all_devices,
    init_state,
    train_step,
    zero_totals,
)


class _Data(NamedTuple):
    """A corpus, tokenized and split."""

    tokenizer: WordTokenizer
    train: BatchIterator
    validation: BatchSource | None
    validation_labels: NDArray[np.int32]


class _Clock:
    """Seconds of a run, those before an interruption included."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def set(self, seconds: float) -> None:
        self._start = time.monotonic() - seconds

    def seconds(self) -> float:
        return time.monotonic() - self._start


def train(
    config: Config,
    corpus: Corpus,
    path: Path,
    *,
    command: str,
    resume: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Trains a classifier and measures it once on the test examples.

    Args:
        config: the run's settings.
        corpus: the texts; a part of `train` is set aside for validation.
        path: the run's folder, made here.
        command: what the user typed, for the record.
        resume: go on with the run in the folder, if there is one; a finished one is left as it is.
        console: where progress is shown; standard output by default.

    Returns:
        What result.json holds.

    Raises:
        ValueError: if the folder holds a run and `resume` is false, or the run in it has other
            settings or data.
        FloatingPointError: if the loss is not finite.
    """
    console, clock = console or Console(), _Clock()
    folder = RunFolder(path)
    folder.claim(config, resume=resume)
    if folder.result.exists():
        console.print(f"{folder.path} is finished; nothing to do")
        return json.loads(folder.result.read_text())
    placement = all_devices()
    data = _prepare(config, corpus, folder, placement)
    steps = config.train.epochs * data.train.batches_per_epoch
    model = TextClassifier(config.model, data.tokenizer.vocabulary_size, len(corpus.class_names))
    optimizer = make_optimizer(config.optimizer, steps)
    state = init_state(
        model,
        optimizer,
        config.seed,
        keep_ema=config.train.ema_decay > 0,
        keep_best=data.validation is not None,
    )
    state = jax.device_put(state, placement.replicated)
    best: dict[str, Any] = {}

    with Checkpoints(folder.checkpoints, config.train.keep_checkpoints) as checkpoints:
        if checkpoints.latest_step is not None:
            state, progress = checkpoints.restore(state)
            data.train.set_state(progress["batches"])
            clock.set(progress["seconds"])
            best = progress["best"]
            console.print(f"resumed after step {int(state.step)} of {steps}")
        else:
            console.print(parameter_table(state.params))
        step = int(state.step)
        with Report(folder.path, console, step=step, steps=steps) as report:
            epoch_start, epoch_start_step = clock.seconds(), step
            while step < steps:
                batch = jax.device_put(next(data.train), placement.by_row)
                state, of_step = train_step(
                    model, optimizer, config.train.ema_decay, state, batch
                )
                step += 1
                if step % config.train.log_every == 0:
                    report.training(step, **_finite(of_step, step, folder))
                epoch, rest = divmod(step, data.train.batches_per_epoch)
                if rest == 0:
                    record = {"step": step, "epoch": epoch, **_train_metrics(state)}
                    if data.validation is not None:
                        measured = _evaluate(model, state.evaluated, data, placement)
                        record |= measured.as_dict("validation_")
                        if not best or measured.accuracy > best["validation_accuracy"]:
                            best = {"step": step, **measured.as_dict("validation_")}
                            state = state._replace(
                                best=jax.tree.map(jax.numpy.copy, state.evaluated)
                            )
                    elapsed, done = clock.seconds() - epoch_start, step - epoch_start_step
                    record["examples_per_second"] = done * config.train.batch_size / elapsed
                    record["seconds"] = clock.seconds()
                    report.epoch(record)
                    state = state._replace(
                        totals=jax.device_put(zero_totals(), placement.replicated)
                    )
                    epoch_start, epoch_start_step = clock.seconds(), step
                if rest == 0 or step % config.train.checkpoint_every == 0:
                    progress = {
                        "batches": data.train.get_state(),
                        "seconds": clock.seconds(),
                        "best": best,
                    }
                    checkpoints.save(state, progress)
    data.train.close()

    params = state.evaluated if state.best is None else state.best
    save_weights(folder.weights, params)
    draw_curves(folder.metrics, folder.curves)
    result = {
        "name": config.name,
        "data": corpus.name,
        "seed": config.seed,
        **best,
        **_test_metrics(config, model, params, data.tokenizer, corpus.test, placement),
        "steps": steps,
        "minutes": clock.seconds() / 60,
        "parameters": sum(array.size for array in jax.tree.leaves(params)),
        "command": command,
        **environment(),
    }
    write_json(folder.result, result)
    return result


def environment() -> dict[str, Any]:
    """On what a result was obtained: processor, devices and versions."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tokenizers")
    return {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "devices": [device.device_kind for device in jax.devices()],
        },
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def _processor() -> str:
    """The processor's name, with family and model where the name alone is vague."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor() or platform.machine()
    lines = information.read_text().split("\n\n")[0].splitlines()
    entries = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
    known = [f"{key} {entries[key]}" for key in ("cpu family", "model") if key in entries]
    return ", ".join([entries.get("model name", platform.machine()), *known])


def _prepare(config: Config, corpus: Corpus, folder: RunFolder, placement: Placement) -> _Data:
    """Splits and tokenizes; the vocabulary comes from the training part alone."""
    examples, validation = corpus.train, None
    if config.train.validation_fraction > 0:
        kept, held_out = split_validation(
            corpus.train.labels, config.train.validation_fraction, config.seed
        )
        examples, validation = corpus.train.take(kept), corpus.train.take(held_out)
    if folder.tokenizer.exists():
        tokenizer = WordTokenizer.load(folder.tokenizer)
    else:
        tokenizer = WordTokenizer.train(
            examples.texts,
            preset=config.text.tokenizer,
            vocabulary_size=config.text.vocabulary_size,
        )
        partial = folder.tokenizer.with_suffix(".partial")
        tokenizer.save(partial)
        partial.replace(folder.tokenizer)
    sizes = {"train": len(examples)}
    sizes |= {"validation": len(validation)} if validation else {}
    sizes |= {"test": len(corpus.test)} if corpus.test else {}
    description = {"name": corpus.name, "class_names": list(corpus.class_names), "examples": sizes}
    write_json(folder.data, description)
    batches = training_batches(
        tokenizer.encode_batch(examples.texts),
        examples.labels,
        batch_size=config.train.batch_size,
        padding=config.text.padding,
        buckets=config.train.buckets,
        seed=config.seed,
        row_multiple=placement.devices,
    )
    if validation is None:
        return _Data(tokenizer, batches, None, np.zeros(0, np.int32))
    held_out = _examples_once(config, tokenizer, validation, placement)
    return _Data(tokenizer, batches, held_out, validation.labels)


def _examples_once(
    config: Config, tokenizer: WordTokenizer, examples: Examples, placement: Placement
) -> BatchSource:
    return evaluation_batches(
        tokenizer.encode_batch(examples.texts),
        examples.labels,
        batch_size=2 * config.train.batch_size,  # no backward pass: room for more
        padding=config.text.padding,
        buckets=config.train.buckets,
        row_multiple=placement.devices,
    )


def _evaluate(
    model: TextClassifier, params: Params, data: _Data, placement: Placement
) -> Metrics:
    assert data.validation is not None
    logits = predict_logits(model, params, data.validation, placement)
    return compute_metrics(logits, data.validation_labels)


def _test_metrics(
    config: Config,
    model: TextClassifier,
    params: Params,
    tokenizer: WordTokenizer,
    test: Examples | None,
    placement: Placement,
) -> dict[str, float]:
    """The one look at the test examples."""
    if test is None:
        return {}
    batches = _examples_once(config, tokenizer, test, placement)
    logits = predict_logits(model, params, batches, placement)
    return compute_metrics(logits, test.labels).as_dict("test_")


def _train_metrics(state: TrainState) -> dict[str, float]:
    loss, correct, examples = (float(total) for total in state.totals)
    return {"train_loss": loss / examples, "train_accuracy": correct / examples}


def _finite(of_step: dict[str, jax.Array], step: int, folder: RunFolder) -> dict[str, float]:
    numbers = {name: float(value) for name, value in of_step.items()}
    if not all(math.isfinite(number) for number in numbers.values()):
        raise FloatingPointError(
            f"the loss or its gradient is not finite at step {step}: {numbers}; try a lower "
            f"optimizer.learning_rate or optimizer.clip_norm; the run is kept in {folder.path}"
        )
    return numbers
