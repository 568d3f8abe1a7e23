"""One half of a text predicts the words of the other: what a classifier can start from.

Each text is cut in two halves. What a classifier would see of one, x, its words and phrases read by
the LSTMs and pooled, f(x), predicts which words and phrases the other half y has:

    p(w | x) ∝ exp((f(x) P) · u_w + b_w)
    loss(x, y) = -Σ_w a_w log p(w | x) / Σ_w a_w,    over the different words and phrases w of y

Those that many halves have say little, and count less: a_w = min(1, √(0.01 / share of the halves
that have w)). The two halves of a text are about the same things and of the same mind, so that the
features come to tell minds apart, where the next word is mostly a matter of grammar.

In training the text is bent to a ring and cut at a place drawn anew each time, and opposite: no two
passes have the same halves to learn by heart. What is measured are those cut at the beginning and
in the middle.

Source: Le & Mikolov (2014), "Distributed Representations of Sentences and Documents", section 2.3,
for vectors that predict a text's words, there one for each text, here made by the LSTMs; Li et al.
(2016), "Learning Document Embeddings by Predicting N-grams for Sentiment Classification of Long
Movie Reviews", for phrases among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float
from numpy.typing import NDArray

from lstm_jax.classifier import ModelConfig, lstm_stack, token_embedding
from lstm_jax.layers import Dropout
from lstm_jax.pooling import Pool
from lstm_jax.shapes import Lengths, Params, Tokens
from lstm_jax.text import UNKNOWN, Batch, Phrases
from lstm_jax.train.objective import Totals

RARE = 0.01  # what this share of the halves has at most counts in full


@dataclass(frozen=True, eq=False)
class Targets:
    """The words and phrases that are predicted; programs are compiled for the object.

    Their numbers are the ids of words, then phrases of two tokens, of three, ..., N in all.

    Attributes:
        vocabulary_size: V.
        phrases: those that are known, if any.
        shares: float32 [N], of the halves that have each, and at least one in a million.
    """

    vocabulary_size: int
    phrases: Phrases | None
    shares: NDArray[np.float32]

    @classmethod
    def count(
        cls, sequences: Sequence[NDArray[np.integer]], vocabulary_size: int, phrases: Phrases | None
    ) -> Targets:
        """Counts them in the halves of texts, the ids `[length]` of each."""
        halves = [half for ids in sequences for half in np.split(ids, [len(ids) // 2])]
        size = vocabulary_size + sum(map(len, phrases.codes if phrases else ()))
        unknown = cls(vocabulary_size, phrases, np.zeros(size, np.float32))
        counts = np.zeros(size + 1, np.int64)
        for half in halves:
            counts[np.unique(unknown.numbers(half))] += 1
        return cls(
            vocabulary_size,
            phrases,
            np.maximum(counts[:size] / len(halves), 1e-6).astype(np.float32),
        )

    @property
    def weights(self) -> NDArray[np.float32]:
        """a [N]: at most 1; 0 for the ids that are not words."""
        weights = np.minimum(1, np.sqrt(RARE / self.shares))
        weights[: UNKNOWN + 1] = 0
        return weights

    def numbers(self, tokens: Any, xp: Any = np) -> Any:
        """Those that end at each token.

        Args:
            tokens: ids [..., T], an array of `xp`.
            xp: numpy or jax.numpy.

        Returns:
            Numbers [..., K T], K the tokens of the longest phrase; N where none ends.
        """
        found, offset = [tokens], self.vocabulary_size
        if self.phrases is not None:
            for codes, numbers in zip(
                self.phrases.codes, self.phrases.numbers(tokens, xp), strict=True
            ):
                found.append(xp.where(numbers < len(codes), numbers + offset, len(self.shares)))
                offset += len(codes)
        return xp.concatenate(found, axis=-1)


class HalfModel(nn.Module):
    """Predicts the words and phrases of a half from the other.

    Its parameters `embedding` and `stack` are those of a TextClassifier of the same configuration.

    Attributes:
        config: the architecture.
        targets: what is predicted.
    """

    config: ModelConfig
    targets: Targets

    def setup(self) -> None:
        config, targets = self.config, self.targets
        self.embedding = token_embedding(config, targets.vocabulary_size, targets.phrases)
        self.stack = lstm_stack(config)
        self.pooling = Pool(config.pooling)
        self.output_dropout = Dropout(config.output_dropout)
        self.projection = nn.Dense(config.embedding_size, use_bias=False)
        self.words = nn.Dense(
            len(targets.shares), use_bias=False, kernel_init=nn.initializers.normal(0.05)
        )
        # At first each is as likely as it is in all halves.
        shares = targets.weights * targets.shares
        self.bias = self.param("bias", lambda _: jnp.log(jnp.float32(shares + 1e-9)))

    def __call__(
        self, tokens: Tokens, lengths: Lengths, *, train: bool = False
    ) -> Float[Array, "B N"]:
        """Token ids [B, T] and lengths [B] to logits of p(w | x) [B, N]."""
        encoding = self.stack(self.embedding(tokens, train=train), lengths, train=train)
        features = self.output_dropout(self.pooling(encoding, lengths), train=train)
        # The bias is added by a product: its gradient is then one too, where XLA's sum over rows
        # takes a CPU fifty times as long.
        bias = jnp.ones((len(tokens), 1)) @ self.bias[None]
        return self.words(self.projection(features)) + bias


@dataclass(frozen=True)
class Halves:
    """The mean over all halves of their losses; a half without a word of the other has none."""

    model: HalfModel

    @property
    def uniform_loss(self) -> float:
        """ln(words and phrases)."""
        return math.log(len(self.model.targets.shares))

    def init(self, key: Array) -> Params:
        """Those of the model."""
        return self.model.init(key, jnp.zeros((1, 1), jnp.int32), jnp.ones(1, jnp.int32))["params"]

    def gradient(
        self, params: Params, batch: Batch, key: Array
    ) -> tuple[tuple[Array, Totals], Params]:
        """See `Objective`; the totals are over halves.

        `correct` are those whose likeliest word or phrase the other half has.
        """

        starts = random_starts(key, jnp.asarray(batch.lengths))

        def mean_loss(params: Params) -> tuple[Array, Totals]:
            sums = self.losses(params, batch, starts, train=True, rngs={"dropout": key})
            return sums.loss / jnp.maximum(sums.examples, 1.0), sums

        return jax.value_and_grad(mean_loss, has_aux=True)(params)

    def losses(self, params: Params, batch: Batch, starts: Lengths, **how: Any) -> Totals:
        """The sums of a batch, cut as `halves` does; `how` goes to the model."""
        lengths = jnp.where(batch.weights > 0, batch.lengths, 0)  # filler predicts nothing
        tokens, lengths = halves(jnp.asarray(batch.tokens), lengths, starts)
        logits: Any = self.model.apply({"params": params}, tokens, lengths, **how)
        targets = self.model.targets
        numbers = targets.numbers(jnp.roll(tokens, len(tokens) // 2, axis=0), jnp)
        numbers = jnp.sort(numbers, axis=-1)  # what a half has twice counts once
        again = jnp.diff(numbers, axis=-1, prepend=-1) == 0
        weights = jnp.where(again, 0, jnp.append(targets.weights, 0)[numbers])
        found = jnp.take_along_axis(logits, numbers, axis=-1, mode="clip")
        of_each = weights.sum(-1)
        valid = (lengths > 0) & (of_each > 0)
        mean = (weights * found).sum(-1) / jnp.where(valid, of_each, 1)
        losses = jax.nn.logsumexp(logits, axis=-1) - mean
        likeliest = jnp.where(weights > 0, found, -jnp.inf).max(-1) == logits.max(-1)
        return Totals(
            jnp.where(valid, losses, 0).sum(),
            (valid & likeliest).sum().astype(losses.dtype),
            valid.sum().astype(losses.dtype),
        )


def random_starts(key: Array, lengths: Lengths) -> Lengths:
    """A place in each text: from 0 to below its length [B]; 0 in an empty one."""
    return (jax.random.uniform(key, lengths.shape) * lengths).astype(jnp.int32)


def halves(tokens: Tokens, lengths: Lengths, starts: Lengths) -> tuple[Tokens, Lengths]:
    """The first halves of texts, then the second ones.

    Args:
        tokens: ids [B, T].
        lengths: [B].
        starts: where the first half begins [B]; after the end of the text comes its beginning.

    Returns:
        Ids [2B, ⌈T/2⌉], padded with 0, and lengths [2B]; of an odd number of tokens the second
        half has one more.
    """
    first = lengths // 2
    sizes = jnp.concatenate([first, lengths - first])
    begins = jnp.concatenate([starts, starts + first])
    steps = jnp.arange(-(-tokens.shape[1] // 2))
    places = (begins[:, None] + steps) % jnp.maximum(jnp.tile(lengths, 2), 1)[:, None]
    taken = jnp.take_along_axis(jnp.tile(tokens, (2, 1)), places, axis=1)
    return jnp.where(steps < sizes[:, None], taken, 0), sizes


def mean_half_loss(objective: Halves, batches: Iterable[Batch], params: Params) -> dict[str, float]:
    """The loss of a half, in nats, without dropout."""
    sums = [jax.device_get(_losses(objective, params, batch)) for batch in batches]
    loss, _, count = np.sum(np.asarray(sums, np.float64), axis=0)
    return {"loss": float(loss / count)}


@partial(jax.jit, static_argnames="objective")
def _losses(objective: Halves, params: Params, batch: Batch) -> Totals:
    return objective.losses(params, batch, jnp.zeros(len(batch.lengths), jnp.int32))
