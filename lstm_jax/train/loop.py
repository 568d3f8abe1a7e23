"""Training from beginning to end: the only place where steps, data and files meet."""

import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from rich.console import Console

from lstm_jax.classifier import TextClassifier
from lstm_jax.machine import environment
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


class _Clock:
    """Seconds of a run, those before an interruption included."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def set(self, seconds: float) -> None:
        self._start = time.monotonic() - seconds

    def seconds(self) -> float:
        return time.monotonic() - self._start


class _Task(NamedTuple):
    """All of a run that does not change while it is trained."""

    config: Config
    folder: RunFolder
    console: Console
    clock: _Clock
    placement: Placement
    tokenizer: WordTokenizer
    batches: BatchIterator
    validation: Examples | None
    model: TextClassifier
    optimizer: optax.GradientTransformation

    @property
    def steps(self) -> int:
        return self.config.train.epochs * self.batches.batches_per_epoch

    def once(self, examples: Examples) -> BatchSource:
        """Batches in which each example stands once."""
        return evaluation_batches(
            self.tokenizer.encode_batch(examples.texts),
            examples.labels,
            batch_size=2 * self.config.train.batch_size,  # no backward pass: room for more
            padding=self.config.text.padding,
            buckets=self.config.train.buckets,
            row_multiple=self.placement.devices,
        )

    def measure(self, params: Params, batches: BatchSource, examples: Examples) -> Metrics:
        logits = predict_logits(self.model, params, batches, self.placement)
        return compute_metrics(logits, examples.labels)


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
    console, clock, folder = console or Console(), _Clock(), RunFolder(path)
    folder.claim(config, resume=resume)
    if folder.result.exists():
        console.print(f"{folder.path} is finished; nothing to do")
        return json.loads(folder.result.read_text())
    task = _prepare(config, corpus, folder, console, clock)
    params, best = _fit(task)
    save_weights(folder.weights, params)
    draw_curves(folder.metrics, folder.curves)
    result = {"name": config.name, "data": corpus.name, "seed": config.seed, **best}
    if corpus.test is not None:  # the one look at the test examples
        measured = task.measure(params, task.once(corpus.test), corpus.test)
        result |= measured.as_dict("test_")
    result |= {
        "steps": task.steps,
        "minutes": clock.seconds() / 60,
        "parameters": sum(array.size for array in jax.tree.leaves(params)),
        "command": command,
        **environment(),
    }
    write_json(folder.result, result)
    return result


def _prepare(
    config: Config, corpus: Corpus, folder: RunFolder, console: Console, clock: _Clock
) -> _Task:
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
        folder.save_tokenizer(tokenizer)
    parts = {"train": examples, "validation": validation, "test": corpus.test}
    folder.describe_data(corpus, {name: len(part) for name, part in parts.items() if part})
    placement = all_devices()
    batches = training_batches(
        tokenizer.encode_batch(examples.texts),
        examples.labels,
        batch_size=config.train.batch_size,
        padding=config.text.padding,
        buckets=config.train.buckets,
        seed=config.seed,
        row_multiple=placement.devices,
    )
    return _Task(
        config,
        folder,
        console,
        clock,
        placement,
        tokenizer,
        batches,
        validation,
        TextClassifier(config.model, tokenizer.vocabulary_size, len(corpus.class_names)),
        make_optimizer(config.optimizer, config.train.epochs * batches.batches_per_epoch),
    )


def _fit(task: _Task) -> tuple[Params, dict[str, Any]]:
    """Trains from the newest checkpoint, or the beginning, to the last step.

    Returns:
        The parameters to keep, and the validation metrics that chose them.
    """
    config, batches, steps = task.config.train, task.batches, task.steps
    validation = None if task.validation is None else task.once(task.validation)
    state = jax.device_put(
        init_state(
            task.model,
            task.optimizer,
            task.config.seed,
            keep_ema=config.ema_decay > 0,
            keep_best=validation is not None,
        ),
        task.placement.replicated,
    )
    best: dict[str, Any] = {}
    with Checkpoints(task.folder.checkpoints, config.keep_checkpoints) as checkpoints:
        if checkpoints.latest_step is None:
            task.console.print(parameter_table(state.params))
        else:
            state, progress = checkpoints.restore(state)
            batches.set_state(progress["batches"])
            task.clock.set(progress["seconds"])
            best = progress["best"]
            task.console.print(f"resumed after step {int(state.step)} of {steps}")
        step = int(state.step)
        with Report(task.folder.path, task.console, step=step, steps=steps) as report:
            began, began_at = task.clock.seconds(), step
            while step < steps:
                batch = jax.device_put(next(batches), task.placement.by_row)
                state, of_step = train_step(
                    task.model, task.optimizer, config.ema_decay, state, batch
                )
                step += 1
                if step % config.log_every == 0:
                    report.training(step, **_finite(of_step, step, task.folder))
                epoch, rest = divmod(step, batches.batches_per_epoch)
                if rest == 0:
                    record = {"step": step, "epoch": epoch, **_train_metrics(state)}
                    examples = (step - began_at) * config.batch_size
                    record["examples_per_second"] = examples / (task.clock.seconds() - began)
                    if validation is not None and task.validation is not None:
                        measured = task.measure(state.evaluated, validation, task.validation)
                        record |= measured.as_dict("validation_")
                        if not best or measured.loss < best["validation_loss"]:
                            best = {"best_step": step, **measured.as_dict("validation_")}
                            kept = jax.tree.map(jnp.copy, state.evaluated)
                            state = state._replace(best=kept)
                    report.epoch(record | {"seconds": task.clock.seconds()})
                    totals = jax.device_put(zero_totals(), task.placement.replicated)
                    state = state._replace(totals=totals)
                    began, began_at = task.clock.seconds(), step
                if rest == 0 or step % config.checkpoint_every == 0:
                    progress = {
                        "batches": batches.get_state(),
                        "seconds": task.clock.seconds(),
                        "best": best,
                    }
                    checkpoints.save(state, progress)
    batches.close()
    return state.evaluated if state.best is None else state.best, best


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
