"""Texts that are nearly the same as others, by the runs of words that they share.

A test review that stands in the training part too, all but a word, measures memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

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


def keys_of(texts: Iterable[str]) -> NDArray[np.uint64]:
    """A number for each text, the same for texts that differ by capitals and white space only.

    Two different texts have the same number about once in 10^19 comparisons.

    Args:
        texts: N texts.

    Returns:
        `[N]`; 0 for a text of nothing but white space.
    """
    return np.fromiter(map(_key, texts), np.uint64)


def with_two_labels(
    keys: NDArray[np.uint64], labels: NDArray[np.integer]
) -> list[tuple[int, list[int]]]:
    """Texts that have more than one label.

    Args:
        keys: `[N]`, from `keys_of`; texts of white space do not count.
        labels: `[N]`.

    Returns:
        The row of the first of each such text, and its labels, ascending.
    """
    order = np.lexsort((labels, keys))
    sorted_keys, sorted_labels = keys[order], labels[order]
    same = sorted_keys[1:] == sorted_keys[:-1]
    differ = np.unique(sorted_keys[1:][same & (sorted_labels[1:] != sorted_labels[:-1])])
    differ = differ[differ != 0]
    of_key: dict[int, tuple[int, list[int]]] = {}
    for row in np.flatnonzero(np.isin(keys, differ)):
        _, given = of_key.setdefault(int(keys[row]), (int(row), []))
        if labels[row] not in given:
            given.append(int(labels[row]))
    return [(row, sorted(given)) for row, given in of_key.values()]


def text_at(parts: Sequence[Sequence[str]], row: int) -> str:
    """The text of a row that is counted through several parts."""
    for texts in parts:
        if row < len(texts):
            return texts[row]
        row -= len(texts)
    raise IndexError(row)


def _key(text: str) -> int:
    content = normalised(text).encode(errors="surrogatepass")
    if not content:
        return 0
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") or 1


def normalised(text: str) -> str:
    """The text without capitals, and with one space wherever there is white space."""
    return " ".join(text.casefold().split())
