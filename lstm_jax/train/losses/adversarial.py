"""Adversarial training of a classifier: a second loss, on embeddings perturbed against it.

For a text's embeddings x and g = ∂L/∂x, the loss is the mean of L(x) and L(x + r), with

    r = ε c s g / ‖g‖₂,

over all tokens of the text together. s is the length of a typical embedding in the batch: with it,
a model cannot escape the perturbation by making its embeddings longer. Miyato et al. normalise the
whole table for that, by the tokens' frequencies, to vectors of length √E; their ε of 5 is 5/√256 ≈
0.3 in this unit.

c is the model's confidence in the batch's targets, from 0 to 1, so that the perturbation grows with
what has been learnt. At full size from the start it would hide the little that tells the classes
apart, and nothing would be learnt.

The gradient g costs nothing: it is part of the gradient of L(x), which is computed anyway.

Source: Miyato, Dai & Goodfellow (2017), "Adversarial Training Methods for Semi-Supervised Text
Classification", eqs. 3 and 5 to 8; the unit s and the factor c are ours. For texts without labels
they find where the divergence grows most by a power iteration; here the perturbation follows the
gradient of the entropy, which is at hand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from lstm_jax.data import Batch
from lstm_jax.recurrence import zero_padding
from lstm_jax.shapes import Embeddings, Lengths, Params
from lstm_jax.train.losses.base import Totals
from lstm_jax.train.losses.classification import Classification, Outcome


@dataclass(frozen=True)
class Adversarial:
    """The mean of a classifier's loss and of its loss on perturbed embeddings.

    Attributes:
        loss: the classifier's. Both passes have the same dropout.
        size: ε, in lengths of a typical embedding.
    """

    loss: Classification
    size: float

    @property
    def uniform_loss(self) -> float:
        """That of the classifier's loss."""
        return self.loss.uniform_loss

    def init(self, key: Array) -> Params:
        """That of the classifier's loss."""
        return self.loss.init(key)

    def __call__(self, params: Params, batch: Batch, key: Array) -> tuple[Array, Totals]:
        """See `Loss`; loss and totals are those of the embeddings as they are, L(x).

        So the training loss can be compared with others; the gradient is that of the mean.
        """
        return with_own_gradient(lambda params: self.value_and_gradient(params, batch, key))(params)

    def value_and_gradient(
        self, params: Params, batch: Batch, key: Array
    ) -> tuple[tuple[Array, Totals], Params]:
        """L(x) and its totals, and the gradient of the mean of L(x) and L(x + r), r a constant."""

        def of_embeddings(
            params: Params, embeddings: Embeddings, targets: Array | None = None
        ) -> tuple[Array, Outcome]:
            return self.loss.from_embeddings(params, embeddings, batch, key, targets)

        gradient = jax.value_and_grad(of_embeddings, (0, 1), has_aux=True)
        embed = partial(self.loss.embed, batch=batch, key=key)
        embeddings, of_table = jax.vjp(embed, params)
        (clean, outcome), clean_gradient = gradient(params, embeddings)
        weights = jnp.asarray(batch.weights)
        lengths = jnp.where(weights > 0, batch.lengths, 0)  # padding rows are no typical texts
        confidences = weights * confidence(outcome.targets, outcome.probabilities)
        size = self.size * (confidences.sum() / jnp.maximum(weights.sum(), 1e-6))
        perturbed = embeddings + perturbation(embeddings, clean_gradient[1], lengths, size)
        # Without a label, the prediction on the embeddings as they are is what to keep to.
        targets = outcome.probabilities if batch.soft_labels is None else None
        _, second_gradient = gradient(params, perturbed, targets)
        by_params, by_embeddings = jax.tree.map(
            lambda one, other: (one + other) / 2, clean_gradient, second_gradient
        )
        total = jax.tree.map(jnp.add, by_params, *of_table(by_embeddings))
        return (clean, outcome.totals), total


def with_own_gradient(
    function: Callable[[Params], tuple[tuple[Array, Any], Params]],
) -> Callable[[Params], tuple[Array, Any]]:
    """A function to be differentiated, from one that computes its gradient with its value.

    Args:
        function: of parameters: the value with something beside it, and the value's gradient.

    Returns:
        A function of parameters: the value, and what is beside it, which has no gradient.
    """

    @jax.custom_vjp
    def differentiable(params: Params) -> tuple[Array, Any]:
        return function(params)[0]

    def forward(params: Params) -> tuple[tuple[Array, Any], Params]:
        return function(params)

    def backward(gradient: Params, cotangents: tuple[Array, Any]) -> tuple[Params]:
        return (jax.tree.map(lambda array: cotangents[0] * array, gradient),)

    differentiable.defvjp(forward, backward)
    return differentiable


def confidence(targets: Float[Array, "B C"], predicted: Float[Array, "B C"]) -> Float[Array, "B"]:
    """Of each text, 0 where the target is no likelier than by chance, 1 where it is certain.

    The mean over a batch is its c.

    Args:
        targets: probabilities of the classes that are to be learnt [B, C]; of class 1 alone [B, 1].
        predicted: what the model says they are.
    """
    if targets.shape[-1] == 1:
        targets, predicted = (jnp.concatenate([1 - of_1, of_1], 1) for of_1 in (targets, predicted))
    classes = targets.shape[-1]
    return jnp.maximum((classes * (targets * predicted).sum(-1) - 1) / (classes - 1), 0)


def perturbation(
    embeddings: Embeddings, gradient: Embeddings, lengths: Lengths, size: float | Array
) -> Array:
    """The r of each text.

    Args:
        embeddings: x [B, T, E].
        gradient: ∂L/∂x [B, T, E]; zeros at and past each length.
        lengths: tokens of each text [B].
        size: ε c, at least 0, in lengths of a typical embedding.

    Returns:
        [B, T, E]; zeros where a text's gradient is zero.
    """
    squares = (zero_padding(embeddings, lengths) ** 2).sum()
    typical = jnp.sqrt(squares / jnp.maximum(lengths.sum(), 1))
    norms = jnp.sqrt((gradient**2).sum((1, 2), keepdims=True))
    return size * typical * gradient / jnp.where(norms > 0, norms, 1)
