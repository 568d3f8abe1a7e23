"""How a run reads texts: its tokenizer, its n-grams, and the embeddings that it starts from."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lstm_jax.shapes import Params
from lstm_jax.text import NGrams, WordTokenizer, word_vectors
from lstm_jax.train.config import Config
from lstm_jax.train.open_run import OpenRun
from lstm_jax.train.run_folder import RunFolder


def make_tokenizer(run: OpenRun, source: RunFolder | None, texts: Sequence[str]) -> WordTokenizer:
    """The tokenizer that a run has already, or that of the run it starts from, or a new one.

    Args:
        run: what it is for.
        source: the run it starts from, if any.
        texts: the training part.
    """
    for known in (run.folder, source):
        if known is not None and known.tokenizer.exists():
            return known.load_tokenizer()
    text = run.config.text
    return WordTokenizer.train(texts, preset=text.tokenizer, vocabulary_size=text.vocabulary_size)


def make_ngrams(
    run: OpenRun,
    source: RunFolder | None,
    sequences: Sequence[NDArray[np.integer]],
    tokenizer: WordTokenizer,
) -> NGrams | None:
    """The n-grams that a run has already, or those of the run it starts from, or new ones.

    Args:
        run, source: as for `make_tokenizer`.
        sequences: the ids of the training part.
        tokenizer: what made them.

    Returns:
        The n-grams; None if the configuration asks for none and there are none.
    """
    for known in (run.folder, source):
        if known is not None and (ngrams := known.load_ngrams()) is not None:
            return ngrams
    if not run.config.text.ngrams:
        return None
    return NGrams.find(sequences, tokenizer.vocabulary_size, run.config.text.ngrams)


def cooccurrence_embeddings(
    config: Config, sequences: Sequence[NDArray[np.integer]], vocabulary_size: int
) -> Params:
    """Initial embeddings from co-occurrence (PPMI-SVD), as long as random ones are.

    Args:
        config: the run's settings.
        sequences: the ids of each text, `[length]` each.
        vocabulary_size: V.

    Returns:
        Parameters for `fit` to start from.
    """
    size, window = config.model.embedding_size, config.text.cooccurrence_window
    vectors = word_vectors(sequences, vocabulary_size, size, window=window)
    length = config.model.embedding_scale * np.sqrt(size / 3)
    return {"embedding": {"table": np.float32(length) * vectors}}
