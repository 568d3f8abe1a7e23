"""The labels of a file: which are refused, in what order the classes are, and what looks odd."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping

# What stands in a file for a cell with nothing in it; the words are those that pandas writes and
# reads as such (`na_values` of `pandas.read_csv`). "none" in small letters can be a class.
_EMPTY = {
    *("", "#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "n/a", "NA", "NULL", "null", "None"),
    *("NaN", "-NaN", "nan", "-nan", "NaT", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
}
LONGEST = 200  # characters; longer ones are texts in the wrong column

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_SHOWN = 5


def as_label(value: object) -> str:
    """The label that a value of a file is.

    Args:
        value: a string; spaces around it do not count. Or a whole number, True or False.

    Returns:
        The label as it is written.

    Raises:
        ValueError: saying why it is none, in a few words: "no label".
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():  # as pandas has whole numbers beside gaps
        value = int(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise ValueError("no label")
    if not isinstance(value, str | int):
        shown = json.dumps(value, default=str)[:40]
        raise ValueError(f"the label must be a string or a whole number, got {shown}")
    label = str(value).strip()
    if not label:
        raise ValueError("no label")
    if label in _EMPTY:
        raise ValueError(f"no label, but {label!r}, which stands for none")
    if len(label) > LONGEST:
        raise ValueError(
            f"a label must have at most {LONGEST} characters, got {len(label):,}; is it the text?"
        )
    if not is_text(label):
        raise ValueError("half a surrogate pair in the label")
    return label


def is_text(value: str) -> bool:
    """Whether UTF-8 can hold a string: JSON may have half a letter in it."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Orders classes: by number if all are whole numbers in ASCII's digits, else by name.

    Args:
        names: the labels that occur, in any order and any number of times.

    Returns:
        Each of them once.
    """
    different = set(names)
    if all(_WHOLE_NUMBER.fullmatch(name) for name in different):
        return tuple(sorted(different, key=lambda name: (int(name), name)))
    return tuple(sorted(different))


def near_equal(labels: Iterable[str]) -> list[list[str]]:
    """Finds labels that may be meant to be the same.

    Args:
        labels: in any order and any number of times.

    Returns:
        Groups of different labels that are the same apart from case, spaces, the way in which
        Unicode writes a character, or the way in which a number is written.
    """
    groups: dict[object, list[str]] = {}
    for label in sorted(set(labels)):
        groups.setdefault(_meaning(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def near_equal_warning(counts: Mapping[str, int]) -> str | None:
    """One line that names near-equal labels and counts their rows; None if there are none.

    Args:
        counts: the rows of each label.
    """
    groups = near_equal(counts)
    if not groups:
        return None
    shown = [" and ".join(f"{name!r} ({counts[name]:,})" for name in group) for group in groups]
    more = f", and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
    return (
        f"labels that are nearly the same are classes of their own: {', '.join(shown[:_SHOWN])}"
        f"{more}; write them alike if they mean the same"
    )


def _meaning(label: str) -> object:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    letters = "".join(
        character
        for character in folded
        if not character.isspace() and unicodedata.category(character) != "Cf"
    )
    try:
        return float(letters)
    except ValueError:
        return letters
