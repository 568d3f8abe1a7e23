"""What every loss is."""

from typing import NamedTuple, Protocol

import jax.numpy as jnp
from jax import Array

from lstm_jax.data import Batch
from lstm_jax.shapes import Params


class Totals(NamedTuple):
    """Sums over the examples seen since they were last reset; on the device, so free to keep."""

    loss: Array  # nats
    correct: Array
    examples: Array


def zero_totals() -> Totals:
    """Totals of no examples."""
    return Totals(*jnp.zeros(3))


class Loss(Protocol):
    """A loss of parameters on a batch; hashable, since a step is compiled for it."""

    @property
    def uniform_loss(self) -> float:
        """The loss in nats of a model that gives everything the same probability."""
        ...

    def init(self, key: Array) -> Params:
        """The model's initial parameters."""
        ...

    def __call__(self, params: Params, batch: Batch, key: Array) -> tuple[Array, Totals]:
        """The loss in nats, a mean over the batch, and sums for the epoch's metrics.

        Args:
            params: as `init` gives them.
            batch: padding rows have weight 0 and change nothing.
            key: for dropout and whatever else is random.
        """
        ...
