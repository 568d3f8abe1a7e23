"""Texts that are nearly the same as others, by the runs of words that they share.

A test review that stands in the training part too, all but a word, measures memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def near_duplicates(
    texts: Sequence[str], others: Sequence[str], *, run: int = 8, share: float = 0.5
) -> NDArray[np.bool_]:
    """Which texts are nearly the same as some of the others.

    Capitals and punctuation do not count. Runs are compared by 64-bit sums of their words, so two
    different ones are taken for the same about once in 10^19 comparisons.

    Args:
        texts: N texts.
        others: those that they are compared with, all together.
        run: how many words in a row make a run; a shorter text is one run as it is.
        share: the part of a text's runs that stand in others from which it counts, in (0, 1].

    Returns:
        `[N]`, true for a near duplicate; a text without words is none.
    """
    numbers: dict[str, int] = {}
    known, _ = _runs(others, run, numbers)
    runs, text = _runs(texts, run, numbers)
    shared = np.bincount(text[np.isin(runs, known)], minlength=len(texts))
    return shared >= np.maximum(1, share * np.bincount(text, minlength=len(texts)))


def _runs(
    texts: Sequence[str], size: int, numbers: dict[str, int]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The sum of each run, and the text that it is of; `numbers` grows by the new words."""
    ids: list[int] = []
    starts, text = [], []
    for number, words in enumerate(_WORD.findall(text.lower()) for text in texts):
        if words:
            runs = max(1, len(words) - size + 1)
            starts.append(np.arange(len(ids), len(ids) + runs))
            text.append(np.full(runs, number))
            ids += [numbers.setdefault(word, len(numbers) + 1) for word in words]
            ids += [0] * (size - len(words))  # a short text is one run
    if not starts:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    start, words = np.concatenate(starts), np.array(ids, np.uint64)
    sums = np.zeros(len(start), np.uint64)
    for place in range(size):
        sums = (sums + words[start + place]) * _FACTOR
    return sums, np.concatenate(text)


def normalised(text: str) -> str:
    """The text without capitals, and with one space wherever there is white space."""
    return " ".join(text.casefold().split())
