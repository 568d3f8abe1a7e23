"""Which columns of a table have the text and the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from lstm_jax.data.faults import Faults
from lstm_jax.data.reading import Reading
from lstm_jax.data.table import MISSING, Row, TextTable, listed, matching

# What columns are called, the usual name first. Of the others none counts more than another.
TEXT_NAMES: Sequence[str] = [
    "text",
    "review",
    "comment",
    "sentence",
    "content",
    "body",
    "message",
    "tweet",
    "document",
    "description",
    "utterance",
    "question",
    "review_text",
    "texts",
]
LABEL_NAMES: Sequence[str] = [
    "label",
    "class",
    "category",
    "target",
    "sentiment",
    "rating",
    "stars",
    "score",
    "intent",
    "topic",
    "polarity",
    "emotion",
    "labels",
    "y",
    "verdict",
]
_LONG_NAME = 80  # letters that no name of a column has
_FEW = 100  # different labels that a column may have which is not called one
# How much longer the texts of one column must be than those of any other.
_CLEARLY = 2


class Columns(NamedTuple):
    """The columns that are read.

    Attributes:
        text: one or more.
        label: None where no labels are wanted.
    """

    text: tuple[str, ...]
    label: str | None

    def said(self) -> str:
        """What is said of them."""
        text = " and ".join(map(repr, self.text))
        return f"text in {text}" + (f", label in {self.label!r}" if self.label is not None else "")

    def of(self, reading: Reading) -> Reading:
        """How another file is read that has the same columns."""
        return replace(reading, text_column=self.text, label_column=self.label)


def find_columns(table: TextTable, reading: Reading, *, labelled: bool) -> Columns:
    """Finds the columns that are read.

    Args:
        table: whose columns.
        reading: those that are given are taken.
        labelled: whether a label is wanted.

    Raises:
        ValueError: if one is not there, or several could be meant; with all the columns.
    """
    if not table.columns:
        _sampled(table, reading)
    given = tuple(table.column(name, "--text-column") for name in reading.text_column)
    label = reading.label_column
    if label is not None and labelled:
        label = table.column(label, "--label-column")
    if len(table.columns) == 1 and not given and not labelled:
        return Columns(table.columns, None)
    rows = [] if given and (label or not labelled) else _sampled(table, reading)
    if not given and not labelled:
        return Columns((_text(table, rows, label),), None)
    if not labelled:
        return Columns(given, None)
    if not given:
        # What is called a label is none of the columns that could have the text.
        named = label or _by_name(table.columns, LABEL_NAMES)
        given = (_text(table, rows, named),)
    label = label or _label(table, rows, given)
    if label in given:
        raise ValueError(f"text_column and label_column must differ, got {label!r} for both")
    return Columns(given, label)


def has_header(rows: Sequence[Sequence[str]], reading: Reading) -> bool:
    """Whether the first row has the names of the columns.

    It has, if one of them is a name that is asked for, or a usual one. It has not, if one is a
    number or long, or is found again further down in its column.

    Args:
        rows: the first ones, as many fields in each.
        reading: may say it, and the columns.
    """
    if reading.header is not None:
        return reading.header == "yes"
    first, rest = [name.strip() for name in rows[0]], rows[1:]
    wanted = [*reading.text_column, *([reading.label_column] if reading.label_column else [])]
    if any(matching(first, name) for name in (*wanted, *TEXT_NAMES, *LABEL_NAMES)):
        return True
    if wanted and all(name.isdecimal() and 1 <= int(name) <= len(first) for name in wanted):
        return False
    if any(len(name) > _LONG_NAME or (name and _is_number(name)) for name in first):
        return False
    return not any(
        name and any(row[place].strip() == name for row in rest) for place, name in enumerate(first)
    )


def _sampled(table: TextTable, reading: Reading) -> list[Row]:
    """The first rows that can be used; refuses a table that has none."""
    if rows := table.sample():
        return rows
    faults = Faults(table.path, reading)
    for row in table.read():
        faults.rows += 1
        faults.add(table.place(row), row.fault or "no values")
    if not faults.rows:
        raise ValueError(f"{table.path}: no rows")
    raise ValueError(f"{table.path}: {faults.said()}")


def _text(table: TextTable, rows: Sequence[Row], label: str | None) -> str:
    """The column with the text: by its name, else the one whose values are clearly longest."""
    others = [name for name in table.columns if name != label]
    if matching(others, "text"):
        return table.column("text", "--text-column")
    named = [name for name in others if name.strip().casefold() in TEXT_NAMES]
    if len(named) == 1:
        return named[0]
    lengths = {
        name: length
        for name in named or others
        if (length := _length([table.getter(name)(row.record) for row in rows])) is not None
    }
    ordered = sorted(lengths, key=lambda name: -lengths[name])
    if len(ordered) == 1 or (
        len(ordered) > 1 and lengths[ordered[0]] > _CLEARLY * lengths[ordered[1]]
    ):
        return ordered[0]
    raise ValueError(
        f"{table.path}: which column has the text? Give --text-column; the columns are"
        f" {listed(table.columns)}"
    )


def _label(table: TextTable, rows: Sequence[Row], text: tuple[str, ...]) -> str:
    """The column with the label: by its name, else the only one with few different values."""
    others = [name for name in table.columns if name not in text]
    if matching(others, "label"):
        return table.column("label", "--label-column")
    named = [name for name in others if name.strip().casefold() in LABEL_NAMES]
    if len(named) == 1:
        return named[0]
    few = [
        name
        for name in named or others
        if _has_few(
            [table.getter(name)(row.record) for row in rows], only=len(named or others) == 1
        )
    ]
    if len(few) == 1:
        return few[0]
    raise ValueError(
        f"{table.path}: which column has the label? Give --label-column; the columns are"
        f" {listed(table.columns)}"
        + ("" if table.keyed else "; if the first row is no header, give --header no")
    )


def _by_name(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """The column with the first of the usual names, if it or only one of the others is there."""
    if first := matching(names, usual[0]):
        return first[0]
    found = [name for name in names if name.strip().casefold() in usual]
    return found[0] if len(found) == 1 else None


def _length(values: Sequence[Any]) -> float | None:
    """The mean length of texts; None if they are none, but numbers or nothing."""
    if values and all(_is_number(v) if isinstance(v, str) else True for v in values):
        return None
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < len(values) / 2 or (values and not texts):
        return None
    return sum(map(len, texts)) / max(1, len(texts))


def _has_few(values: Sequence[Any], *, only: bool) -> bool:
    """Whether values could be labels: few different ones; the only column may have more."""
    hashable = [v for v in values if isinstance(v, str | int | float) and v is not MISSING]
    different = len(set(hashable))
    if len(hashable) < len(values) / 2:
        return False
    if only:
        return different < len(values) or len(values) < 20
    return 2 <= different <= min(_FEW, max(2, len(values) // 2))


def _is_number(value: str) -> bool:
    try:
        float(value or 0)
    except ValueError:
        return False
    return True
