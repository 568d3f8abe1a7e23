"""Cross-entropy, and the probabilities that logits stand for.

Two classes have one logit, that of class 1, and one probability, that of class 1.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float

from lstm_jax.shapes import Logits


def class_probabilities(logits: Logits) -> Float[Array, "B C"]:
    """The probability of each class: softmax, or the logistic function of one logit."""
    return jax.nn.sigmoid(logits) if logits.shape[-1] == 1 else jax.nn.softmax(logits)


def cross_entropy(logits: Logits, targets: Float[Array, "B C"]) -> Float[Array, "B"]:
    """-Σ_c t_c log p_c of each example, in nats.

    Args:
        logits: [B, C].
        targets: t, probabilities [B, C].
    """
    if logits.shape[-1] == 1:
        return optax.sigmoid_binary_cross_entropy(logits, targets)[:, 0]
    return optax.softmax_cross_entropy(logits, targets)


def predicted_labels(logits: Logits) -> Array:
    """The likeliest class of each example, an integer [B]."""
    if logits.shape[-1] == 1:
        return (logits[:, 0] > 0).astype(jnp.int32)
    return logits.argmax(-1)
