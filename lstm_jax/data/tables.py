"""Texts from a user's own file: comma or tab separated, or a JSON object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_jax.data import formats, labels, records
from lstm_jax.data.corpus import Examples
from lstm_jax.data.lines import file_lines


class Row(NamedTuple):
    """A labelled text and the line of the file on which it begins, counted from 1."""

    line: int
    text: str
    label: str


def read_rows(path: str | Path, text_column: str, label_column: str) -> list[Row]:
    """Reads the texts and labels of a file.

    Args:
        path: a file as for `read_records`.
        text_column: the name of the column, or key, with the text.
        label_column: the name of the column, or key, with the label: a string or a whole number.

    Returns:
        The rows, at least one; no label is empty.

    Raises:
        ValueError: naming the file and, where there is one, the line, for whatever else it finds.
        OSError: if it cannot be read.
    """
    path = Path(path)
    if not formats.is_table(path):
        raise ValueError(formats.unlabelled(path))
    if text_column == label_column:
        raise ValueError(f"text_column and label_column must differ, got {text_column!r} for both")
    columns = {"text_column": text_column, "label_column": label_column}
    rows = []
    for line, (text, label) in records.read_records(path, columns):
        if not isinstance(label, str | int) or isinstance(label, bool):
            raise ValueError(
                f"{path}, line {line}: {label_column!r} must be a string or a whole number, got"
                f" {json.dumps(label)[:40]}"
            )
        name = str(label).strip()
        if problem := labels.problem(name, label_column):
            raise ValueError(f"{path}, line {line}: {problem}")
        rows.append(Row(line, _checked_text(path, line, text_column, text), name))
    if not rows:
        raise ValueError(f"{path}: no rows")
    return rows


def read_texts(path: Path, text_column: str | None = None) -> Iterator[str]:
    """Reads the texts of a file one at a time, whatever its labels are.

    Args:
        path: a file with columns, as for `read_records`; any other has a text on each line.
        text_column: the name of the column with the text; by default it is guessed, see
            `records.find_text_column`.

    Yields:
        The texts, without the ends of lines.

    Raises:
        ValueError: naming the file and, where there is one, the line, if it is not such a file.
        OSError: if it cannot be read.
    """
    if not formats.is_table(path):
        if path.exists() and (refusal := formats.refusal(path)):
            raise ValueError(refusal)
        if text_column is not None:
            raise ValueError(
                f"text_column goes only with a file that ends in one of"
                f" {', '.join(formats.SUFFIXES)}, got {text_column!r} with {path}"
            )
        yield from (line.rstrip("\r\n") for line in file_lines(path))
        return
    column = text_column or records.find_text_column(path)
    for line, (text,) in records.read_records(path, {"text_column": column}):
        yield _checked_text(path, line, column, text)


def class_names(path: str | Path, rows: list[Row]) -> tuple[str, ...]:
    """The classes of a training file, in the order of `labels.ordered`.

    Args:
        path: the file, for the message.
        rows: its rows.

    Returns:
        The names, at least two.

    Raises:
        ValueError: if there is only one class.
    """
    names = labels.ordered(row.label for row in rows)
    if len(names) < 2:
        only = ", ".join(map(repr, names))
        raise ValueError(f"{path}: there must be at least two labels, got only {only}")
    return names


def number_rows(path: str | Path, rows: list[Row], names: tuple[str, ...], whose: str) -> Examples:
    """Turns the labels of rows into class numbers.

    Args:
        path: the file, for the message.
        rows: its rows.
        names: the names of the classes.
        whose: where the names are from, for the message: "the training file's".

    Returns:
        The examples.

    Raises:
        ValueError: if a label is not one of the names.
    """
    numbers = {name: number for number, name in enumerate(names)}
    for row in rows:
        if row.label not in numbers:
            raise ValueError(
                f"{path}, line {row.line}: the label must be one of {whose},"
                f" {', '.join(map(repr, names))}, got {row.label!r}"
            )
    numbered = np.array([numbers[row.label] for row in rows], np.int32)
    return Examples([row.text for row in rows], numbered)


def _checked_text(path: Path, line: int, column: str, text: object) -> str:
    if not isinstance(text, str):
        got = json.dumps(text)[:40]
        raise ValueError(f"{path}, line {line}: {column!r} must be a string, got {got}")
    return text
