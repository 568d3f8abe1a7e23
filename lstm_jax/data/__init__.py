"""From files and corpora to batches: readers, splits, buckets. Nothing here imports JAX."""

from lstm_jax.data.batches import (
    Batch,
    Batches,
    Batching,
    BatchIterator,
    evaluation_batches,
    training_batches,
)
from lstm_jax.data.buckets import Padding, bucket_edges
from lstm_jax.data.corpus import UNLABELLED, Corpus, Examples
from lstm_jax.data.dataset import Dataset
from lstm_jax.data.description import Description, describe
from lstm_jax.data.given import as_examples, as_texts
from lstm_jax.data.imdb import DataUnavailableError
from lstm_jax.data.reading import Reading
from lstm_jax.data.sources import check_reading, imdb_or_builtin, load_corpus, load_labelled
from lstm_jax.data.split import split_validation
from lstm_jax.data.synthetic import generate_reviews
from lstm_jax.data.tables import open_table, read_texts

__all__ = [
    "UNLABELLED",
    "Batch",
    "BatchIterator",
    "Batches",
    "Batching",
    "Corpus",
    "DataUnavailableError",
    "Dataset",
    "Description",
    "Examples",
    "Padding",
    "Reading",
    "as_examples",
    "as_texts",
    "bucket_edges",
    "check_reading",
    "describe",
    "evaluation_batches",
    "generate_reviews",
    "imdb_or_builtin",
    "load_corpus",
    "load_labelled",
    "open_table",
    "read_texts",
    "split_validation",
    "training_batches",
]
