"""The training loop: steps, checkpoints and measurements, whatever the loss."""

import signal
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from lstm_jax.console import doing, say
from lstm_jax.data import BatchIterator
from lstm_jax.memory import memory_explained
from lstm_jax.shapes import Params
from lstm_jax.stops import Stopped, Unsaved, asked, reached
from lstm_jax.train.checkpoints import Best, Checkpoints, Progress
from lstm_jax.train.config import Config, TrainConfig
from lstm_jax.train.divergence import Divergence
from lstm_jax.train.evaluation import Evaluator
from lstm_jax.train.losses import Loss, zero_totals
from lstm_jax.train.open_run import OpenRun
from lstm_jax.train.optimizer import make_optimizer, make_schedule
from lstm_jax.train.processes import any_of, connected, from_first, loss_explained, put
from lstm_jax.train.progress import TrainingProgress
from lstm_jax.train.report import Report, parameter_table
from lstm_jax.train.step import TrainState, check_state, init_state, train_step


@dataclass(frozen=True)
class Fitted:
    """What training came to.

    Attributes:
        params: the parameters to keep: those with the lowest validation loss, or the last.
        steps: how many were done.
        best_step: of `params`, where they were chosen by validation.
        validation: the metrics of `params`, by name.
    """

    params: Params
    steps: int
    best_step: int | None = None
    validation: dict[str, float] = field(default_factory=dict)


def check_fit(
    config: Config,
    loss: Loss,
    batches: BatchIterator,
    *,
    evaluate: Evaluator | None = None,
    start: Params | None = None,
) -> int:
    """Finds out, without computing anything, whether `fit` can begin.

    Args:
        config: the run's settings.
        loss, batches, evaluate, start: as for `fit`.

    Returns:
        How many steps it will do.

    Raises:
        ValueError: if the parameters to start from do not fit the model, or whatever is wrong with
            it; or if memory does not suffice for it.
    """
    steps = config.train.epochs * batches.batches_per_epoch
    check_state(
        loss,
        make_optimizer(config.optimizer, steps),
        keep_ema=config.train.ema_decay > 0,
        keep_best=evaluate is not None,
        start=start,
    )
    return steps


