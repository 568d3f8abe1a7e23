"""Texts of any number and length, computed by a few programs that are compiled beforehand."""

from collections.abc import Sequence
from itertools import count, takewhile

import jax
import numpy as np
from numpy.typing import NDArray

from lstm_jax.predictor import Predictor
from lstm_jax.text.tokenizer import UNKNOWN
from lstm_jax.train.metrics import probabilities


class Scorer:
    """Computes the probabilities of texts, as `run.predict_proba` does.

    It has fewer programs, so that all can be compiled beforehand. On a CPU that costs nothing: the
    LSTM skips what is padding, and eight rows are as fast a text as more are. On an accelerator the
    time is that of the longest text of a batch, however many there are.

    Attributes:
        shapes: rows and width of every program that it ever runs.
    """

    def __init__(self, run: Predictor, batch_size: int) -> None:
        """For up to so many texts at a time; with more, one batch comes after the other."""
        self._run, self._padding = run, run.config.text.padding
        longest, most = self._padding.max_length, batch_size
        if jax.default_backend() == "cpu":
            most = min(most, 8)
        powers = takewhile(lambda width: width < longest, (16 << power for power in count()))
        self._widths = (longest,) if self._padding.pad == "front" else (*powers, longest)
        self._rows = sorted({min(each, most) for each in (1, 8, most)})
        self.shapes = [(rows, width) for width in self._widths for rows in self._rows]

    def warm(self, rows: int, width: int) -> None:
        """Compiles the program of a shape, by running it."""
        self._run.logits_of_ids([np.array([UNKNOWN], np.int32)], batch_size=rows, width=width)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The probabilities [N, classes] of N texts, one or more."""
        ids = self._run.tokenizer.encode_batch(list(texts))
        logits = np.empty((len(ids), self._run.model.outputs), np.float32)
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        for start in range(0, len(order), self._rows[-1]):
            places = order[start : start + self._rows[-1]]
            longest = min(len(ids[places[-1]]), self._widths[-1])
            rows = next(rows for rows in self._rows if rows >= len(places))
            width = next(width for width in self._widths if width >= longest)
            batch = [ids[place] for place in places]
            logits[places] = self._run.logits_of_ids(batch, batch_size=rows, width=width)
        return probabilities(logits)
