"""The labels of a file: which are refused, in what order the classes are, and what looks odd."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

# What stands in a file for a cell with nothing in it; the words are those that pandas writes and
# reads as such (`na_values` of `pandas.read_csv`). "none" in small letters can be a class.
_EMPTY = {
    *("", "#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "n/a", "NA", "NULL", "null", "None"),
    *("NaN", "-NaN", "nan", "-nan", "NaT", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
}
LONGEST = 200  # characters; longer ones are texts in the wrong column

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_SHOWN = 5


def problem(label: str, column: str) -> str | None:
    """What is wrong with a label of a column, without spaces around it; None if nothing is."""
    if not label:
        return f"every text must have a label, got an empty {column!r}"
    if label in _EMPTY:
        return (
            f"every text must have a label, got {label!r}, which stands for none; if it is a class,"
            " give it another name"
        )
    if len(label) > LONGEST:
        return (
            f"a label must have at most {LONGEST} characters, got {len(label):,}; is it the text?"
        )
    return None


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


def near_equal(labels: Sequence[str]) -> list[list[str]]:
    """Finds labels that may be meant to be the same.

    Args:
        labels: one for each row.

    Returns:
        Groups of different labels that are the same apart from case, spaces, the way in which
        Unicode writes a character, or the way in which a number is written.
    """
    groups: dict[object, list[str]] = {}
    for label in sorted(set(labels)):
        groups.setdefault(_meaning(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def near_equal_warning(labels: Sequence[str]) -> str | None:
    """One line that names near-equal labels and counts their rows; None if there are none."""
    groups, counts = near_equal(labels), Counter(labels)
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
