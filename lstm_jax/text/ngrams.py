"""N-grams: two, three, ... tokens in a row that many texts have, each with an id.

"not good" is more than "not" and "good". A linear model of n-grams knows that from the start; an
LSTM has to learn to put words together, and has few texts to learn it from.

Source: for n-grams as an LSTM's input, Johnson & Zhang (2016), "Supervised and Semi-Supervised Text
Categorization using LSTM for Region Embeddings", section 2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lstm_jax.checked import checked
from lstm_jax.files import read_json, write_text
from lstm_jax.text.tokenizer import PADDING

_LARGEST = int(np.iinfo(np.int32).max)


class NGrams:
    """The most frequent n-grams, by their number of tokens.

    An n-gram's key is `first * V + last`: `last` is the id of its last token, and `first` the
    id of what comes before, itself a known n-gram (or, of two tokens, the id of the first).

    Attributes:
        vocabulary_size: V, the number of token ids.
        keys: int32, ascending, for n-grams of two tokens, of three, ...; an n-gram's id is the
            place of its key.
    """

    def __init__(self, vocabulary_size: int, keys: Sequence[NDArray[np.int32]]) -> None:
        """N-grams that are known already; `find` looks for them in texts."""
        self.vocabulary_size = vocabulary_size
        self.keys = tuple(np.asarray(part, np.int32) for part in keys)

    @classmethod
    def find(
        cls, sequences: Sequence[NDArray[np.integer]], vocabulary_size: int, sizes: Sequence[int]
    ) -> NGrams:
        """Finds the n-grams that the most texts have.

        Args:
            sequences: the ids of each text, `[length]` each.
            vocabulary_size: V.
            sizes: how many n-grams of two tokens to keep, of three, ...; those that only one text
                has are not kept, and lengths of which there are none are left out.

        Returns:
            The n-grams.

        Raises:
            ValueError: if keys would not fit 32 bits.
        """
        largest = max((vocabulary_size, *sizes[:-1]))
        if (largest + 1) * vocabulary_size > np.iinfo(np.int32).max:
            raise ValueError(
                f"n-grams must be at most {np.iinfo(np.int32).max // vocabulary_size - 1} with a"
                f" vocabulary of {vocabulary_size} tokens, got {largest}"
            )
        gap = np.array([PADDING])
        tokens = np.concatenate([part for ids in sequences for part in (ids, gap)]).astype(np.int64)
        text = np.repeat(np.arange(len(sequences)), [len(ids) + 1 for ids in sequences])
        found = cls(vocabulary_size, ())
        for size in sizes:
            numbers = [tokens, *found.ids(tokens)]
            none = [PADDING, *(len(part) for part in found.keys)][-1]
            first = _one_later(numbers[-1], none, np)
            there = (first != none) & (tokens != PADDING)
            keys = (first * vocabulary_size + tokens)[there]
            # Once for each text: a key and a text as one number.
            once = np.unique(keys * len(sequences) + text[there]) // len(sequences)
            keys, texts = np.unique(once, return_counts=True)
            kept = np.argsort(-texts, kind="stable")[:size]
            kept = kept[texts[kept] > 1]
            if len(kept) == 0:  # then there are no longer ones either
                break
            found = cls(vocabulary_size, [*found.keys, np.sort(keys[kept])])
        return found

    def ids(self, tokens: Any, xp: Any = np) -> list[Any]:
        """The n-grams that end at each token.

        Args:
            tokens: ids [..., T], an array of `xp`.
            xp: numpy or jax.numpy.

        Returns:
            For n-grams of two tokens, of three, ...: their ids [..., T], and the number of all
            such n-grams where none that is known ends.
        """
        numbers, first, none = [], tokens, PADDING
        for keys in self.keys:
            key = _one_later(first, none, xp) * self.vocabulary_size + tokens
            place = xp.searchsorted(xp.asarray(keys), key)
            known = xp.take(xp.append(keys, -1), place) == key
            first, none = xp.where(known, place, len(keys)), len(keys)
            numbers.append(first)
        return numbers

    def pruned(
        self, kept: Sequence[NDArray[np.bool_]], vocabulary_size: int
    ) -> tuple[NGrams, list[NDArray[np.integer]]]:
        """Leaves n-grams out.

        Args:
            kept: of n-grams of two tokens, of three, ...: which of them to keep, [count] each. One
                that a longer n-gram begins with stays in any case.
            vocabulary_size: the number of token ids from now on, which may be smaller; n-grams of
                other tokens are left out.

        Returns:
            The n-grams that stay, and their ids until now, ascending; lengths of which there are
            none are left out.
        """
        known, stay = np.arange(self.vocabulary_size) < vocabulary_size, []
        for keys, keep in zip(self.keys, kept, strict=True):
            first, last = np.divmod(keys, self.vocabulary_size)
            # A shorter one stays if a longer one needs it, which is known further down.
            known = known[first] & (last < vocabulary_size)
            stay.append(known & keep)
        for length in range(len(stay) - 1, 0, -1):
            stay[length - 1][self.keys[length][stay[length]] // self.vocabulary_size] = True
        found: list[NDArray[np.int32]] = []
        rows: list[NDArray[np.integer]] = []
        places = np.arange(self.vocabulary_size)
        for keys, part in zip(self.keys, stay, strict=True):
            if not part.any():
                break
            first, last = np.divmod(keys[part], self.vocabulary_size)
            found.append((places[first] * vocabulary_size + last).astype(np.int32))
            rows.append(np.flatnonzero(part))
            places = np.cumsum(part) - 1
        return NGrams(vocabulary_size, found), rows

    def save(self, path: Path) -> None:
        """Writes them as JSON, whole or not at all."""
        keys = [part.tolist() for part in self.keys]
        saved = {"vocabulary_size": self.vocabulary_size, "keys": keys}
        write_text(path, json.dumps(saved, separators=(",", ":")))

    @classmethod
    def load(cls, path: Path) -> NGrams:
        """Reads what `save` wrote.

        Raises:
            ValueError: naming file and field, if it is anything else.
        """
        saved = read_json(path, _Saved)
        keys = [np.array(part, np.int32) for part in saved.keys]
        if any((np.diff(part) <= 0).any() for part in keys):
            raise ValueError(f"{path}: keys must be ascending")
        return cls(saved.vocabulary_size, keys)


@checked
class _Saved:
    """What the JSON file holds."""

    vocabulary_size: Annotated[int, Field(ge=1, le=_LARGEST)]
    keys: tuple[list[Annotated[int, Field(ge=0, le=_LARGEST)]], ...]


def _one_later(numbers: Any, none: int, xp: Any) -> Any:
    """Each token's number at the token after it; `none` at the first."""
    return xp.concatenate([xp.full_like(numbers[..., :1], none), numbers[..., :-1]], axis=-1)
