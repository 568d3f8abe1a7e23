"""Texts of any number and length, computed by a few programs that are compiled beforehand."""

from collections.abc import Iterator, Sequence

import jax
import numpy as np
from numpy.typing import NDArray

from lstm_jax.data.buckets import widths_up_to
from lstm_jax.predictor import Predictor
from lstm_jax.text.tokenizer import UNKNOWN
from lstm_jax.train.metrics import probabilities

# Rows of a program. On a CPU 8 texts take twice as long as 4, so more rows would bring nothing but
# programs to compile; an accelerator computes 32 in the time of one.
_ROWS_ON_CPU = (1, 4, 8)
_ROWS_ELSEWHERE = (1, 8, 32, 128)


class Scorer:
    """Computes the probabilities of texts, as `run.predict_proba` does.

    Attributes:
        shapes: rows and width of every program that it ever runs.
    """

    def __init__(self, run: Predictor, batch_size: int) -> None:
        """For up to so many texts at a time; with more, one batch comes after the other."""
        self._run, self._padding = run, run.config.text.padding
        longest = self._padding.max_length
        self._widths = (longest,) if self._padding.pad == "front" else widths_up_to(longest)
        rows = _ROWS_ON_CPU if jax.default_backend() == "cpu" else _ROWS_ELSEWHERE
        self._rows = sorted({min(each, batch_size) for each in rows})
        self.shapes = [(rows, width) for width in self._widths for rows in self._rows]

    def warm(self, rows: int, width: int) -> None:
        """Compiles the program of a shape, by running it."""
        self._run.logits_of_ids([np.full(width, UNKNOWN, np.int32)] * rows, batch_size=rows)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The probabilities [N, classes] of N texts, one or more."""
        ids = self._run.tokenizer.encode_batch(list(texts))
        logits = np.empty((len(ids), self._run.model.outputs), np.float32)
        for places in self._batches(ids):
            rows = next(rows for rows in self._rows if rows >= len(places))
            filled = [*places, *[places[0]] * (rows - len(places))]
            found = self._run.logits_of_ids([ids[place] for place in filled], batch_size=rows)
            logits[places] = found[: len(places)]
        return probabilities(logits)

    def _batches(self, ids: Sequence[NDArray[np.integer]]) -> Iterator[list[int]]:
        """The places of the texts that are computed together: of one width, in whole batches."""
        lengths = [min(len(each), self._widths[-1]) for each in ids]
        width_of, most = np.searchsorted(self._widths, lengths), self._rows[-1]
        for width in np.unique(width_of):
            places = np.flatnonzero(width_of == width).tolist()
            for start in range(0, len(places), most):
                yield places[start : start + most]
