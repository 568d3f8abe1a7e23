"""The loop: steps, checkpoints, measurements, whatever the objective."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from rich.console import Console

from lstm_jax.console import say
from lstm_jax.memory import check_memory, memory_explained
from lstm_jax.shapes import Params
from lstm_jax.text import BatchIterator
from lstm_jax.train.checkpoints import Checkpoints
from lstm_jax.train.config import TrainConfig
from lstm_jax.train.folder import RunFolder
from lstm_jax.train.objective import Objective, zero_totals
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
    config: TrainConfig,
    measure: Callable[[Params], dict[str, float]] | None,
    *,
    seed: int,
    folder: RunFolder,
    console: Console,
    clock: Clock,
    placement: Placement,
    start: Params | None = None,
) -> tuple[Params, dict[str, Any]]:
    """Trains from the newest checkpoint, or the beginning, to the last step.

    Args:
        objective: what is minimised.
        optimizer: by which steps.
        batches: on what; closed at the end.
        config: how long, and what is kept.
        measure: validates parameters after each epoch: numbers by name, "loss" among them; None
            keeps the last parameters.
        seed: decides initial weights and dropout.
        folder: where checkpoints and metrics go.
        console: where progress is shown.
        clock: the run's.
        placement: where arrays go.
        start: parameters that take the place of those of the same names before the first step.

    Returns:
        The parameters to keep; the number of `steps` and the validation metrics that chose them.

    Raises:
        FloatingPointError: if the loss is not finite.
        MemoryError: if memory does not suffice for the batches.
        OSError: if a checkpoint cannot be written.
        ValueError: if there are checkpoints, and all are damaged; or if memory does not suffice for
            the model.
    """
    steps = config.epochs * batches.batches_per_epoch
    make_state = partial(
        init_state,
        objective,
        optimizer,
        seed,
        keep_ema=config.ema_decay > 0,
        keep_best=measure is not None,
        start=start,
    )
    check_memory(make_state)
    state = make_state()
    state = jax.device_put(state, placement.replicated)
    best: dict[str, Any] = {}
    checkpoints = Checkpoints(folder.checkpoints, config.keep_checkpoints)
    restored = checkpoints.restore(state)
    if restored is None:
        console.print(parameter_table(state.params))
    else:
        state, progress = restored.state, restored.progress
        for why in restored.skipped:
            say(console, f"skipped a damaged checkpoint: {why}", "bold yellow")
        batches.set_state(progress["batches"])
        clock.set(progress["seconds"])
        best = progress["best"]
        say(console, f"resumed after step {int(state.step)} of {steps}")
    step = int(state.step)
    with Report(folder.path, console, step=step, steps=steps) as report:
        began, began_at = clock.seconds(), step
        while step < steps:
            batch = jax.device_put(next(batches), placement.by_row)
            state, of_step = train_step(objective, optimizer, config.ema_decay, state, batch)
            step += 1
            if step % config.log_every == 0:
                report.training(step, **_finite(of_step, step, folder))
            epoch, rest = divmod(step, batches.batches_per_epoch)
            if rest == 0:
                record = {"step": step, "epoch": epoch, **_train_metrics(state)}
                examples = (step - began_at) * config.batch_size
                record["examples_per_second"] = examples / (clock.seconds() - began)
                if measure is not None:
                    measured = {
                        f"validation_{name}": value
                        for name, value in measure(state.evaluated).items()
                    }
                    record |= measured
                    if not best or measured["validation_loss"] < best["validation_loss"]:
                        best = {"best_step": step, **measured}
                        kept = jax.tree.map(jnp.copy, state.evaluated)
                        state = state._replace(best=kept)
                report.epoch(record | {"seconds": clock.seconds()})
                totals = jax.device_put(zero_totals(), placement.replicated)
                state = state._replace(totals=totals)
                began, began_at = clock.seconds(), step
            if rest == 0 or step % config.checkpoint_every == 0:
                progress = {
                    "batches": batches.get_state(),
                    "seconds": clock.seconds(),
                    "best": best,
                }
                checkpoints.save(state, progress)
    batches.close()
    return state.evaluated if state.best is None else state.best, {"steps": steps, **best}


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
