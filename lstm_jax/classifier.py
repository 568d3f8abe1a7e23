"""The text classifier: tokens -> embeddings -> encodings -> features -> logits."""

from functools import partial
from typing import Literal

import flax.linen as nn

from lstm_jax.checked import Number, Positive, Probability, Size, checked
from lstm_jax.kernels import fastest_precision
from lstm_jax.layers import (
    Direction,
    Dropout,
    Encoding,
    LSTMLayer,
    LSTMStack,
    Merge,
    TokenEmbedding,
    needs_scan,
)
from lstm_jax.pooling import Pool, Pooling
from lstm_jax.shapes import Embeddings, Features, Lengths, Logits, Tokens
from lstm_jax.text import Phrases

# The parts of a classifier that turn tokens into encodings; what is pretrained has them too.
ENCODER = ("embedding", "stack")


@checked
class ModelConfig:
    """The classifier's architecture; sizes that the data decides are not in it."""

    embedding_size: Size = 100
    """E, features of one token's vector."""
    embedding_scale: Positive = 0.05
    """Initial vectors are uniform between minus and plus this."""
    hidden_size: Size = 100
    """H, hidden units of each direction."""
    layers: Size = 1
    """LSTM layers, each reading the outputs of the one below."""
    cell: Literal["lstm", "peephole", "coupled", "layer_norm", "no_bias"] = "lstm"
    """Which LSTM; all but the first run by plain scan."""
    direction: Direction = "bidirectional"
    """Which way the text is read."""
    merge: Merge = "concat"
    """How the two directions' outputs become one."""
    pooling: Pooling = "max_mean"
    """How the outputs of all words become one vector."""
    token_dropout: Probability = 0.0
    """Probability that a whole word's vector is zeroed in training."""
    embedding_dropout: Probability = 0.0
    """Probability that one number of a word's vector is zeroed in training."""
    variational_dropout: bool = False
    """Whether embedding_dropout zeroes the same numbers of every word of a text."""
    phrase_dropout: Probability = 0.0
    """Probability that a phrase's vector is not added in training."""
    layer_dropout: Probability = 0.0
    """Probability that a feature between two LSTM layers is zeroed in training."""
    weight_dropout: Probability = 0.0
    """Probability that a recurrent weight is zeroed in training, for all words alike."""
    recurrent_dropout: Probability = 0.0
    """Probability that a unit is hidden from the recurrence in training, for all words of a text
    alike; runs by plain scan."""
    zoneout: tuple[Probability, Probability] = (0.0, 0.0)
    """Probabilities that a unit's hidden and cell state stay as they were for a word; runs by plain
    scan."""
    output_dropout: Probability = 0.0
    """Probability that a feature before the last, dense layer is zeroed in training."""
    forget_bias: Number = 1.0
    """Initial bias of the forget gates."""
    implementation: str = "auto"
    """Which implementation of the LSTM runs: auto, or one of lstm_jax.implementations()."""
    precision: Literal["bfloat16", "auto"] | None = None
    """bfloat16 rounds what enters the LSTM's products; None does not. auto does where it is faster:
    on GPUs, TPUs and processors with AVX512-BF16, but not by plain scan."""
    chunk_size: Size | None = None
    """For long texts, steps between two states kept for the backward pass: less memory for about a
    third more time."""


def token_embedding(
    config: ModelConfig, vocabulary_size: int, phrases: Phrases | None = None
) -> TokenEmbedding:
    """The embedding that a configuration describes."""
    return TokenEmbedding(
        vocabulary_size,
        config.embedding_size,
        config.embedding_scale,
        config.token_dropout,
        config.embedding_dropout,
        config.variational_dropout,
        phrases,
        config.phrase_dropout,
    )


def lstm_stack(config: ModelConfig) -> LSTMStack:
    """The LSTMs that a configuration describes."""
    precision = config.precision
    if precision == "auto":
        by_scan = needs_scan(config.cell, config.zoneout, config.recurrent_dropout)
        precision = fastest_precision("scan" if by_scan else config.implementation)
    layer = partial(
        LSTMLayer,
        hidden_size=config.hidden_size,
        direction=config.direction,
        merge=config.merge,
        cell=config.cell,
        forget_bias=config.forget_bias,
        weight_dropout=config.weight_dropout,
        recurrent_dropout=config.recurrent_dropout,
        zoneout=config.zoneout,
        implementation=config.implementation,
        precision=precision,
        chunk_size=config.chunk_size,
    )
    return LSTMStack(config.layers, layer, config.layer_dropout)


class TextClassifier(nn.Module):
    """Classifies token sequences with a stack of LSTMs.

    `__call__` is `logits(pool(encode(embed(tokens), lengths), lengths))`; the parts are methods of
    their own so that, for instance, attributions can start at the embeddings:

        embeddings = model.apply(variables, tokens, method="embed")
        logits = model.apply(variables, embeddings, lengths, method="classify")

    Attributes:
        config: the architecture.
        vocabulary_size: V, the number of token ids.
        classes: number of classes, at least 2. Two classes have one logit, that of class 1.
        phrases: those with vectors of their own, if any; programs are compiled for the object.
    """

    config: ModelConfig
    vocabulary_size: int
    classes: int = 2
    phrases: Phrases | None = None

    @property
    def outputs(self) -> int:
        """C, the number of logits."""
        return 1 if self.classes == 2 else self.classes

    def setup(self) -> None:
        config = self.config
        self.embedding = token_embedding(config, self.vocabulary_size, self.phrases)
        self.stack = lstm_stack(config)
        self.pooling = Pool(config.pooling)
        self.output_dropout = Dropout(config.output_dropout)
        self.head = nn.Dense(self.outputs, kernel_init=nn.initializers.glorot_uniform())

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
        return self.classify(self.embed(tokens, train=train), lengths, train=train)
