"""A linear model of the tokens and n-grams of a text, beside an LSTM."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from lstm_jax.recurrence import zero_padding
from lstm_jax.shapes import Lengths, Logits, Tokens
from lstm_jax.text.ngrams import NGrams


class LinearNGrams(nn.Module):
    """logits = b + Σ_t Σ_k W_k[id_kt] / √(Σ_t Σ_k s_k[id_kt]).

    t are the steps of a text, k = 1 its tokens and k = 2, 3, ... the n-grams that end there. With
    W = idf · V and s = idf² this is a linear model V of TF-IDF features, divided by a length in
    which each occurrence counts by itself. Its parameters are not learnt by gradient steps:
    `lstm_jax.train.linear` fits them in one go. Until then they are zeros.

    Attributes:
        vocabulary_size: the number of token ids.
        outputs: C, the number of logits.
        ngrams: those that have weights of their own, if any do.
    """

    vocabulary_size: int
    outputs: int
    ngrams: NGrams | None = None

    @nn.compact
    def __call__(self, tokens: Tokens, lengths: Lengths) -> Logits:
        """Ids [B, T] and lengths [B] to logits [B, C]."""
        ids, sizes = [tokens], [self.vocabulary_size]
        if self.ngrams is not None:
            ids += self.ngrams.ids(tokens, jnp)
            sizes += [len(keys) for keys in self.ngrams.keys]

        def summed(table: Array, ids: Array) -> Array:
            # Beyond the last id there are zeros: no n-gram, no weight.
            rows = jnp.take(table, ids, axis=0, mode="fill", fill_value=0)
            return zero_padding(rows, lengths).sum(1)

        weighted: Array = jnp.zeros((len(tokens), self.outputs))
        squares: Array = jnp.zeros(len(tokens))
        for length, (size, these) in enumerate(zip(sizes, ids, strict=True), 1):
            weights = self.param(
                f"weights_of_{length}", nn.initializers.zeros, (size, self.outputs)
            )
            weighted += summed(weights, these)
            table = self.param(f"squares_of_{length}", nn.initializers.zeros, (size,))
            squares += summed(table, these)
        bias = self.param("bias", nn.initializers.zeros, (self.outputs,))
        lengths_of_texts = jnp.sqrt(jnp.where(squares > 0, squares, 1))
        return bias[None] + weighted / lengths_of_texts[:, None]
