"""Phrases: runs of two, three, ... tokens that many texts have, each known by a number.

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


class Phrases:
    """The most frequent phrases, by their number of tokens.

    A phrase's code is `first * V + last`: `last` is the id of its last token, and `first` the
    number of what comes before, itself a known phrase (or, of two tokens, the id of the first).

    Attributes:
        vocabulary_size: V, the number of token ids.
        codes: int32, ascending, for phrases of two tokens, of three, ...; a phrase's number is the
            place of its code.
    """

    def __init__(self, vocabulary_size: int, codes: Sequence[NDArray[np.int32]]) -> None:
        """Phrases that are known already; `find` looks for them in texts."""
        self.vocabulary_size = vocabulary_size
        self.codes = tuple(np.asarray(part, np.int32) for part in codes)

    @classmethod
    def find(
        cls, sequences: Sequence[NDArray[np.integer]], vocabulary_size: int, sizes: Sequence[int]
    ) -> Phrases:
        """Finds the phrases that the most texts have.

        Args:
            sequences: the ids of each text, `[length]` each.
            vocabulary_size: V.
            sizes: how many phrases of two tokens to keep, of three, ...; those that only one text
                has are not kept, and lengths of which there are none are left out.

        Returns:
            The phrases.

        Raises:
            ValueError: if codes would not fit 32 bits.
        """
        largest = max((vocabulary_size, *sizes[:-1]))
        if (largest + 1) * vocabulary_size > np.iinfo(np.int32).max:
            raise ValueError(
                f"phrases must be at most {np.iinfo(np.int32).max // vocabulary_size - 1} with a"
                f" vocabulary of {vocabulary_size} tokens, got {largest}"
            )
        gap = np.array([PADDING])
        tokens = np.concatenate([part for ids in sequences for part in (ids, gap)]).astype(np.int64)
        text = np.repeat(np.arange(len(sequences)), [len(ids) + 1 for ids in sequences])
        found = cls(vocabulary_size, ())
        for size in sizes:
            numbers = [tokens, *found.numbers(tokens)]
            none = [PADDING, *(len(part) for part in found.codes)][-1]
            first = _one_later(numbers[-1], none, np)
            there = (first != none) & (tokens != PADDING)
            codes = (first * vocabulary_size + tokens)[there]
            # Once for each text: a code and a text as one number.
            once = np.unique(codes * len(sequences) + text[there]) // len(sequences)
            codes, texts = np.unique(once, return_counts=True)
            kept = np.argsort(-texts, kind="stable")[:size]
            kept = kept[texts[kept] > 1]
            if len(kept) == 0:  # then there are no longer ones either
                break
            found = cls(vocabulary_size, [*found.codes, np.sort(codes[kept])])
        return found

    def numbers(self, tokens: Any, xp: Any = np) -> list[Any]:
        """The phrases that end at each token.

        Args:
            tokens: ids [..., T], an array of `xp`.
            xp: numpy or jax.numpy.

        Returns:
            For phrases of two tokens, of three, ...: their numbers [..., T], and the number of all
            such phrases where none that is known ends.
        """
        numbers, first, none = [], tokens, PADDING
        for codes in self.codes:
            code = _one_later(first, none, xp) * self.vocabulary_size + tokens
            place = xp.searchsorted(xp.asarray(codes), code)
            known = xp.take(xp.append(codes, -1), place) == code
            first, none = xp.where(known, place, len(codes)), len(codes)
            numbers.append(first)
        return numbers

    def save(self, path: Path) -> None:
        """Writes them as JSON, whole or not at all."""
        codes = [part.tolist() for part in self.codes]
        write_text(path, json.dumps({"vocabulary_size": self.vocabulary_size, "codes": codes}))

    @classmethod
    def load(cls, path: Path) -> Phrases:
        """Reads what `save` wrote.

        Raises:
            ValueError: naming file and field, if it is anything else.
        """
        saved = read_json(path, _Saved)
        codes = [np.array(part, np.int32) for part in saved.codes]
        if any((np.diff(part) <= 0).any() for part in codes):
            raise ValueError(f"{path}: codes must be ascending")
        return cls(saved.vocabulary_size, codes)


@checked
class _Saved:
    """What the JSON file holds."""

    vocabulary_size: Annotated[int, Field(ge=1, le=_LARGEST)]
    codes: tuple[list[Annotated[int, Field(ge=0, le=_LARGEST)]], ...]


def _one_later(numbers: Any, none: int, xp: Any) -> Any:
    """Each token's number at the token after it; `none` at the first."""
    return xp.concatenate([xp.full_like(numbers[..., :1], none), numbers[..., :-1]], axis=-1)
