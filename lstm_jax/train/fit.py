"""The loop: steps, checkpoints, measurements, whatever the objective."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import jax
import jax.numpy as jnp
import optax
from rich.console import Console

from lstm_jax.console import doing, say
from lstm_jax.memory import memory_explained
from lstm_jax.shapes import Params
from lstm_jax.stops import Unsaved, asked, reached
from lstm_jax.text import BatchIterator
from lstm_jax.train.checkpoints import Checkpoints
from lstm_jax.train.config import Config
from lstm_jax.train.divergence import Divergence
from lstm_jax.train.folder import RunFolder
from lstm_jax.train.objective import Objective, zero_totals
from lstm_jax.train.optimizer import make_schedule
from lstm_jax.train.progress import TrainingProgress
from lstm_jax.train.report import Report, parameter_table
from lstm_jax.train.step import Placement, TrainState, init_state, train_step


class Clock:
    """Seconds of a run, those before an interruption included."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def set(self, seconds: float) -> None:
        self._start = time.monotonic() - seconds

    def seconds(self) -> float:
        return time.monotonic() - self._start


@memory_explained("train.batch_size, text.max_length or model.hidden_size")
def fit(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    batches: BatchIterator,
    config: Config,
    measure: Callable[[Params], dict[str, float]] | None,
    *,
    folder: RunFolder,
    console: Console,
    clock: Clock,
    placement: Placement,
    start: Params | None = None,
) -> tuple[Params, dict[str, Any]]:
    """Trains from the newest checkpoint, or the beginning, to the last step.

    At the end of an epoch the checkpoint is written before the validation, which a resumed run does
    again. So nothing is lost when the process is told to stop while it validates, and while it
    trains one step is waited for (`lstm_jax.stops`).

    Args:
        objective: what is minimised.
        optimizer: by which steps.
        batches: on what; closed at the end.
        config: the run's settings.
        measure: validates parameters after each epoch: numbers by name, "loss" among them; None
            keeps the last parameters.
        folder: where checkpoints and metrics go.
        console: where progress is shown.
        clock: the run's.
        placement: where arrays go.
        start: parameters that take the place of those of the same names before the first step.

    Returns:
        The parameters to keep; the number of `steps` and the validation metrics that chose them.

    Raises:
        FloatingPointError: if the loss, its gradient or the parameters are not finite, or absurdly
            large. Neither checkpoints nor the result have such.
        MemoryError: if memory does not suffice for the batches.
        OSError: if a checkpoint cannot be written.
        ValueError: if there are checkpoints, and all are damaged.
        Stopped: if the process was told to stop, after a checkpoint.
    """
    settings, per_epoch = config.train, batches.batches_per_epoch
    steps = settings.epochs * per_epoch
    with doing(console, "making the model"):
        state = init_state(
            objective,
            optimizer,
            config.seed,
            keep_ema=settings.ema_decay > 0,
            keep_best=measure is not None,
            start=start,
        )
    state = jax.device_put(state, placement.replicated)
    best: dict[str, Any] = {}
    epoch_began = clock.seconds()
    with closing(batches), Unsaved() as unsaved:
        checkpoints = Checkpoints(folder.checkpoints, settings.keep_checkpoints)
        restored = checkpoints.restore(state)
        if restored is None:
            console.print(parameter_table(state.params))
        else:
            state, progress = restored.state, restored.progress
            for why in restored.skipped:
                say(console, f"skipped a damaged checkpoint: {why}", "bold yellow")
            batches.set_state(progress["batches"])
            clock.set(progress["seconds"])
            epoch_began, best = progress["epoch_began"], progress["best"]
            say(console, f"resumed after step {int(state.step)} of {steps}")
        step = int(state.step)
        reached(f"after step {step} of {steps}")
        divergence = Divergence(
            state.params,
            step=step,
            uniform_loss=objective.uniform_loss,
            schedule=make_schedule(config.optimizer, steps),
        )
        with (
            TrainingProgress(console, step=step, steps=steps) as screen,
            Report(folder.path, step=step) as report,
        ):
            epoch_ends = restored is not None and step % per_epoch == 0
            while True:
                if epoch_ends:
                    record: dict[str, Any] = {"step": step, "epoch": step // per_epoch}
                    examples = per_epoch * settings.batch_size
                    speed = examples / (clock.seconds() - epoch_began)
                    with screen.during("validating"):
                        state, best, found = _end_epoch(state, best, measure, divergence, step=step)
                    record |= {**found, "examples_per_second": speed, "seconds": clock.seconds()}
                    report.epoch(record)
                    screen.epoch(record)
                    epoch_began = clock.seconds()
                if step == steps:
                    break
                batch = jax.device_put(next(batches), placement.by_row)
                step += 1
                with screen.stepping(step, batch):
                    state, of_step = train_step(
                        objective, optimizer, settings.ema_decay, state, batch
                    )
                unsaved.begun()
                divergence.add(of_step)
                if step % settings.log_every == 0:
                    divergence.check()
                    loss = float(of_step["loss"])
                    report.training(step, loss, float(of_step["norm"]))
                    screen.loss(step, loss)
                epoch_ends = step % per_epoch == 0
                if epoch_ends or step % settings.checkpoint_every == 0 or asked():
                    divergence.check()
                    divergence.check_params(state.params)
                    if epoch_ends:
                        divergence.check_epoch("train", _train_metrics(state)["train_loss"])
                    progress = {
                        "batches": batches.get_state(),
                        "seconds": clock.seconds(),
                        "epoch_began": epoch_began,
                        "best": best,
                    }
                    checkpoints.save(state, progress)
                    report.flush()
                    reached(f"after step {step} of {steps}")
                    unsaved.saved()
    return state.evaluated if state.best is None else state.best, {"steps": steps, **best}


def _end_epoch(
    state: TrainState,
    best: dict[str, Any],
    measure: Callable[[Params], dict[str, float]] | None,
    divergence: Divergence,
    *,
    step: int,
) -> tuple[TrainState, dict[str, Any], dict[str, Any]]:
    """Validates, keeps the parameters if they are the best so far, and begins new totals.

    Returns:
        The state, the best validation metrics with their `best_step`, and those of this epoch.
    """
    record: dict[str, Any] = _train_metrics(state)
    if measure is not None:
        try:
            numbers = measure(state.evaluated)
        except FloatingPointError as error:
            divergence.fail(str(error))
        measured = {f"validation_{name}": value for name, value in numbers.items()}
        divergence.check_epoch("validation", measured["validation_loss"])
        record |= measured
        if not best or measured["validation_loss"] < best["validation_loss"]:
            best = {"best_step": step, **measured}
            state = state._replace(best=jax.tree.map(jnp.copy, state.evaluated))
    totals = jax.device_put(zero_totals(), state.step.sharding)
    return state._replace(totals=totals), best, record


def _train_metrics(state: TrainState) -> dict[str, float]:
    loss, correct, examples = (float(total) for total in state.totals)
    return {"train_loss": loss / examples, "train_accuracy": correct / examples}
