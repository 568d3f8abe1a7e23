"""Word vectors from co-occurrence: the PPMI matrix, factored by a singular value decomposition.

With n(w, c) how often words w and c stand within a window of each other, the positive pointwise
mutual information

    M[w, c] = max(0, log p(w, c) / (p(w) q(c))),   q(c) ∝ p(c)^0.75

is factored as U Σ Vᵀ, and a word's vector is its row of U √Σ for the largest singular values,
brought to one length for all words. Words of like use, "terrible" and "awful", then begin close to
each other, those too that few labelled texts have.

Source: Levy, Goldberg & Dagan (2015), "Improving Distributional Similarity with Lessons Learned
from Word Embeddings", sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from lstm_jax.text.tokenizer import PADDING, UNKNOWN

# Of so many words at most all singular values are found: the other way needs many of them.
DENSE = 1_000


def word_vectors(
    sequences: Sequence[NDArray[np.integer]], vocabulary_size: int, size: int, *, window: int
) -> NDArray[np.float32]:
    """Vectors for all token ids.

    Args:
        sequences: the ids of each text, `[length]` each.
        vocabulary_size: V.
        size: E, numbers of a vector; at least 1. From V on, the last ones are zeros.
        window: words that stand at most so far apart are counted; at least 1.

    Returns:
        [V, E], of length 1; zeros for the special ids and for what was never counted.

    Raises:
        ValueError: if an argument is not as described.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    information = _information(_counts(sequences, vocabulary_size, window))
    words = np.flatnonzero(information.getnnz(axis=1))
    information = information[words]
    if len(words) <= max(DENSE, size):
        left, values, _ = np.linalg.svd(
            information.toarray().astype(np.float64), full_matrices=False
        )
    else:
        start = np.random.default_rng(0).normal(size=len(words)).astype(np.float32)
        left, values, _ = scipy.sparse.linalg.svds(information, size, v0=start)
    assert left is not None
    rank = min(size, len(words))
    found = left[:, :rank] * np.sqrt(np.maximum(values[:rank], 0))
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    vectors = np.zeros((vocabulary_size, size), np.float32)
    vectors[words, :rank] = found / np.maximum(lengths, 1e-6)
    return vectors


def _counts(
    sequences: Sequence[NDArray[np.integer]], vocabulary_size: int, window: int
) -> scipy.sparse.csr_matrix:
    """How often two ids stand at most `window` apart, [V, V], the special ids left out."""
    gap = np.full(window, PADDING)
    tokens = np.concatenate([part for ids in sequences for part in (ids, gap)]).astype(np.int64)
    shape = (vocabulary_size, vocabulary_size)
    counts = scipy.sparse.csr_matrix(shape, dtype=np.float32)
    for subsets in range(1, window + 1):
        first, second = tokens[:-subsets], tokens[subsets:]
        known = (first > UNKNOWN) & (second > UNKNOWN)
        pairs, times = np.unique(first[known] * vocabulary_size + second[known], return_counts=True)
        where = (pairs // vocabulary_size, pairs % vocabulary_size)
        counts += scipy.sparse.csr_matrix((times.astype(np.float32), where), shape)
    return counts + counts.T


def _information(counts: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    """The positive pointwise mutual information of those counts."""
    of_word = np.asarray(counts.sum(1), np.float64).ravel()
    smoothed = of_word**0.75
    smoothed /= max(smoothed.sum(), 1.0)
    pairs = counts.tocoo()
    values = np.log(pairs.data / (of_word[pairs.row] * smoothed[pairs.col]))
    kept = values > 0
    return scipy.sparse.csr_matrix(
        (values[kept].astype(np.float32), (pairs.row[kept], pairs.col[kept])), counts.shape
    )
