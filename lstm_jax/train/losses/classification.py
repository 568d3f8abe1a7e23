"""The loss of a text classifier: the weighted mean cross-entropy of its targets."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from lstm_jax.data import UNLABELLED, Batch
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.shapes import Embeddings, Params
from lstm_jax.train.losses.base import Totals
from lstm_jax.train.losses.cross_entropy import (
    class_probabilities,
    cross_entropy,
    predicted_labels,
)
from lstm_jax.train.losses.targets import targets


class Outcome(NamedTuple):
    """What a classifier made of a batch, beside the loss."""

    totals: Totals  # over the examples that have labels
    targets: Float[Array, "B C"]
    probabilities: Float[Array, "B C"]


@dataclass(frozen=True)
class Classification:
    """Σ_n w_n H(target_n, p_n) / Σ_n w_n, with the targets of `lstm_jax.train.losses.targets`.

    Attributes:
        model: what classifies.
        label_smoothing: share of each label that is spread over all classes alike.
    """

    model: TextClassifier
    label_smoothing: float = 0.0

    @property
    def uniform_loss(self) -> float:
        """ln(classes)."""
        return math.log(max(self.model.outputs, 2))

    def init(self, key: Array) -> Params:
        """The model's."""
        tokens, lengths = jnp.zeros((1, 1), jnp.int32), jnp.ones(1, jnp.int32)
        return self.model.init(key, tokens, lengths)["params"]

    def __call__(self, params: Params, batch: Batch, key: Array) -> tuple[Array, Totals]:
        """See `Loss`; `key` is for dropout, and the totals are over the labelled examples."""
        loss, outcome = self.from_embeddings(params, self.embed(params, batch, key), batch, key)
        return loss, outcome.totals

    def embed(self, params: Params, batch: Batch, key: Array) -> Embeddings:
        """The embeddings [B, T, E] of a batch, with dropout."""
        dropout: Any = {"train": True, "rngs": {"dropout": key}}
        embeddings: Any = self.model.apply(
            {"params": params}, batch.tokens, method="embed", **dropout
        )
        return embeddings

    def from_embeddings(
        self,
        params: Params,
        embeddings: Embeddings,
        batch: Batch,
        key: Array,
        unlabelled_targets: Float[Array, "B C"] | None = None,
    ) -> tuple[Array, Outcome]:
        """The loss as a function of the embeddings, for attacks on them.

        Args:
            params, batch, key: as for `__call__`.
            embeddings: [B, T, E].
            unlabelled_targets: for examples without a label; by default the batch's soft labels.
        """
        dropout: Any = {"train": True, "rngs": {"dropout": key}}
        logits = self.model.apply(
            {"params": params}, embeddings, batch.lengths, method="classify", **dropout
        )
        assert isinstance(logits, Array)
        labels, weights = jnp.asarray(batch.labels), jnp.asarray(batch.weights)
        if unlabelled_targets is None and batch.soft_labels is not None:
            unlabelled_targets = jnp.asarray(batch.soft_labels)
        probabilities = class_probabilities(logits)
        wanted = targets(labels, unlabelled_targets, probabilities, self.label_smoothing)
        losses = weights * cross_entropy(logits, wanted)
        correct = predicted_labels(logits) == labels
        present = ((labels != UNLABELLED) & (weights > 0)).astype(weights.dtype)
        totals = Totals((present * losses).sum(), (present * correct).sum(), present.sum())
        loss = losses.sum() / jnp.maximum(weights.sum(), 1e-6)
        return loss, Outcome(totals, wanted, probabilities)
