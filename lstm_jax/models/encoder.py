"""The parts that every model has: tokens -> embeddings -> encodings."""

from functools import partial

from lstm_jax.kernels import fastest_precision
from lstm_jax.models.config import ModelConfig
from lstm_jax.nn.embedding import TokenEmbedding
from lstm_jax.nn.layer import LSTMLayer
from lstm_jax.nn.stack import LSTMStack
from lstm_jax.text import NGrams

# The parts of a classifier that turn tokens into encodings; what is pretrained has them too.
ENCODER = ("embedding", "stack")


def token_embedding(
    config: ModelConfig, vocabulary_size: int, ngrams: NGrams | None = None
) -> TokenEmbedding:
    """The embedding that a configuration describes."""
    return TokenEmbedding(
        vocabulary_size,
        config.embedding_size,
        config.embedding_scale,
        token_dropout=config.token_dropout,
        feature_dropout=config.embedding_dropout,
        ngrams=ngrams,
        ngram_dropout=config.ngram_dropout,
    )


def lstm_stack(config: ModelConfig) -> LSTMStack:
    """The LSTMs that a configuration describes."""
    precision = config.precision
    if precision == "auto":
        by_scan = config.cell != "lstm"
        precision = fastest_precision("scan" if by_scan else config.implementation)
    layer = partial(
        LSTMLayer,
        hidden_size=config.hidden_size,
        direction=config.direction,
        merge=config.merge,
        cell=config.cell,
        forget_bias=config.forget_bias,
        implementation=config.implementation,
        precision=precision,
        chunk_size=config.chunk_size,
    )
    return LSTMStack(config.layers, layer, config.layer_dropout)
