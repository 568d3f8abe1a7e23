"""The scripts that texts are written in, and the tokenizer that suits them."""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

# Scripts that are written without spaces between words: first and last code point, and the name.
# Source: Unicode Standard Annex 29, section 4 ("... languages that do not use spaces"), and the
# blocks of Blocks.txt.
UNSPACED = (
    (0x0E00, 0x0E7F, "Thai"),
    (0x0E80, 0x0EFF, "Lao"),
    (0x0F00, 0x0FFF, "Tibetan"),
    (0x1000, 0x109F, "Myanmar"),
    (0x1780, 0x17FF, "Khmer"),
    (0x3005, 0x3007, "Han"),
    (0x3040, 0x30FF, "Kana"),
    (0x31F0, 0x31FF, "Kana"),
    (0x3400, 0x4DBF, "Han"),
    (0x4E00, 0x9FFF, "Han"),
    (0xA9E0, 0xA9FF, "Myanmar"),
    (0xAA60, 0xAA7F, "Myanmar"),
    (0xF900, 0xFAFF, "Han"),
    (0xFF66, 0xFF9F, "Kana"),
    (0x1B000, 0x1B16F, "Kana"),
    (0x20000, 0x3FFFF, "Han"),
)
_NAMES = {name for _, _, name in UNSPACED}

# Unicode's name of a letter begins with its script: "LATIN SMALL LETTER A", "HANGUL SYLLABLE GA".
_NAMED = re.compile(
    "(?:FULLWIDTH |HALFWIDTH )?([A-Z ]+?) (?:SMALL|CAPITAL|LETTER|SYLLAB|LIGATURE|VOWEL|IDEOGRAPH)"
)
_NONE = ("Modifier", "Mathematical")  # those that are of no script

# So many texts are looked at, and so many characters of each.
SAMPLE, CHARACTERS = 1000, 2000
# Texts are short if one in two has at most so many words, and so many characters.
SHORT_WORDS, SHORT_CHARACTERS = 2, 20


class Choice(NamedTuple):
    """A tokenizer, and why it."""

    tokenizer: Literal["bpe", "characters", "punctuation"]
    """"bpe", "characters" or "punctuation"."""
    reason: str
    """What of the texts speaks for it, to follow "because": "93% of the letters are Han, ..."."""


def scripts(texts: Sequence[str]) -> Counter[str]:
    """Counts the letters of each script, in a sample of the texts.

    Args:
        texts: any number; at most 1,000 evenly spaced ones count, of each the first 2,000
            characters.

    Returns:
        Letters by script, as Unicode's names of characters have it: "Latin", "Cyrillic", "Arabic",
        ...; "Han" for Chinese characters and "Kana" for both kinds of Japanese ones.
    """
    counts: Counter[str] = Counter()
    for text in _sample(texts):
        counts.update(text)
    found: Counter[str] = Counter()
    for character, count in counts.items():
        if (script := script_of(character)) is not None:
            found[script] += count
    return found


def unspaced_share(texts: Sequence[str]) -> float:
    """The share of letters that are of scripts written without spaces between words.

    Args:
        texts: as for `scripts`.

    Returns:
        In [0, 1]; 0 for texts without letters.
    """
    return _unspaced(scripts(texts))


def choose_tokenizer(texts: Sequence[str]) -> Choice:
    """Chooses the tokenizer that suits some texts.

    - "bpe" if more than half of the letters are of scripts written without spaces;
    - "characters" if the texts are short: in the median at most 2 words and 20 characters;
    - else "punctuation".

    Args:
        texts: as for `scripts`.

    Returns:
        The tokenizer, and why.
    """
    found = scripts(texts)
    share = _unspaced(found)
    if share > 0.5:
        name = next(name for name, _ in found.most_common() if name in _NAMES)
        return Choice(
            "bpe", f"{share:.0%} of the letters are {name} or another script without spaces"
        )
    sample = [text for text in _sample(texts) if text.strip()]
    words = statistics.median_low([len(text.split()) for text in sample] or [0])
    characters = statistics.median_low([len(text.strip()) for text in sample] or [0])
    if sample and words <= SHORT_WORDS and characters <= SHORT_CHARACTERS:
        most = f"{_count(words, 'word')} and {_count(characters, 'character')}"
        return Choice("characters", f"half of the texts have at most {most}")
    return Choice("punctuation", "words have spaces between them")


@lru_cache(maxsize=1 << 16)
def script_of(character: str) -> str | None:
    """The script of a letter; None for what is no letter, or a letter of no script ("µ")."""
    if not unicodedata.category(character).startswith("L"):
        return None
    code = ord(character)
    for first, last, name in UNSPACED:
        if first <= code <= last:
            return name
    named = _NAMED.match(unicodedata.name(character, ""))
    script = named and named[1].capitalize()
    return None if script is None or script.startswith(_NONE) else script


def _sample(texts: Sequence[str]) -> list[str]:
    """Evenly spaced texts, and the beginning of each."""
    step = -(-len(texts) // SAMPLE) or 1
    return [text[:CHARACTERS] for text in texts[::step]]


def _unspaced(found: Counter[str]) -> float:
    total = found.total()
    return sum(found[name] for name in _NAMES) / total if total else 0.0


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
