"""From texts to token ids: tokenizers, n-grams, co-occurrence vectors. Nothing here imports JAX."""

from lstm_jax.text.cache import encode_once
from lstm_jax.text.cooccurrence import word_vectors
from lstm_jax.text.ngrams import NGrams
from lstm_jax.text.scripts import choose_tokenizer, unspaced_share
from lstm_jax.text.tokenizer import PADDING, START, UNKNOWN, WordTokenizer

__all__ = [
    "PADDING",
    "START",
    "UNKNOWN",
    "NGrams",
    "WordTokenizer",
    "choose_tokenizer",
    "encode_once",
    "unspaced_share",
    "word_vectors",
]
