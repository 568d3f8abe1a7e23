"""Where word vectors start, if not at random."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lstm_jax.shapes import Params
from lstm_jax.text import word_vectors
from lstm_jax.train.config import Config


def vectors_from_counts(
    config: Config, sequences: Sequence[NDArray[np.integer]], vocabulary_size: int
) -> Params | None:
    """Word vectors from counts, as long as random ones are, if `text.window` asks for them.

    Args:
        config: the run's settings.
        sequences: the ids of each text, `[length]` each.
        vocabulary_size: V.

    Returns:
        Parameters for `fit` to start from, or None.
    """
    if config.text.window == 0:
        return None
    size = config.model.embedding_size
    vectors = word_vectors(sequences, vocabulary_size, size, window=config.text.window)
    length = config.model.embedding_scale * np.sqrt(size / 3)
    return {"embedding": {"table": np.float32(length) * vectors}}
