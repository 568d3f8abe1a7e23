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
    empty = np.zeros(0, np.uint64)
    known = np.unique(np.concatenate([empty, *(_runs(text, run, numbers) for text in others)]))
    apart = [_runs(text, run, numbers) for text in texts]
    runs = np.concatenate([empty, *apart])
    text = np.repeat(np.arange(len(texts)), [len(part) for part in apart])
    shared = np.bincount(text[np.isin(runs, known)], minlength=len(texts))
    return shared >= np.maximum(1, share * np.bincount(text, minlength=len(texts)))


def _runs(text: str, size: int, numbers: dict[str, int]) -> NDArray[np.uint64]:
    """The sum of each run; `numbers` grows by the text's new words."""
    words = _WORD.findall(text.lower())
    ids = np.array([numbers.setdefault(word, len(numbers) + 1) for word in words], np.uint64)
    runs = np.zeros(min(1, len(ids)) if len(ids) < size else len(ids) - size + 1, np.uint64)
    for place in range(min(size, len(ids))):
        runs = (runs + ids[place : place + len(runs)]) * _FACTOR
    return runs
