"""What training minimises: a loss of a batch, and its gradient."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from lstm_jax.classifier import TextClassifier
from lstm_jax.shapes import Logits, Params
from lstm_jax.text import Batch
from lstm_jax.train.adversarial import perturbation


class Totals(NamedTuple):
    """Sums over the examples seen since they were last reset; on the device, so free to keep."""

    loss: Array  # nats
    correct: Array
    examples: Array


def zero_totals() -> Totals:
    """Totals of no examples."""
    return Totals(*jnp.zeros(3))


class Objective(Protocol):
    """A loss; hashable, since a step is compiled for it."""

    def init(self, key: Array) -> Params:
        """The parameters to start from."""
        ...

    def gradient(
        self, params: Params, batch: Batch, key: Array
    ) -> tuple[tuple[Array, Totals], Params]:
        """The loss in nats and the totals of a batch, and the gradient of the loss.

        Args:
            params: what `init` gave, or what became of it.
            batch: rows of weight 0 only fill it up and change nothing.
            key: for what is random in it.
        """
        ...


@dataclass(frozen=True)
class Classification:
    """The weighted mean cross-entropy of the labels.

    Attributes:
        model: what classifies.
        label_smoothing: share of each label that is spread over all classes alike.
        adversarial: 0, or how far words are moved for a second loss, whose mean with the first is
            taken; see `lstm_jax.train.adversarial`.
    """

    model: TextClassifier
    label_smoothing: float = 0.0
    adversarial: float = 0.0

    def init(self, key: Array) -> Params:
        """Those of the model."""
        tokens, lengths = jnp.zeros((1, 1), jnp.int32), jnp.ones(1, jnp.int32)
        return self.model.init(key, tokens, lengths)["params"]

    def gradient(
        self, params: Params, batch: Batch, key: Array
    ) -> tuple[tuple[Array, Totals], Params]:
        """See `Objective`; `key` is for dropout, and the same for both losses."""
        how: Any = {"train": True, "rngs": {"dropout": key}}

        def embed(params: Params) -> Any:
            return self.model.apply({"params": params}, batch.tokens, method="embed", **how)

        def mean_loss(params: Params, embeddings: Array) -> tuple[Array, Totals]:
            variables = {"params": params}
            logits = self.model.apply(
                variables, embeddings, batch.lengths, method="classify", **how
            )
            assert isinstance(logits, Array)
            correct = predicted_labels(logits) == batch.labels
            losses = example_losses(logits, batch.labels, self.label_smoothing)
            losses = batch.weights * losses
            present = jnp.asarray(batch.weights > 0, losses.dtype)
            sums = Totals(losses.sum(), (present * correct).sum(), present.sum())
            return sums.loss / jnp.maximum(batch.weights.sum(), 1e-6), sums

        gradient = jax.value_and_grad(mean_loss, (0, 1), has_aux=True)
        embeddings, from_embeddings = jax.vjp(embed, params)
        loss_and_totals, found = gradient(params, embeddings)
        if self.adversarial > 0:
            moved = embeddings + perturbation(
                embeddings, found[1], jnp.asarray(batch.lengths), self.adversarial
            )
            _, found_there = gradient(params, moved)
            found = jax.tree.map(lambda here, there: (here + there) / 2, found, found_there)
        return loss_and_totals, jax.tree.map(jnp.add, found[0], *from_embeddings(found[1]))


def example_losses(logits: Logits, labels: ArrayLike, smoothing: float = 0.0) -> Float[Array, "B"]:
    """Cross-entropy in nats of each example, and for one logit the binary cross-entropy.

    Args:
        logits: [B, C].
        labels: [B].
        smoothing: share of each label that is spread over all classes alike.

    Source: for the smoothing, Szegedy et al. (2016), section 7.
    """
    labels = jnp.asarray(labels)
    if logits.shape[-1] == 1:
        targets = (1 - smoothing) * labels + smoothing / 2
        return optax.sigmoid_binary_cross_entropy(logits[:, 0], targets)
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, targets)


def predicted_labels(logits: Logits) -> Array:
    """The likeliest class of each example, as an integer."""
    if logits.shape[-1] == 1:
        return (logits[:, 0] > 0).astype(jnp.int32)
    return logits.argmax(-1)
