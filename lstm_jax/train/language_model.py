"""An LSTM that predicts the next word, and the one before: what a classifier can start from.

Read forward, the state after word t predicts word t + 1; read backward, it predicts word t - 1. The
two directions share the word vectors, which are also the rows that words are predicted with:

    p(w | h) ∝ exp((h P + q) · v_w + b_w)

In training the normalisation is estimated: the word itself, and for all others k words drawn for
the whole batch, more often the more frequent they are (ids are in the order of frequency), each
one's logit lowered by the logarithm of how often it is expected in the draw. Texts are cut into
pieces, each read from an empty state.

Source: Dai & Le (2015) for the use; Jean et al. (2015), section 3 for the sampling; Press & Wolf
(2017) for sharing the vectors.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from lstm_jax.classifier import ModelConfig, lstm_stack, token_embedding
from lstm_jax.layers import Dropout
from lstm_jax.shapes import Lengths, Params, Tokens
from lstm_jax.text import Batch
from lstm_jax.train.objective import Totals


class LanguageModel(nn.Module):
    """Predicts each word from those before it, from those after it, or from both apart.

    Its parameters `embedding` and `stack` are those of a TextClassifier of the same configuration.

    Attributes:
        config: the architecture; one layer if it reads both ways, merged by "concat".
        vocabulary_size: V.
    """

    config: ModelConfig
    vocabulary_size: int

    def setup(self) -> None:
        config = self.config
        if config.direction == "bidirectional" and (config.layers, config.merge) != (1, "concat"):
            raise ValueError(
                "a language model that reads both ways must have one layer and merge by concat, "
                f"got layers={config.layers} and merge={config.merge!r}: a second layer would see "
                "the words to be predicted"
            )
        self.embedding = token_embedding(config, self.vocabulary_size)
        self.stack = lstm_stack(config)
        self.output_dropout = Dropout(config.output_dropout)
        self.projections = {
            name: nn.Dense(config.embedding_size, name=f"projection_{name}")
            for name in self.directions
        }
        shape = (self.vocabulary_size,)
        self.bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)

    @property
    def directions(self) -> tuple[str, ...]:
        """Which ways it reads."""
        both = self.config.direction == "bidirectional"
        return ("forward", "backward") if both else (self.config.direction,)

    def __call__(
        self, tokens: Tokens, lengths: Lengths, *, train: bool = False
    ) -> tuple[Array, Array, Array]:
        """What predicts each word, and which.

        Args:
            tokens: ids [B, T].
            lengths: [B].
            train: whether to drop out.

        Returns:
            Vectors [N, E] to be multiplied with word vectors, the ids of the words that they
            predict [N], and 1 for those that there are, 0 for padding [N]; N = directions · B · T.
        """
        embeddings = self.embedding(tokens, train=train)
        encoding = self.stack(embeddings, lengths, train=train)
        times = jnp.arange(tokens.shape[1])
        vectors, targets, valid = [], [], []
        for name, part in zip(self.directions, encoding.parts, strict=True):
            ahead = 1 if name == "forward" else -1
            vectors.append(self.projections[name](self.output_dropout(part, train=train)))
            targets.append(jnp.roll(tokens, -ahead, axis=1))
            there = times + ahead
            valid.append((there >= 0) & (there < lengths[:, None]) & (times < lengths[:, None]))
        return (
            jnp.stack(vectors).reshape(-1, self.config.embedding_size),
            jnp.stack(targets).reshape(-1),
            jnp.stack(valid).reshape(-1),
        )

    def words(self, ids: Array) -> tuple[Array, Array]:
        """The vectors [K, E] and biases [K] that words are predicted with."""
        return self.embedding(ids[None])[0], jnp.take(self.bias, ids)


@dataclass(frozen=True)
class Prediction:
    """The mean over all predicted words of their sampled cross-entropy.

    Attributes:
        model: what predicts.
        samples: the words drawn for a batch.
    """

    model: LanguageModel
    samples: int = 1024

    @property
    def uniform_loss(self) -> float:
        """ln(words)."""
        return math.log(self.model.vocabulary_size)

    def init(self, key: Array) -> Params:
        """Those of the model."""

        def everything(model: LanguageModel, tokens: Array, lengths: Array) -> Any:
            return model(tokens, lengths), model.words(tokens[0])

        tokens, lengths = jnp.zeros((1, 2), jnp.int32), jnp.full(1, 2, jnp.int32)
        return self.model.init(key, tokens, lengths, method=everything)["params"]

    def gradient(
        self, params: Params, batch: Batch, key: Array
    ) -> tuple[tuple[Array, Totals], Params]:
        """See `Objective`; the totals are over words, `correct` among those drawn."""
        draw_key, dropout_key = jax.random.split(key)
        drawn = draw_words(draw_key, self.samples, self.model.vocabulary_size)

        def mean_loss(params: Params) -> tuple[Array, Totals]:
            variables = {"params": params}
            predicted: Any = self.model.apply(
                variables,
                batch.tokens,
                jnp.where(batch.weights > 0, batch.lengths, 0),  # filler predicts nothing
                train=True,
                rngs={"dropout": dropout_key},
            )
            vectors, targets, valid = predicted
            words: Any = self.model.apply(variables, drawn, method="words")
            own_words: Any = self.model.apply(variables, targets, method="words")
            (table, bias), (own, own_bias) = words, own_words
            expected = jnp.log(self.samples * word_shares(self.model.vocabulary_size))
            right = (vectors * own).sum(-1) + own_bias
            others = vectors @ table.T + bias - expected[drawn]
            others = jnp.where(drawn == targets[:, None], -jnp.inf, others)
            losses = (
                jax.nn.logsumexp(jnp.concatenate([right[:, None], others], axis=1), axis=1) - right
            )
            sums = Totals(
                jnp.where(valid, losses, 0).sum(),
                (valid & (right > others.max(-1))).sum().astype(losses.dtype),
                valid.sum().astype(losses.dtype),
            )
            return sums.loss / jnp.maximum(sums.examples, 1.0), sums

        return jax.value_and_grad(mean_loss, has_aux=True)(params)


def word_shares(vocabulary_size: int) -> Array:
    """The chance [V] of each id in a draw: log((i + 2) / (i + 1)) / log(V + 1), as Zipf has it."""
    ids = jnp.arange(vocabulary_size)
    return jnp.log((ids + 2) / (ids + 1)) / jnp.log(vocabulary_size + 1)


def draw_words(key: Array, count: int, vocabulary_size: int) -> Array:
    """Ids [count] drawn with those chances, by inverting their sum, log(i + 2) / log(V + 1)."""
    drawn = jnp.exp(jax.random.uniform(key, (count,)) * jnp.log(vocabulary_size + 1.0)) - 1
    return jnp.clip(drawn.astype(jnp.int32), 0, vocabulary_size - 1)


def mean_word_loss(
    model: LanguageModel, batches: Iterable[Batch], params: Params
) -> dict[str, float]:
    """The cross-entropy of a word, in nats and over the whole vocabulary, and its exponential."""
    sums = [
        jax.device_get(_word_losses(model, params, batch.tokens, batch.lengths))
        for batch in batches
    ]
    loss, words = np.sum(np.asarray(sums, np.float64), axis=0)
    return {"loss": float(loss / words), "perplexity": float(np.exp(loss / words))}


@partial(jax.jit, static_argnames="model")
def _word_losses(
    model: LanguageModel, params: Params, tokens: Array, lengths: Array
) -> tuple[Array, Array]:
    """The summed losses of the words of a batch, and how many there are."""
    variables = {"params": params}
    predicted: Any = model.apply(variables, tokens, lengths)
    vectors, targets, valid = predicted
    words: Any = model.apply(variables, jnp.arange(model.vocabulary_size), method="words")
    table, bias = words

    def one(pair: tuple[Array, Array]) -> Array:
        vector, target = pair
        return optax.softmax_cross_entropy_with_integer_labels(table @ vector + bias, target)

    losses = jax.lax.map(one, (vectors, targets), batch_size=512)
    return jnp.where(valid, losses, 0).sum(), valid.sum()
