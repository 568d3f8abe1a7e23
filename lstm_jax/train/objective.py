"""What training minimises: a loss of a batch, and its gradient."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float

from lstm_jax.classifier import TextClassifier
from lstm_jax.shapes import Labels, Logits, Params
from lstm_jax.text import UNLABELLED, Batch
from lstm_jax.train.adversarial import certainty, perturbation


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

    @property
    def uniform_loss(self) -> float:
        """The loss in nats of a model that gives everything the same chance."""
        ...

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
    """The weighted mean cross-entropy of the labels, and of what takes their place without them.

    Texts without labels (`UNLABELLED`) have a teacher's probabilities for a label, if there is one
    (`Batch.taught`). If not, they have the model's own probabilities p for a label: their
    cross-entropy with themselves is the entropy of p, and less of it is a more decided model; that
    of p with what the model says of the moved words is least where the movement changes nothing.

    Attributes:
        model: what classifies.
        label_smoothing: share of each label that is spread over all classes alike.
        adversarial: 0, or how far words are moved, where the labels are certain, for a second loss,
            whose mean with the first is taken; see `lstm_jax.train.adversarial`.

    Source: Grandvalet & Bengio (2005) for the entropy; Miyato, Dai & Goodfellow (2017), eq. 5 to 8,
        for the moved words of both kinds of text. They find where the divergence grows most by a
        power iteration; here words move to where the entropy does, whose gradient is at hand.
    """

    model: TextClassifier
    label_smoothing: float = 0.0
    adversarial: float = 0.0

    @property
    def uniform_loss(self) -> float:
        """ln(classes)."""
        return math.log(max(self.model.outputs, 2))

    def init(self, key: Array) -> Params:
        """Those of the model."""
        tokens, lengths = jnp.zeros((1, 1), jnp.int32), jnp.ones(1, jnp.int32)
        return self.model.init(key, tokens, lengths)["params"]

    def gradient(
        self, params: Params, batch: Batch, key: Array
    ) -> tuple[tuple[Array, Totals], Params]:
        """See `Objective`; `key` is for dropout, and the same for both losses.

        The totals are over the texts that have labels.
        """
        how: Any = {"train": True, "rngs": {"dropout": key}}
        labels, weights = jnp.asarray(batch.labels), jnp.asarray(batch.weights)
        labelled = labels != UNLABELLED
        present = (labelled & (weights > 0)).astype(weights.dtype)
        given = smoothed_labels(labels, self.model.outputs, self.label_smoothing)
        teacher = None if batch.taught is None else jnp.asarray(batch.taught)

        def embed(params: Params) -> Any:
            return self.model.apply({"params": params}, batch.tokens, method="embed", **how)

        def mean_loss(
            params: Params, embeddings: Array, taught: Array | None = None
        ) -> tuple[Array, tuple[Totals, Array, Array]]:
            logits = self.model.apply(
                {"params": params}, embeddings, batch.lengths, method="classify", **how
            )
            assert isinstance(logits, Array)
            own = class_probabilities(logits)
            targets = jnp.where(labelled[:, None], given, own if taught is None else taught)
            losses = weights * cross_entropy(logits, targets)
            correct = predicted_labels(logits) == labels
            sums = Totals((present * losses).sum(), (present * correct).sum(), present.sum())
            total = jnp.maximum(weights.sum(), 1e-6)
            sure = (weights * certainty(targets, own)).sum() / total
            return losses.sum() / total, (sums, own, sure)

        gradient = jax.value_and_grad(mean_loss, (0, 1), has_aux=True)
        embeddings, from_embeddings = jax.vjp(embed, params)
        (loss, (totals, own, sure)), found = gradient(params, embeddings, teacher)
        if self.adversarial > 0:
            lengths = jnp.asarray(batch.lengths)
            moved = embeddings + perturbation(
                embeddings, found[1], lengths, self.adversarial * sure
            )
            _, found_there = gradient(params, moved, own if teacher is None else teacher)
            found = jax.tree.map(lambda here, there: (here + there) / 2, found, found_there)
        return (loss, totals), jax.tree.map(jnp.add, found[0], *from_embeddings(found[1]))


def smoothed_labels(labels: Labels, outputs: int, smoothing: float) -> Float[Array, "B C"]:
    """The probabilities that labels stand for; for one logit, those of class 1.

    Args:
        labels: [B].
        outputs: C, the number of logits.
        smoothing: share of each label that is spread over all classes alike.

    Source: Szegedy et al. (2016), section 7.
    """
    if outputs == 1:
        return ((1 - smoothing) * labels + smoothing / 2)[:, None]
    return optax.smooth_labels(jax.nn.one_hot(labels, outputs), smoothing)


def class_probabilities(logits: Logits) -> Float[Array, "B C"]:
    """The probability of each class; for one logit, that of class 1."""
    return jax.nn.sigmoid(logits) if logits.shape[-1] == 1 else jax.nn.softmax(logits)


def cross_entropy(logits: Logits, targets: Float[Array, "B C"]) -> Float[Array, "B"]:
    """That of each example in nats; for one logit, of two classes.

    Args:
        logits: [B, C].
        targets: probabilities [B, C]; for one logit, those of class 1.
    """
    if logits.shape[-1] == 1:
        return optax.sigmoid_binary_cross_entropy(logits, targets)[:, 0]
    return optax.softmax_cross_entropy(logits, targets)


def predicted_labels(logits: Logits) -> Array:
    """The likeliest class of each example, as an integer."""
    if logits.shape[-1] == 1:
        return (logits[:, 0] > 0).astype(jnp.int32)
    return logits.argmax(-1)
