"""How a text is cut into tokens: for the Rust library `tokenizers`, and for ASCII in Python.

The library knows all of Unicode. It keeps where each letter of a word stood in the text, which
nothing here asks for; a text in ASCII, as most English ones are, is cut by Python into the same
words in a quarter of the processor's time or less. The tests hold one to the other.

The expressions are such that JavaScript, which has them from the tokenizer's file too, matches the
same: no names of scripts, no graphemes.
"""

import re
import string
from collections.abc import Callable
from dataclasses import dataclass

from tokenizers import Regex, normalizers, pre_tokenizers

from lstm_jax.text.scripts import UNSPACED

# A run of `<br />`. No two neighbouring parts of it match the same character: with `\s*/?\s*` in it
# a search took quadratic time on "<" and many spaces.
BREAKS = r"(?:<\s*(?:/\s*)?br\s*(?:/\s*)?>\s*)+"
# Characters of a word that is cut into pieces.
LONGEST = 32
# Expressions in files saved before, and what matches the same in linear time.
REPLACED = {r"(?:<\s*/?\s*br\s*/?\s*>\s*)+": BREAKS}


@dataclass(frozen=True)
class Rules:
    """One way to cut texts."""

    normalizer: normalizers.Normalizer
    pre_tokenizer: pre_tokenizers.PreTokenizer
    cut_ascii: Callable[[str], list[str]] | None = None
    """What the two before it give for a text in ASCII, where Python is quicker; empty strings stand
    for no word."""
    cut_other: Callable[[str], list[str]] | None = None
    """The same for any other text."""
    ends: bool = False
    """Whether the start token stands at the end of a text too."""
    pieces: bool = False
    """Whether words are cut further, into the pieces of a byte-pair encoding."""


def keras() -> Rules:
    """Lower case; words are what is left between Keras's filter characters and spaces."""
    filtered = string.punctuation.replace("'", "") + "\t\n "
    spaces = str.maketrans(filtered, " " * len(filtered))
    between = pre_tokenizers.Split(Regex(f"[{re.escape(filtered)}]+"), "removed")
    return Rules(
        normalizers.Lowercase(), between, lambda text: text.lower().translate(spaces).split(" ")
    )


def punctuation() -> Rules:
    """Lower case; punctuation marks are tokens, and so is what carries a judgement.

    A run of `<br />` is one token, not a space: it ends a paragraph, the verdict of a review tends
    to stand in the last one, and as one token it costs one time step. Contractions are split as in
    the Penn Treebank ("did n't", "it 's"): one embedding learns the negation of every verb. A
    rating ("8/10", "3.5") is one token, because its parts mean little.
    """
    dots = r"\.{2,}"
    normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Lowercase(),
            normalizers.Replace("\u2019", "'"),
            normalizers.Replace(Regex(BREAKS), " <br> "),
            normalizers.Replace(Regex(rf"{dots}|\u2026"), "..."),
        ]
    )
    token = _token(letter=r"\p{L}", mark=r"\p{M}", number=r"\p{N}", sign=r"[\p{P}\p{S}]")
    break_in_ascii, dots_in_ascii = re.compile(BREAKS, re.ASCII), re.compile(dots)
    sign = f"[{re.escape(string.punctuation)}]"
    token_in_ascii = re.compile(_token(letter="a-z", mark="", number="0-9", sign=sign))

    def cut_ascii(text: str) -> list[str]:
        text = break_in_ascii.sub(" <br> ", text.lower())
        return token_in_ascii.findall(dots_in_ascii.sub("...", text))

    return Rules(normalizer, pre_tokenizers.Split(Regex(token), "removed", invert=True), cut_ascii)


def _token(*, letter: str, mark: str, number: str, sign: str) -> str:
    """The expression for a token, of classes of characters without their brackets."""
    end = f"(?![{letter}{number}])"
    return "|".join(
        [
            "<br>",
            f"[{letter}]+?(?=n't{end})",  # the verb before n't
            f"n't{end}",
            f"'(?:s|m|d|re|ve|ll){end}",
            f"[{number}]+(?:[.,/][{number}]+)+",  # 8/10, 3.5, 1,000
            f"[{letter}{number}][{letter}{mark}{number}]*",
            r"\.{3}",
            sign,
        ]
    )


def characters() -> Rules:
    """Lower case; every character is a token, and a run of white space is one space.

    A character is a code point, in Unicode's composed form (NFC). The start token ends the text
    too, so that n-grams know the last letters of a name or a code.
    """
    normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    space_in_ascii = re.compile(r"\s+", re.ASCII)
    return Rules(
        normalizer,
        pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated"),
        cut_ascii=lambda text: list(space_in_ascii.sub(" ", text.lower()).strip(" ")),
        cut_other=lambda text: list(normalizer.normalize_str(text)),
        ends=True,
    )


def byte_pairs() -> Rules:
    """Lower case; pieces of words, for texts that have no spaces between words.

    Full-width and half-width forms are one (NFKC). A word is a run of letters of scripts without
    spaces (Chinese, Japanese, Thai, ...), a run of other letters, or a run of digits; longer ones
    are cut, because the time of training grows with the square of a word's length. A punctuation
    mark or a symbol is a token.

    Source: Sennrich, Haddow & Birch (2016), "Neural Machine Translation of Rare Words with Subword
    Units", section 3.2.
    """
    unspaced = "".join(f"{chr(first)}-{chr(last)}" for first, last, _ in UNSPACED)
    token = "|".join(
        [
            rf"(?:(?=[{unspaced}])[\p{{L}}\p{{M}}]){{1,{LONGEST}}}",
            rf"(?:(?![{unspaced}])[\p{{L}}\p{{M}}]){{1,{LONGEST}}}",
            rf"\p{{N}}{{1,{LONGEST}}}",
            r"[\p{P}\p{S}]",
        ]
    )
    return Rules(
        normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]),
        pre_tokenizers.Split(Regex(token), "removed", invert=True),
        pieces=True,
    )


RULES = {
    "keras": keras(),
    "punctuation": punctuation(),
    "characters": characters(),
    "bpe": byte_pairs(),
}
