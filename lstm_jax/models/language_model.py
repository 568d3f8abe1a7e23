"""An LSTM that predicts the next word, and the one before: what a classifier can start from.

Read forward, the state after word t predicts word t + 1; read backward, it predicts word t - 1. The
two directions share the word vectors, which are also the rows that words are predicted with:

    p(w | h) ∝ exp((h P + q) · v_w + b_w)

Texts are cut into chunks, each read from an empty state.

Source: Dai & Le (2015) for the use; Press & Wolf (2017) for sharing the vectors.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from lstm_jax.models.config import ModelConfig
from lstm_jax.models.encoder import lstm_stack, token_embedding
from lstm_jax.nn.dropout import Dropout
from lstm_jax.shapes import Lengths, Tokens


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
