"""The loss of two-view pretraining, and how a text is cut into two views."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.data import Batch
from lstm_jax.models.two_view import TwoViewModel
from lstm_jax.shapes import Lengths, Params, Tokens
from lstm_jax.train.losses.base import Totals


@dataclass(frozen=True)
class TwoView:
    """The mean loss of a view; one whose other view has nothing to predict does not count.

    In training a text is closed to a ring and cut at a random place and opposite it, so that no two
    epochs have the same views. What is measured are the views cut in the middle.

    Attributes:
        model: what predicts.
    """

    model: TwoViewModel

    @property
    def uniform_loss(self) -> float:
        """ln(tokens and n-grams)."""
        return math.log(len(self.model.bag.frequencies))

    def init(self, key: Array) -> Params:
        """The model's."""
        return self.model.init(key, jnp.zeros((1, 1), jnp.int32), jnp.ones(1, jnp.int32))["params"]

    def __call__(self, params: Params, batch: Batch, key: Array) -> tuple[Array, Totals]:
        """See `Loss`; the totals are over views.

        `correct` are those whose likeliest token or n-gram the other view has.
        """
        starts = random_starts(key, jnp.asarray(batch.lengths))
        totals = self._totals(params, batch, starts, train=True, rngs={"dropout": key})
        return totals.loss / jnp.maximum(totals.examples, 1.0), totals

    def totals(self, params: Params, batch: Batch) -> Totals:
        """The sums over a batch without dropout, of views cut in the middle."""
        return self._totals(params, batch, jnp.zeros(len(batch.lengths), jnp.int32))

    def _totals(self, params: Params, batch: Batch, starts: Lengths, **options: Any) -> Totals:
        """The sums over a batch that is cut at `starts`; `options` go to the model."""
        lengths = jnp.where(batch.weights > 0, batch.lengths, 0)  # padding rows predict nothing
        tokens, lengths = views(jnp.asarray(batch.tokens), lengths, starts)
        logits: Any = self.model.apply({"params": params}, tokens, lengths, **options)
        bag = self.model.bag
        ids = bag.ids(jnp.roll(tokens, len(tokens) // 2, axis=0), jnp)
        ids = jnp.sort(ids, axis=-1)  # what a view has twice counts once
        repeated = jnp.diff(ids, axis=-1, prepend=-1) == 0
        weights = jnp.where(repeated, 0, jnp.append(bag.weights, 0)[ids])
        wanted = jnp.take_along_axis(logits, ids, axis=-1, mode="clip")
        sums = weights.sum(-1)
        valid = (lengths > 0) & (sums > 0)
        mean = (weights * wanted).sum(-1) / jnp.where(valid, sums, 1)
        losses = jax.nn.logsumexp(logits, axis=-1) - mean
        likeliest = jnp.where(weights > 0, wanted, -jnp.inf).max(-1) == logits.max(-1)
        return Totals(
            jnp.where(valid, losses, 0).sum(),
            (valid & likeliest).sum().astype(losses.dtype),
            valid.sum().astype(losses.dtype),
        )


def random_starts(key: Array, lengths: Lengths) -> Lengths:
    """A place in each text: from 0 to below its length [B]; 0 in an empty one."""
    return (jax.random.uniform(key, lengths.shape) * lengths).astype(jnp.int32)


def views(tokens: Tokens, lengths: Lengths, starts: Lengths) -> tuple[Tokens, Lengths]:
    """The first views of texts, then the second ones.

    Args:
        tokens: ids [B, T].
        lengths: [B].
        starts: where the first view begins [B]; after the end of the text comes its beginning.

    Returns:
        Ids [2B, ⌈T/2⌉], padded with 0, and lengths [2B]; of an odd number of tokens the second view
        has one more.
    """
    first = lengths // 2
    sizes = jnp.concatenate([first, lengths - first])
    begins = jnp.concatenate([starts, starts + first])
    steps = jnp.arange(-(-tokens.shape[1] // 2))
    places = (begins[:, None] + steps) % jnp.maximum(jnp.tile(lengths, 2), 1)[:, None]
    taken = jnp.take_along_axis(jnp.tile(tokens, (2, 1)), places, axis=1)
    return jnp.where(steps < sizes[:, None], taken, 0), sizes
