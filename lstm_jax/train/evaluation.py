"""What measures parameters after each epoch: metrics by name, "loss" among them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import jax
import numpy as np
from numpy.typing import NDArray

from lstm_jax.data import Batch
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.shapes import Params
from lstm_jax.train.calibration import calibrate
from lstm_jax.train.losses import NextWord, Totals, TwoView
from lstm_jax.train.metrics import compute_metrics
from lstm_jax.train.prediction import predict_logits
from lstm_jax.train.step import Shardings


class Evaluator(Protocol):
    """Measures parameters on validation data."""

    def __call__(self, params: Params) -> dict[str, float]:
        """Metrics by name; the parameters with the lowest "loss" are kept."""
        ...


@dataclass(frozen=True, eq=False)
class ClassifierEvaluator:
    """The metrics of a classifier on labelled examples, and the temperature that they ask for.

    Attributes:
        model: what predicts.
        batches: the examples, once.
        labels: [N].
        shardings: where the batches go.
    """

    model: TextClassifier
    batches: Iterable[Batch]
    labels: NDArray[np.int32]
    shardings: Shardings

    def __call__(self, params: Params) -> dict[str, float]:
        """All of `lstm_jax.train.metrics`, `temperature` and `classes_predicted`."""
        return self.measured(self.logits(params))

    def measured(self, logits: NDArray[np.floating]) -> dict[str, float]:
        """The same, from logits [N, C] that are there already."""
        temperature = calibrate(logits, self.labels)
        measured = compute_metrics(logits / temperature, self.labels)
        predicted = int(np.any(measured.confusion, axis=0).sum())
        return {
            "temperature": temperature,
            "classes_predicted": predicted,
            **measured.as_dict(),
        }

    def logits(self, params: Params) -> NDArray[np.float32]:
        """Of each example [N, C], not divided by a temperature."""
        return predict_logits(self.model, params, self.batches, self.shardings)


@dataclass(frozen=True, eq=False)
class PretrainingEvaluator:
    """The mean loss of a pretraining model, without dropout.

    Attributes:
        loss: what is measured.
        batches: the texts, once.
    """

    loss: TwoView | NextWord
    batches: Iterable[Batch]

    def __call__(self, params: Params) -> dict[str, float]:
        """`loss` in nats, of a view or a word; of words, `perplexity`, its exponential, too."""
        sums = [jax.device_get(_totals(self.loss, params, batch)) for batch in self.batches]
        loss, _, count = np.sum(np.asarray(sums, np.float64), axis=0)
        measured = {"loss": float(loss / count)}
        if isinstance(self.loss, NextWord):
            measured["perplexity"] = float(np.exp(loss / count))
        return measured


@partial(jax.jit, static_argnames="loss")
def _totals(loss: TwoView | NextWord, params: Params, batch: Batch) -> Totals:
    return loss.totals(params, batch)
