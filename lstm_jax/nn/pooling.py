"""All encodings of a sequence as one vector, whatever its length; padding never counts."""

from collections.abc import Callable
from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.nn.layer import Encoding
from lstm_jax.nn.settings import one_of
from lstm_jax.recurrence import valid_steps, where_valid
from lstm_jax.shapes import Encodings, Features, Lengths

Pooling = Literal["last", "max", "mean", "max_mean", "attention"]


def max_over_time(outputs: Encodings, valid: Array) -> Features:
    """The largest value of each feature over the valid steps [B, T]; zeros where there is none."""
    lowest = jnp.full_like(outputs, jnp.finfo(outputs.dtype).min)
    largest = where_valid(valid, outputs, lowest).max(axis=1, initial=jnp.finfo(outputs.dtype).min)
    return where_valid(valid.any(axis=1), largest, jnp.zeros_like(largest))


def mean_over_time(outputs: Encodings, valid: Array) -> Features:
    """The mean of each feature over the valid steps [B, T]; zeros where there is none."""
    total = where_valid(valid, outputs, jnp.zeros_like(outputs)).sum(axis=1)
    return total / jnp.maximum(valid.sum(axis=1), 1)[:, None]


POOLS: dict[str, tuple[Callable[[Encodings, Array], Features], ...]] = {
    "max": (max_over_time,),
    "mean": (mean_over_time,),
    "max_mean": (max_over_time, mean_over_time),
}


class Pool(nn.Module):
    """A sequence's encodings as one vector; padding never counts.

    "last" takes the state after the last step read; "max" and "mean" go over the valid steps, and
    "max_mean" puts both side by side; "attention" is the mean weighted by softmax(v · tanh(W y_t)).
    A sequence of length 0 pools to zeros.

    Source: for "attention", Yang et al. (2016), eqs. 5 to 7.
    """

    pooling: Pooling

    @nn.compact
    def __call__(self, encoding: Encoding, lengths: Lengths) -> Features:
        """Encodings of T steps, T from 0 on, and lengths [B] to features [B, F] or [B, 2F].

        Raises:
            ValueError: if the pooling is unknown.
        """
        one_of("pooling", self.pooling, get_args(Pooling))
        if self.pooling == "last":
            return encoding.last
        valid = valid_steps(lengths, encoding.parts[0].shape[1])
        if self.pooling in POOLS:
            pools = POOLS[self.pooling]
            pooled = [pool(part, valid) for pool in pools for part in encoding.parts]
            return jnp.concatenate(pooled, axis=-1)
        outputs = encoding.outputs
        keys = jnp.tanh(nn.Dense(outputs.shape[-1], name="keys")(outputs))
        scores = nn.Dense(1, use_bias=False, name="query")(keys)[..., 0]
        if scores.shape[1] == 0:
            return jnp.zeros_like(encoding.last)
        # An all-masked row gives uniform weights, which outputs of zero turn into zeros.
        weights = jax.nn.softmax(jnp.where(valid, scores, jnp.finfo(scores.dtype).min), axis=1)
        return jnp.einsum("bt,btf->bf", weights, outputs)
