"""Flax Linen modules around the functional LSTM: embedding, LSTM layer and stack, dropout, pooling.

Each takes `lengths` and treats steps past a length as absent.
"""

from lstm_jax.nn.dropout import Dropout
from lstm_jax.nn.embedding import TokenEmbedding
from lstm_jax.nn.layer import Encoding, LSTMLayer
from lstm_jax.nn.pooling import Pool
from lstm_jax.nn.stack import LSTMStack

__all__ = ["Dropout", "Encoding", "LSTMLayer", "LSTMStack", "Pool", "TokenEmbedding"]
