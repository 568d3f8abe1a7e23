"""Token ids to vectors."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.nn.dropout import Dropout
from lstm_jax.shapes import Embeddings, Tokens
from lstm_jax.sharding import run_by_sequence
from lstm_jax.text.ngrams import NGrams


class TokenEmbedding(nn.Module):
    """A vector for each token id, with whole tokens and single features dropped in training.

    Where a known n-gram ends, its vector is added to that of its last token.

    Attributes:
        vocabulary_size: V, the number of ids.
        features: E.
        scale: the initial vectors are uniform in (-scale, scale); Keras's default is 0.05.
        token_dropout: probability in [0, 1) that a token's whole vector is zeroed.
        feature_dropout: probability in [0, 1) that one number of it is.
        variational: one draw of numbers for all tokens of a sequence, instead of one for each.
        ngrams: those that have vectors of their own, if any do.
        ngram_dropout: probability in [0, 1) that an n-gram's vector is not added.

    Source: for `variational`, Gal & Ghahramani (2016), "A Theoretically Grounded Application of
        Dropout in Recurrent Neural Networks", section 4.
    """

    vocabulary_size: int
    features: int
    scale: float = 0.05
    token_dropout: float = 0.0
    feature_dropout: float = 0.0
    variational: bool = False
    ngrams: NGrams | None = None
    ngram_dropout: float = 0.0

    @nn.compact
    def __call__(self, tokens: Tokens, *, train: bool = False) -> Embeddings:
        """Ids [B, T] to vectors [B, T, E]."""

        def uniform(key: Array, shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(key, shape, jnp.float32, -self.scale, self.scale)

        table = self.param("table", uniform, (self.vocabulary_size, self.features))
        embeddings = run_by_sequence(partial(_rows, mode="clip"), tokens, table)
        embeddings = Dropout(self.token_dropout, (-1,))(embeddings, train=train)
        if self.ngrams is not None:
            for length, ids in enumerate(self.ngrams.ids(tokens, jnp), 2):
                count = len(self.ngrams.keys[length - 2])
                vectors = self.param(f"ngrams_of_{length}", uniform, (count, self.features))
                # Beyond the last id there are zeros: no n-gram, no vector.
                added = run_by_sequence(partial(_rows, mode="fill"), ids, vectors)
                embeddings += Dropout(self.ngram_dropout, (-1,))(added, train=train)
        shared = (1,) if self.variational else ()
        return Dropout(self.feature_dropout, shared)(embeddings, train=train)


def _rows(ids: Array, table: Array, *, mode: str) -> Array:
    """The row of a table for each id; ids beyond the last give the last ("clip") or zeros."""
    return jnp.take(table, ids, axis=0, mode=mode, fill_value=0 if mode == "fill" else None)
