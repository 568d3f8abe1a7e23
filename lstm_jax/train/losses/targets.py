"""The probabilities that a classifier learns: of labels, of another model, or its own.

Their cross-entropy with the model's probabilities is the loss:

    labels            one-hot, or smoothed
    soft labels       another model's probabilities: distillation
    own probabilities the model's entropy: entropy minimisation
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float

from lstm_jax.data import UNLABELLED
from lstm_jax.shapes import Labels


def smoothed_labels(labels: Labels, outputs: int, smoothing: float) -> Float[Array, "B C"]:
    """Labels as probabilities, a share of each spread over all classes alike.

    Args:
        labels: [B].
        outputs: C, the number of logits.
        smoothing: the share, in [0, 1).

    Source: Szegedy et al. (2016), "Rethinking the Inception Architecture", section 7.
    """
    if outputs == 1:
        return ((1 - smoothing) * labels + smoothing / 2)[:, None]
    return optax.smooth_labels(jax.nn.one_hot(labels, outputs), smoothing)


def targets(
    labels: Labels,
    soft_labels: Float[Array, "B C"] | None,
    own: Float[Array, "B C"],
    smoothing: float = 0.0,
) -> Float[Array, "B C"]:
    """What each example is to be predicted as.

    Args:
        labels: [B]; `UNLABELLED` where there is none.
        soft_labels: for examples without a label, if there are such.
        own: the model's probabilities, which stand in where there is neither. The cross-entropy
            with itself is the entropy, which training then lowers.
        smoothing: as for `smoothed_labels`.

    Source: Hinton, Vinyals & Dean (2015) for soft labels; Grandvalet & Bengio (2005),
        "Semi-supervised Learning by Entropy Minimization", for the entropy.
    """
    given = smoothed_labels(labels, own.shape[-1], smoothing)
    without = own if soft_labels is None else soft_labels
    return jnp.where((labels != UNLABELLED)[:, None], given, without)
