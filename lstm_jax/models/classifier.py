"""The text classifier: tokens -> embeddings -> encodings -> features -> logits."""

import flax.linen as nn

from lstm_jax.models.config import ModelConfig
from lstm_jax.models.encoder import lstm_stack, token_embedding
from lstm_jax.nn.dropout import Dropout
from lstm_jax.nn.layer import Encoding
from lstm_jax.nn.linear import LinearNGrams
from lstm_jax.nn.pooling import Pool
from lstm_jax.shapes import Embeddings, Features, Lengths, Logits, Tokens
from lstm_jax.text import NGrams


class TextClassifier(nn.Module):
    """Classifies token sequences with a stack of LSTMs.

    `__call__` is `logits(pool(encode(embed(tokens), lengths), lengths))`; the parts are methods of
    their own so that, for instance, attributions can start at the embeddings:

        embeddings = model.apply(variables, tokens, method="embed")
        logits = model.apply(variables, embeddings, lengths, method="classify")

    With `config.linear`, the logits of `linear_logits(tokens, lengths)` are added to these. Losses
    are of `classify` alone: the linear model is fitted after the LSTM.

    Attributes:
        config: the architecture.
        vocabulary_size: V, the number of token ids.
        classes: number of classes, at least 2. Two classes have one logit, that of class 1.
        ngrams: those with vectors of their own, if any; programs are compiled for the object.
    """

    config: ModelConfig
    vocabulary_size: int
    classes: int = 2
    ngrams: NGrams | None = None

    @property
    def outputs(self) -> int:
        """C, the number of logits."""
        return 1 if self.classes == 2 else self.classes

    def setup(self) -> None:
        config = self.config
        self.embedding = token_embedding(config, self.vocabulary_size, self.ngrams)
        self.stack = lstm_stack(config)
        self.pooling = Pool(config.pooling)
        self.output_dropout = Dropout(config.output_dropout)
        self.head = nn.Dense(self.outputs, kernel_init=nn.initializers.glorot_uniform())
        if config.linear:
            self.linear = LinearNGrams(self.vocabulary_size, self.outputs, self.ngrams)

    def embed(self, tokens: Tokens, *, train: bool = False) -> Embeddings:
        """Token ids [B, T] to embeddings [B, T, E]."""
        return self.embedding(tokens, train=train)

    def encode(self, embeddings: Embeddings, lengths: Lengths, *, train: bool = False) -> Encoding:
        """Embeddings [B, T, E] to the last layer's outputs [B, T, F] and last state [B, F]."""
        return self.stack(embeddings, lengths, train=train)

    def pool(self, encoding: Encoding, lengths: Lengths) -> Features:
        """Encodings to one vector per text [B, F], or [B, 2F] for max_mean."""
        return self.pooling(encoding, lengths)

    def logits(self, features: Features, *, train: bool = False) -> Logits:
        """Features to unnormalised log-probabilities [B, C]; C = 1 for two classes."""
        return self.head(self.output_dropout(features, train=train))

    def classify(self, embeddings: Embeddings, lengths: Lengths, *, train: bool = False) -> Logits:
        """Embeddings [B, T, E] to logits [B, C]."""
        encoding = self.encode(embeddings, lengths, train=train)
        return self.logits(self.pool(encoding, lengths), train=train)

    def __call__(self, tokens: Tokens, lengths: Lengths, *, train: bool = False) -> Logits:
        """Token ids [B, T] and lengths [B] to logits [B, C]."""
        logits = self.classify(self.embed(tokens, train=train), lengths, train=train)
        return logits + self.linear_logits(tokens, lengths) if self.config.linear else logits

    def linear_logits(self, tokens: Tokens, lengths: Lengths) -> Logits:
        """Token ids [B, T] and lengths [B] to the logits [B, C] of the linear model."""
        return self.linear(tokens, lengths)
