"""Tokens and their ids: text in, int32 ids out, as the Rust library `tokenizers` has them.

Tokens are words, characters or pieces of words. Ids are 0 for padding, 1 for the start of a text, 2
for a token that is not in the vocabulary, and from 3 on the tokens of the training texts, the most
frequent first (equally frequent ones in alphabetical order). Every encoded text begins with the
start id, so no text is ever of length 0.

The whole tokenizer is one JSON file in the library's own format: whatever can open a
`tokenizer.json` (Python, Rust, JavaScript) gets the same ids without this package.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, processors

from lstm_jax.files import write_text
from lstm_jax.text.rules import REPLACED, RULES
from lstm_jax.text.vocabulary import SPECIAL_WORDS, empty_model, train_model

PADDING, START, UNKNOWN = range(len(SPECIAL_WORDS))

# The library's result objects hold strings and offsets beside the ids, about 100 bytes a token.
_CHUNK = 2048


PRESETS = tuple(RULES)


class WordTokenizer:
    """A tokenizer for words, characters or pieces: made by `train` or `load`, and never changed.

    Presets:
        - `"keras"`: what `keras.preprocessing.text.Tokenizer` does with its default filters,
            numbered like `keras.datasets.imdb` with `num_words=vocabulary_size`. One difference: a
            capital sigma becomes "σ" at the end of a word too, where `str.lower` writes "ς".
        - `"punctuation"`: punctuation marks kept as tokens, contractions split, ratings whole.
        - `"characters"`: every character is a token; the start id ends each text too. For names,
            codes and misspelt texts.
        - `"bpe"`: pieces of words, found by byte-pair encoding. For texts without spaces.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Wraps a tokenizer of the library, as `train` makes them.

        Args:
            tokenizer: one with the rules of one of the presets.

        Raises:
            ValueError: if it is any other tokenizer.
        """
        vocabulary = tokenizer.get_vocab()
        words = sorted(vocabulary, key=vocabulary.__getitem__)
        if tuple(words[:3]) != SPECIAL_WORDS or vocabulary[words[-1]] != len(words) - 1:
            raise ValueError(
                f"tokenizer must begin with the words {list(SPECIAL_WORDS)} and have ids without"
                f" gaps, got {words[:3]} and a last id of {max(vocabulary.values(), default=None)}"
                f" for {len(words)} words"
            )
        self._tokenizer = tokenizer
        self._words = words
        self._ids = vocabulary
        self._preset = _recognise_preset(tokenizer)

    @classmethod
    def train(cls, texts: Iterable[str], *, preset: str, vocabulary_size: int) -> WordTokenizer:
        """Builds the vocabulary from the most frequent words, characters or pieces of some texts.

        Args:
            texts: the training texts, read once; never the texts to be tested on.
            preset: how a text is cut into tokens: "keras", "punctuation", "characters" or "bpe".
            vocabulary_size: the largest number of ids, the three special ones included; >= 4.

        Returns:
            The tokenizer. It has fewer ids where the texts have fewer tokens.

        Raises:
            ValueError: if an argument is not as described, or the texts have no words at all.
        """
        if preset not in RULES:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
        if vocabulary_size <= len(SPECIAL_WORDS):
            raise ValueError(
                f"vocabulary_size must be at least {len(SPECIAL_WORDS) + 1}, the special ids and a"
                f" word, got {vocabulary_size}"
            )
        model = train_model(RULES[preset], _chunks(texts), vocabulary_size)
        if model is None:
            raise ValueError("texts must have at least one word, got none")
        return cls(_with_rules(preset, model))

    @classmethod
    def load(cls, path: str | Path) -> WordTokenizer:
        """Reads a tokenizer that `save` wrote; it gives the same ids.

        Args:
            path: the JSON file.

        Returns:
            The tokenizer.

        Raises:
            ValueError: if there is no such file or it is not such a tokenizer.
        """
        if not Path(path).is_file():
            raise ValueError(f"{path}: no such file")
        try:
            return cls(Tokenizer.from_str(_in_linear_time(Path(path).read_text(encoding="utf-8"))))
        except Exception as error:  # the library raises bare Exceptions
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{path}: not a tokenizer written by WordTokenizer.save: {reason}"
            ) from error

    def save(self, path: str | Path) -> None:
        """Writes the tokenizer into one JSON file, whole or not at all, in the library's format.

        Args:
            path: where to; a file that is there is replaced.
        """
        write_text(Path(path), self._tokenizer.to_str(pretty=True))

    def to_json(self) -> str:
        """What `save` writes, on one line."""
        return self._tokenizer.to_str()

    def most_frequent(self, size: int) -> WordTokenizer:
        """The same tokenizer with fewer tokens; the others become unknown.

        Args:
            size: the number of ids that stay, the lowest; at least 4.

        Raises:
            ValueError: if tokens are pieces of words, of which longer ones are made of others.
        """
        if RULES[self._preset].pieces:
            raise ValueError("tokenizer must have words or characters to leave some out, got bpe")
        kept = {word: index for index, word in enumerate(self._words[:size])}
        return WordTokenizer(
            _with_rules(self._preset, models.WordLevel(kept, unk_token=SPECIAL_WORDS[UNKNOWN]))
        )

    @property
    def preset(self) -> str:
        """The rules by which a text is cut into tokens, one of the presets."""
        return self._preset

    @property
    def vocabulary_size(self) -> int:
        """The number of ids: every id is below it."""
        return len(self._words)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Turns texts into ids.

        Args:
            texts: any number of texts.

        Returns:
            For each text its int32 ids `[length]`, `length >= 1`: the start id, then the tokens; of
            characters the start id again.

        Raises:
            ValueError: if one of them is not a string, or has a lone surrogate in it.
        """
        return [ids for chunk in _chunks(texts) for ids in self._encoded(chunk)]

    def _encoded(self, texts: list[str]) -> list[NDArray[np.int32]]:
        """Asks the library where Python is not quicker; both give the same ids."""
        rules, id_of = RULES[self._preset], self._ids.get
        cuts = [rules.cut_ascii if text.isascii() else rules.cut_other for text in texts]
        others = [text for text, cut in zip(texts, cuts, strict=True) if cut is None]
        of_others = (encoding.ids for encoding in self._tokenizer.encode_batch_fast(others))
        end = [START] if rules.ends else []
        return [
            np.array(next(of_others), np.int32)
            if cut is None
            else np.array(
                [START, *[id_of(token, UNKNOWN) for token in cut(text) if token], *end], np.int32
            )
            for text, cut in zip(texts, cuts, strict=True)
        ]

    def places(self, text: str) -> list[tuple[int, int] | None]:
        """Where the tokens of a text stand in it.

        Args:
            text: one text.

        Returns:
            For each id that `encode_batch` gives, the first character of its token and the one
            behind it; None for a start token, which stands nowhere.

        Raises:
            ValueError: as `encode_batch`.
        """
        ((text,),) = _chunks([text])
        encoding = self._tokenizer.encode(text)
        special = encoding.special_tokens_mask
        return [
            None if is_special else place
            for place, is_special in zip(encoding.offsets, special, strict=True)
        ]

    def words(self, ids: Iterable[int]) -> list[str]:
        """Turns ids back into words; the special ids are `<pad>`, `<start>` and `<unk>`.

        Args:
            ids: numbers in `[0, vocabulary_size)`.

        Returns:
            One word for each id.

        Raises:
            ValueError: if an id is outside the vocabulary.
        """
        listed = [int(index) for index in ids]
        for index in listed:
            if not 0 <= index < len(self._words):
                raise ValueError(f"ids must be from 0 to {len(self._words) - 1}, got {index}")
        return [self._words[index] for index in listed]


