"""Two-view pretraining: one half of a text predicts the bag of n-grams of the other half.

Each text is cut into two views. The features of one, as a classifier would compute them, f(x),
predict which tokens and n-grams the other, y, has:

    p(w | x) ∝ exp((f(x) P) · u_w + b_w)
    loss(x, y) = -Σ_w a_w log p(w | x) / Σ_w a_w,    over the different tokens and n-grams w of y

Frequent ones say little, and count less: a_w = min(1, √(0.01 / frequency of w in views)). Both
views of a text have the same topic and sentiment, so that the features learn to tell sentiments
apart; the next word, which a language model predicts, is mostly a matter of grammar.

Source: Johnson & Zhang (2015), "Semi-supervised Convolutional Neural Networks for Text
Categorization via Region Embedding", for views that predict each other's n-grams; Le & Mikolov
(2014), "Distributed Representations of Sentences and Documents", section 2.3, for vectors that
predict a text's words; Li et al. (2016), "Learning Document Embeddings by Predicting N-grams for
Sentiment Classification of Long Movie Reviews", for n-grams among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float
from numpy.typing import NDArray

from lstm_jax.models.config import ModelConfig
from lstm_jax.models.encoder import lstm_stack, token_embedding
from lstm_jax.nn.dropout import Dropout
from lstm_jax.nn.pooling import Pool
from lstm_jax.shapes import Lengths, Tokens
from lstm_jax.text import UNKNOWN, NGrams

RARE = 0.01  # up to this frequency a token or n-gram has weight 1


@dataclass(frozen=True, eq=False)
class BagOfNGrams:
    """The tokens and n-grams that are predicted; programs are compiled for the object.

    Their ids are those of tokens, then of bigrams, trigrams, ..., N in all.

    Attributes:
        vocabulary_size: V.
        ngrams: those that are known, if any.
        frequencies: float32 [N], the share of views that have each, at least one in a million.
    """

    vocabulary_size: int
    ngrams: NGrams | None
    frequencies: NDArray[np.float32]

    @classmethod
    def count(
        cls, sequences: Sequence[NDArray[np.integer]], vocabulary_size: int, ngrams: NGrams | None
    ) -> BagOfNGrams:
        """Counts them in the two views of texts, the ids `[length]` of each."""
        views = [view for ids in sequences for view in np.split(ids, [len(ids) // 2])]
        size = vocabulary_size + sum(map(len, ngrams.keys if ngrams else ()))
        uncounted = cls(vocabulary_size, ngrams, np.zeros(size, np.float32))
        counts = np.zeros(size + 1, np.int64)
        for view in views:
            counts[np.unique(uncounted.ids(view))] += 1
        return cls(
            vocabulary_size,
            ngrams,
            np.maximum(counts[:size] / len(views), 1e-6).astype(np.float32),
        )

    @property
    def weights(self) -> NDArray[np.float32]:
        """a [N]: at most 1; 0 for the ids that are not words."""
        weights = np.minimum(1, np.sqrt(RARE / self.frequencies))
        weights[: UNKNOWN + 1] = 0
        return weights

    def ids(self, tokens: Any, xp: Any = np) -> Any:
        """Those that end at each token.

        Args:
            tokens: ids [..., T], an array of `xp`.
            xp: numpy or jax.numpy.

        Returns:
            Ids [..., K T], K the tokens of the longest n-gram; N where none ends.
        """
        ids, offset = [tokens], self.vocabulary_size
        if self.ngrams is not None:
            for keys, of_length in zip(self.ngrams.keys, self.ngrams.ids(tokens, xp), strict=True):
                known = of_length < len(keys)
                ids.append(xp.where(known, of_length + offset, len(self.frequencies)))
                offset += len(keys)
        return xp.concatenate(ids, axis=-1)


class TwoViewModel(nn.Module):
    """Predicts the bag of n-grams of one view from the other.

    Its parameters `embedding` and `stack` are those of a TextClassifier of the same configuration.

    Attributes:
        config: the architecture.
        bag: what is predicted.
    """

    config: ModelConfig
    bag: BagOfNGrams

    def setup(self) -> None:
        config, bag = self.config, self.bag
        self.embedding = token_embedding(config, bag.vocabulary_size, bag.ngrams)
        self.stack = lstm_stack(config)
        self.pooling = Pool(config.pooling)
        self.output_dropout = Dropout(config.output_dropout)
        self.projection = nn.Dense(config.embedding_size, use_bias=False)
        self.words = nn.Dense(
            len(bag.frequencies), use_bias=False, kernel_init=nn.initializers.normal(0.05)
        )
        # At first each is as likely as it is in all views.
        expected = bag.weights * bag.frequencies
        self.bias = self.param("bias", lambda _: jnp.log(jnp.float32(expected + 1e-9)))

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
