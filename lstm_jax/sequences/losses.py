"""What networks of sequences minimise: losses as in `lstm_jax.train.losses`, of other batches."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from lstm_jax.models.sequences import ForecastNetwork, SequenceNetwork
from lstm_jax.sequences.batches import SequenceBatch
from lstm_jax.shapes import Logits, Params
from lstm_jax.train.losses.base import Totals
from lstm_jax.train.losses.cross_entropy import cross_entropy, predicted_labels


@dataclass(frozen=True)
class SequenceClassification:
    """The mean cross-entropy, in nats, of a batch whose targets are class numbers [B].

    Attributes:
        network: what classifies.
        features: F, of one step.
    """

    network: SequenceNetwork
    features: int

    @property
    def uniform_loss(self) -> float:
        """ln(classes)."""
        return math.log(max(self.network.outputs, 2))

    def init(self, key: Array) -> Params:
        """The network's parameters."""
        inputs, lengths = jnp.zeros((1, 1, self.features)), jnp.ones(1, jnp.int32)
        return self.network.init(key, inputs, lengths)["params"]

    def initial(self) -> Params:
        """Parameters of the network's shapes."""
        return self.init(jax.random.key(0))

    def predict(self, params: Params, batch: SequenceBatch, **options: Any) -> Logits:
        """The logits [B, C]; C = 1 for two classes."""
        logits = self.network.apply({"params": params}, batch.inputs, batch.lengths, **options)
        assert isinstance(logits, Array)
        return logits

    def of_rows(self, logits: Logits, targets: Array) -> tuple[Float[Array, "B"], Array]:
        """The loss of each row, and whether it is predicted rightly."""
        classes = jax.nn.one_hot(targets, max(self.network.outputs, 2))
        wanted = classes[:, 1:] if self.network.outputs == 1 else classes
        return cross_entropy(logits, wanted), predicted_labels(logits) == targets

    def __call__(self, params: Params, batch: SequenceBatch, key: Array) -> tuple[Array, Totals]:
        """See `lstm_jax.train.losses.Loss`."""
        return _mean(self, params, batch, key)


@dataclass(frozen=True)
class Pinball:
    """The mean pinball loss over steps, channels and quantiles.

        max(q (y - f), (q - 1) (y - f)),    for the forecast f of the quantile q

    Targets [B, H, D] are NaN where nothing was observed, which does not count.

    Attributes:
        network: what forecasts.
        shape: [L, F], of a window.

    Source: Koenker & Bassett (1978), "Regression Quantiles".
    """

    network: ForecastNetwork
    shape: tuple[int, int]

    @property
    def uniform_loss(self) -> float:
        """Of a forecast that is a typical change away."""
        return 1.0

    def init(self, key: Array) -> Params:
        """The network's parameters."""
        return self.network.init(key, jnp.zeros((1, *self.shape)))["params"]

    def initial(self) -> Params:
        """Parameters of the network's shapes."""
        return self.init(jax.random.key(0))

    def predict(self, params: Params, batch: SequenceBatch, **options: Any) -> Array:
        """The quantiles [B, H, D, K]."""
        found = self.network.apply({"params": params}, batch.inputs, **options)
        assert isinstance(found, Array)
        return found

    def of_rows(self, quantiles: Array, targets: Array) -> tuple[Float[Array, "B"], Array]:
        """The loss of each row, and nothing that would be right or wrong."""
        probabilities = jnp.asarray(self.network.quantiles)
        observed = jnp.isfinite(targets)
        errors = jnp.where(observed, targets, 0)[..., None] - quantiles
        losses = jnp.maximum(probabilities * errors, (probabilities - 1) * errors).mean(-1)
        total = jnp.where(observed, losses, 0).sum((1, 2))
        losses = total / jnp.maximum(observed.sum((1, 2)), 1)
        return losses, jnp.zeros_like(losses)

    def __call__(self, params: Params, batch: SequenceBatch, key: Array) -> tuple[Array, Totals]:
        """See `lstm_jax.train.losses.Loss`."""
        return _mean(self, params, batch, key)


SequenceLoss = SequenceClassification | Pinball


def _mean(
    loss: SequenceLoss, params: Params, batch: SequenceBatch, key: Array
) -> tuple[Array, Totals]:
    """The mean over the rows of a training batch, and their sums."""
    predicted = loss.predict(params, batch, train=True, rngs={"dropout": key})
    losses, right = loss.of_rows(predicted, jnp.asarray(batch.targets))
    weights = jnp.asarray(batch.weights)
    total, count = (weights * losses).sum(), weights.sum()
    return total / jnp.maximum(count, 1), Totals(total, (weights * right).sum(), count)


@partial(jax.jit, static_argnames="loss")
def predict_step(loss: SequenceLoss, params: Params, batch: SequenceBatch) -> Array:
    """What the network gives for a batch, without dropout."""
    return loss.predict(params, batch)


@partial(jax.jit, static_argnames="loss")
def measure_step(loss: SequenceLoss, params: Params, batch: SequenceBatch) -> Array:
    """The sum of the losses of a batch's rows, without dropout."""
    losses, _ = loss.of_rows(loss.predict(params, batch), jnp.asarray(batch.targets))
    return (jnp.asarray(batch.weights) * losses).sum()
