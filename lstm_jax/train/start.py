"""What a run starts with: its tokenizer, its phrases, and word vectors, if not at random."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lstm_jax.shapes import Params
from lstm_jax.text import Phrases, WordTokenizer, word_vectors
from lstm_jax.train.config import Config, TextConfig
from lstm_jax.train.folder import RunFolder


def make_tokenizer(
    folder: RunFolder, source: RunFolder | None, texts: Sequence[str], config: TextConfig
) -> WordTokenizer:
    """The tokenizer that a run has already, or that of the run it starts from, or a new one.

    Args:
        folder: the run's.
        source: the run it starts from, if any.
        texts: the training part.
        config: what tokenizer.
    """
    for known in (folder, source):
        if known is not None and known.tokenizer.exists():
            return known.load_tokenizer()
    return WordTokenizer.train(
        texts, preset=config.tokenizer, vocabulary_size=config.vocabulary_size
    )


def make_phrases(
    folder: RunFolder,
    source: RunFolder | None,
    sequences: Sequence[NDArray[np.integer]],
    tokenizer: WordTokenizer,
    config: TextConfig,
) -> Phrases | None:
    """The phrases that a run has already, or those of the run it starts from, or new ones.

    Args:
        folder, source, config: as for `make_tokenizer`.
        sequences: the ids of the training part.
        tokenizer: what made them.

    Returns:
        The phrases; None if the configuration asks for none and there are none.
    """
    for known in (folder, source):
        if known is not None and (phrases := known.load_phrases()) is not None:
            return phrases
    if not config.phrases:
        return None
    return Phrases.find(sequences, tokenizer.vocabulary_size, config.phrases)


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