def _with_rules(preset: str, model: models.Model) -> Tokenizer:
    """A tokenizer with a preset's rules that puts the start id in front."""
    tokenizer, rules = Tokenizer(model), RULES[preset]
    tokenizer.normalizer = rules.normalizer  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.pre_tokenizer = rules.pre_tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    start = SPECIAL_WORDS[START]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single=f"{start} $A {start}" if rules.ends else f"{start} $A",
        special_tokens=[(start, START)],
    )
    return tokenizer


def _in_linear_time(saved: str) -> str:
    """A saved tokenizer with today's expressions in the place of those they were written for."""
    for old, new in REPLACED.items():
        saved = saved.replace(json.dumps(old), json.dumps(new))
    return saved


def _recognise_preset(tokenizer: Tokenizer) -> str:
    """The preset that has exactly this tokenizer's rules: the file needs no field of ours."""

    def rules(described: Tokenizer) -> dict[str, Any]:
        parts = json.loads(described.to_str())
        model = {
            key: parts["model"][key] for key in parts["model"] if key not in ("vocab", "merges")
        }
        return {key: parts[key] for key in parts if key != "version"} | {"model": model}

    for preset in PRESETS:
        if rules(_with_rules(preset, empty_model(RULES[preset]))) == rules(tokenizer):
            return preset
    raise ValueError(f"tokenizer must have the rules of one of the presets: {', '.join(PRESETS)}")


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in lists of bounded length, each checked to be a string that UTF-8 can hold."""
    if isinstance(texts, str):
        raise ValueError("texts must be a list of strings, got a single string")
    stream, first = iter(texts), 0
    while chunk := list(islice(stream, _CHUNK)):
        for index, text in enumerate(chunk, first):
            if not isinstance(text, str):
                raise ValueError(f"texts[{index}] must be a string, got {type(text).__name__}")
            if not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError as error:
                    raise ValueError(f"texts[{index}] must be valid Unicode: {error}") from error
        first += len(chunk)
        yield chunk
