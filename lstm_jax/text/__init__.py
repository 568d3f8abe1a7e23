"""From texts to batches: sources, tokenizer, buckets. NumPy only; nothing here imports JAX."""

from lstm_jax.text.batches import (
    Batch,
    BatchIterator,
    BatchSource,
    evaluation_batches,
    training_batches,
)
from lstm_jax.text.buckets import Padding, bucket_edges
from lstm_jax.text.builtin import generate_reviews
from lstm_jax.text.cache import encode_once
from lstm_jax.text.cooccurrence import word_vectors
from lstm_jax.text.corpus import UNLABELLED, Corpus, Examples, split_validation
from lstm_jax.text.imdb import DataUnavailableError
from lstm_jax.text.phrases import Phrases
from lstm_jax.text.sources import check_columns, load_corpus, load_labelled
from lstm_jax.text.tables import read_texts
from lstm_jax.text.tokenizer import PADDING, START, UNKNOWN, WordTokenizer

__all__ = [
    "PADDING",
    "START",
    "UNKNOWN",
    "UNLABELLED",
    "Batch",
    "BatchIterator",
    "BatchSource",
    "Corpus",
    "DataUnavailableError",
    "Examples",
    "Padding",
    "Phrases",
    "WordTokenizer",
    "bucket_edges",
    "check_columns",
    "encode_once",
    "evaluation_batches",
    "generate_reviews",
    "load_corpus",
    "load_labelled",
    "read_texts",
    "split_validation",
    "training_batches",
    "word_vectors",
]
