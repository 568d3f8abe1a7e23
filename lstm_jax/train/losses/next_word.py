"""The loss of a language model: the sampled cross-entropy of the next word.

In training the normalisation is estimated from the word itself and k words drawn for the whole
batch. Frequent words are drawn more often (ids are in the order of frequency), and the logit of
each drawn word is lowered by the logarithm of how often it is expected in the draw.

Source: Jean et al. (2015), "On Using Very Large Target Vocabulary for Neural Machine Translation",
section 3.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from lstm_jax.data import Batch
from lstm_jax.models.language_model import LanguageModel
from lstm_jax.shapes import Params
from lstm_jax.train.losses.base import Totals


@dataclass(frozen=True)
class NextWord:
    """The mean over all predicted words of their sampled cross-entropy.

    Attributes:
        model: what predicts.
        samples: k.
    """

    model: LanguageModel
    samples: int = 1024

    @property
    def uniform_loss(self) -> float:
        """ln(words)."""
        return math.log(self.model.vocabulary_size)

    def init(self, key: Array) -> Params:
        """The model's."""

        def everything(model: LanguageModel, tokens: Array, lengths: Array) -> Any:
            return model(tokens, lengths), model.words(tokens[0])

        tokens, lengths = jnp.zeros((1, 2), jnp.int32), jnp.full(1, 2, jnp.int32)
        return self.model.init(key, tokens, lengths, method=everything)["params"]

    def __call__(self, params: Params, batch: Batch, key: Array) -> tuple[Array, Totals]:
        """See `Loss`; the totals are over words, `correct` among those drawn."""
        draw_key, dropout_key = jax.random.split(key)
        size = self.model.vocabulary_size
        drawn = draw_words(draw_key, self.samples, size)
        variables = {"params": params}
        predicted: Any = self.model.apply(
            variables,
            batch.tokens,
            jnp.where(batch.weights > 0, batch.lengths, 0),  # padding rows predict nothing
            train=True,
            rngs={"dropout": dropout_key},
        )
        vectors, targets, valid = predicted
        words: Any = self.model.apply(variables, drawn, method="words")
        own_words: Any = self.model.apply(variables, targets, method="words")
        (table, bias), (own, own_bias) = words, own_words
        expected = jnp.log(self.samples * draw_probabilities(size))
        right = (vectors * own).sum(-1) + own_bias
        others = vectors @ table.T + bias - expected[drawn]
        others = jnp.where(drawn == targets[:, None], -jnp.inf, others)
        losses = jax.nn.logsumexp(jnp.concatenate([right[:, None], others], axis=1), axis=1) - right
        totals = Totals(
            jnp.where(valid, losses, 0).sum(),
            (valid & (right > others.max(-1))).sum().astype(losses.dtype),
            valid.sum().astype(losses.dtype),
        )
        return totals.loss / jnp.maximum(totals.examples, 1.0), totals

    def totals(self, params: Params, batch: Batch) -> Totals:
        """The sums over a batch without dropout, each loss over the whole vocabulary."""
        variables = {"params": params}
        lengths = jnp.where(batch.weights > 0, batch.lengths, 0)  # padding rows predict nothing
        predicted: Any = self.model.apply(variables, batch.tokens, lengths)
        vectors, targets, valid = predicted
        ids = jnp.arange(self.model.vocabulary_size)
        words: Any = self.model.apply(variables, ids, method="words")
        table, bias = words

        def of_word(pair: tuple[Array, Array]) -> tuple[Array, Array]:
            vector, target = pair
            logits = table @ vector + bias
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, target)
            return loss, logits.argmax() == target

        losses, correct = jax.lax.map(of_word, (vectors, targets), batch_size=512)
        count = valid.sum().astype(losses.dtype)
        return Totals(
            jnp.where(valid, losses, 0).sum(), (valid & correct).sum().astype(losses.dtype), count
        )


def draw_probabilities(vocabulary_size: int) -> Array:
    """Of each id [V], by Zipf's law: log((i + 2) / (i + 1)) / log(V + 1)."""
    ids = jnp.arange(vocabulary_size)
    return jnp.log((ids + 2) / (ids + 1)) / jnp.log(vocabulary_size + 1)


def draw_words(key: Array, count: int, vocabulary_size: int) -> Array:
    """Ids [count] drawn so, by inverting the sum of probabilities, log(i + 2) / log(V + 1)."""
    drawn = jnp.exp(jax.random.uniform(key, (count,)) * jnp.log(vocabulary_size + 1.0)) - 1
    return jnp.clip(drawn.astype(jnp.int32), 0, vocabulary_size - 1)
