"""The training of a network of sequences: epochs, validation, early stopping; all in memory.

The step is that of the text classifier, `lstm_jax.train.step`.
"""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from lstm_jax.checked import Count, NotNegative, Positive, Probability, Seed, Size, checked
from lstm_jax.console import say
from lstm_jax.sequences.batches import Examples, batches, prediction_size
from lstm_jax.sequences.losses import SequenceLoss, measure_step, predict_step
from lstm_jax.shapes import Params
from lstm_jax.train.config import OptimizerConfig
from lstm_jax.train.losses.base import zero_totals
from lstm_jax.train.optimizer import make_optimizer
from lstm_jax.train.step import init_state, train_step

STEPS, EPOCHS = 1500, (20, 300)  # where the number of epochs is not given
ENOUGH = 500  # examples of which a part is set aside by default


@checked
class Training:
    """How a network is trained."""

    learning_rate: Positive
    """Of Adam, at the start; it falls to zero along a cosine."""
    epochs: Size | None
    """Passes over the training examples, at most; None for 1,500 steps, but 20 to 300."""
    batch_size: Size
    """Examples of one step."""
    patience: Count | None
    """Epochs without a lower validation loss after which training ends; 0 for never, None for a
    quarter of the epochs."""
    weight_decay: NotNegative
    """As in AdamW."""
    seed: Seed
    """Of weights, order and dropout."""
    ema_decay: Probability = 0.99
    """Of a moving average of the weights, which predicts."""
    verbose: bool = False
    """Whether each epoch is printed."""


def validation_fraction(given: float | None, examples: int) -> float:
    """The share to set aside: what was given, or a tenth of many and nothing of few.

    Raises:
        ValueError: if it is not in [0, 1).
    """
    if given is None:
        return 0.1 if examples >= ENOUGH else 0.0
    if not 0 <= given < 1:
        raise ValueError(f"validation_fraction must be at least 0 and below 1, got {given}")
    return given


class Trained(NamedTuple):
    """What training came to: NumPy arrays, and the losses of each epoch."""

    params: Params
    history: dict[str, list[float]]


def train(
    loss: SequenceLoss, settings: Training, examples: Examples, validation: Examples
) -> Trained:
    """Trains a network.

    Args:
        loss: what is minimised.
        settings: how.
        examples: what is learnt from.
        validation: what chooses the epoch whose weights are kept; none of none keeps the last.

    Raises:
        FloatingPointError: if the loss is no longer finite.
    """
    rng = np.random.default_rng(settings.seed)
    any_order = np.random.default_rng(0)  # the number of batches is the same in any
    per_epoch = sum(1 for _ in batches(examples, settings.batch_size, any_order))
    epochs = settings.epochs or int(np.clip(-(-STEPS // per_epoch), *EPOCHS))
    patience = -(-epochs // 4) if settings.patience is None else settings.patience
    optimizer = make_optimizer(
        OptimizerConfig(
            settings.learning_rate, "cosine", clip_norm=1.0, weight_decay=settings.weight_decay
        ),
        epochs * per_epoch,
    )
    plain: Any = loss
    state = init_state(plain, optimizer, settings.seed, keep_ema=True, keep_best=False)
    history: dict[str, list[float]] = {"loss": []}
    best, kept, console = math.inf, None, Console(quiet=not settings.verbose)
    best_epoch = 0
    for epoch in range(1, epochs + 1):
        for batch in batches(examples, settings.batch_size, rng):
            given: Any = batch
            state, _ = train_step(plain, optimizer, settings.ema_decay, state, given)
        history["loss"].append(float(state.totals.loss / state.totals.examples))
        state = state._replace(totals=zero_totals())
        if not math.isfinite(history["loss"][-1]):
            raise FloatingPointError(
                f"training diverged in epoch {epoch}: the loss is {history['loss'][-1]}; a lower "
                f"learning_rate than {settings.learning_rate} may help"
            )
        line = f"epoch {epoch}, loss {history['loss'][-1]:.4f}"
        if len(validation):
            measured = measure(loss, state.evaluated, validation)
            history.setdefault("validation_loss", []).append(measured)
            line += f", validation {measured:.4f}"
            if measured < best:
                best, kept, best_epoch = measured, jax.device_get(state.evaluated), epoch
        say(console, line)
        if kept is not None and 0 < patience <= epoch - best_epoch:
            break
    return Trained(jax.device_get(state.evaluated) if kept is None else kept, history)


def measure(loss: SequenceLoss, params: Params, examples: Examples) -> float:
    """The mean loss of examples."""
    size = prediction_size(len(examples))
    total = sum(float(measure_step(loss, params, batch)) for batch in batches(examples, size))
    return total / len(examples)


def predict(loss: SequenceLoss, params: Params, examples: Examples) -> NDArray[np.float32]:
    """What the network gives for each example, [N, ...], in their order."""
    size = prediction_size(len(examples))
    values: NDArray[np.float32] | None = None
    for batch in batches(examples, size):
        found = np.asarray(predict_step(loss, params, batch))
        if values is None:
            values = np.empty((len(examples), *found.shape[1:]), np.float32)
        there = batch.rows >= 0
        values[batch.rows[there]] = found[there]
    assert values is not None
    return values