@memory_explained("train.batch_size, text.max_length or model.hidden_size")
@loss_explained()
def fit(
    run: OpenRun,
    loss: Loss,
    batches: BatchIterator,
    *,
    evaluate: Evaluator | None = None,
    start: Params | None = None,
) -> Fitted:
    """Trains from the newest checkpoint, or the beginning, to the last step, or out of patience.

    At the end of an epoch the checkpoint is written before the validation, which a resumed run does
    again. So nothing is lost when the process is told to stop while it validates, and while it
    trains one step is waited for (`lstm_jax.stops`).

    Args:
        run: its settings, its folder for checkpoints and metrics, where progress is shown.
        loss: what is minimised.
        batches: on what; closed at the end.
        evaluate: measures parameters after each epoch; None keeps the last parameters.
        start: parameters that take the place of those of the same names before the first step.

    Raises:
        ConnectionError: if another process of the training is gone.
        FloatingPointError: if the loss, its gradient or the parameters are not finite, or absurdly
            large. Neither checkpoints nor the result have such.
        MemoryError: if memory does not suffice for the batches.
        OSError: if a checkpoint cannot be written.
        ValueError: if there are checkpoints, and all are damaged.
        Stopped: if the process was told to stop, after a checkpoint.
    """
    config, folder, console, clock = run.config, run.folder, run.console, run.clock
    settings, per_epoch = config.train, batches.batches_per_epoch
    steps = settings.epochs * per_epoch
    optimizer = make_optimizer(config.optimizer, steps)
    with doing(console, "making the model"):
        state = init_state(
            loss,
            optimizer,
            config.seed,
            keep_ema=settings.ema_decay > 0,
            keep_best=evaluate is not None,
            start=start,
        )
    state = put(state, run.shardings.replicated)
    best: Best | None = None
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
            batches.set_state(progress.batches)
            clock.set(progress.seconds)
            epoch_began, best = progress.epoch_began, progress.best
            say(console, f"resumed after step {int(state.step)} of {steps}")
        step = int(state.step)
        reached(f"after step {step} of {steps}")
        divergence = Divergence(
            state.params,
            step=step,
            uniform_loss=loss.uniform_loss,
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
                        state, best, found = _end_epoch(state, best, evaluate, divergence, step)
                    record |= {**found, "examples_per_second": speed, "seconds": clock.seconds()}
                    report.epoch(record)
                    screen.epoch(record)
                    epoch_began = clock.seconds()
                if step == steps or _out_of_patience(settings, best, step // per_epoch, per_epoch):
                    break
                batch = put(next(batches), run.shardings.by_row)
                step += 1
                with screen.stepping(step, batch):
                    state, of_step = train_step(
                        loss, optimizer, settings.ema_decay, state, batch, settings.accumulate
                    )
                unsaved.begun()
                divergence.add(of_step)
                if step % settings.log_every == 0:
                    divergence.check()
                    of_batch = float(of_step["loss"])
                    report.training(step, of_batch, float(of_step["norm"]))
                    screen.loss(step, of_batch)
                epoch_ends = step % per_epoch == 0
                told = _told(step, epoch_ends, settings)
                if epoch_ends or step % settings.checkpoint_every == 0 or told:
                    divergence.check()
                    divergence.check_params(state.params)
                    if epoch_ends:
                        divergence.check_epoch("train", _train_metrics(state)["train_loss"])
                    position = batches.get_state()
                    checkpoints.save(state, Progress(position, clock.seconds(), epoch_began, best))
                    report.flush()
                    reached(f"after step {step} of {steps}")
                    unsaved.saved()
                    if told:  # another process
                        raise Stopped(signal.SIGTERM)
    if state.best is None or best is None:
        return Fitted(state.evaluated, step)
    return Fitted(state.best, step, best.step, best.metrics)


def _told(step: int, epoch_ends: bool, settings: TrainConfig) -> bool:
    """Whether to save and stop; of many processes any may be told, and all ask now and then."""
    if not connected():
        return asked()
    return (epoch_ends or step % settings.log_every == 0) and any_of(asked())


def _out_of_patience(
    settings: TrainConfig, best: Best | None, epochs: int, steps_per_epoch: int
) -> bool:
    """Whether as many epochs as are waited for have gone by without a lower validation loss."""
    if settings.patience == 0 or best is None:
        return False
    return epochs - best.step // steps_per_epoch >= settings.patience


def _end_epoch(
    state: TrainState,
    best: Best | None,
    evaluate: Evaluator | None,
    divergence: Divergence,
    step: int,
) -> tuple[TrainState, Best | None, dict[str, float]]:
    """Validates, keeps the parameters if they are the best so far, and begins new totals.

    Returns:
        The state, the best validation, and the metrics of this epoch by name.
    """
    record = _train_metrics(state)
    if evaluate is not None:
        try:
            measured = from_first(evaluate(state.evaluated))
            measured = {name: float(value) for name, value in measured.items()}
        except FloatingPointError as error:
            divergence.fail(str(error))
        divergence.check_epoch("validation", measured["loss"])
        record |= {f"validation_{name}": value for name, value in measured.items()}
        if best is None or measured["loss"] < best.metrics["loss"]:
            best = Best(step, measured)
            state = state._replace(best=jax.tree.map(jnp.copy, state.evaluated))
    totals = put(zero_totals(), state.step.sharding)
    return state._replace(totals=totals), best, record


def _train_metrics(state: TrainState) -> dict[str, float]:
    loss, correct, examples = (float(total) for total in state.totals)
    return {"train_loss": loss / examples, "train_accuracy": correct / examples}
