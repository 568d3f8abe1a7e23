"""Labelled texts from a user's own file: comma or tab separated, or a JSON object on each line."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_jax.text.corpus import Examples

SUFFIXES = (".csv", ".tsv", ".jsonl")


class Row(NamedTuple):
    """A labelled text and the line of the file on which it begins, counted from 1."""

    line: int
    text: str
    label: str


def read_rows(path: str | Path, text_column: str, label_column: str) -> list[Row]:
    """Reads the texts and labels of a file in UTF-8.

    Args:
        path: a `.csv` or `.tsv` file with the names of the columns on its first line (quoted fields
            may have commas, quotes and line ends in them), or a `.jsonl` file.
        text_column: the name of the column, or key, with the text.
        label_column: the name of the column, or key, with the label: a string or a whole number.

    Returns:
        The rows, at least one; no label is empty.

    Raises:
        ValueError: naming the file and, where there is one, the line, for whatever else it finds.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: the name must end in one of {', '.join(SUFFIXES)}")
    if text_column == label_column:
        raise ValueError(f"text_column and label_column must differ, got {text_column!r} for both")
    content = _decode(path)
    parse = _jsonl_rows if path.suffix.lower() == ".jsonl" else _csv_rows
    rows = []
    for row in parse(path, content, text_column, label_column):
        if not row.label:
            raise ValueError(
                f"{path}, line {row.line}: every text must have a label, got an empty"
                f" {label_column!r}"
            )
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: no rows")
    return rows


def class_names(path: str | Path, rows: list[Row]) -> tuple[str, ...]:
    """Orders the classes of a training file: by number if all are whole numbers, else by name.

    Args:
        path: the file, for the message.
        rows: its rows.

    Returns:
        The names, at least two.

    Raises:
        ValueError: if there is only one class.
    """
    names = {row.label for row in rows}
    if len(names) < 2:
        raise ValueError(
            f"{path}: there must be at least two labels, got only {next(iter(names))!r}"
        )
    numeric = all(name.lstrip("+-").isdecimal() and name.isascii() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name), name) if numeric else (0, name)))


def number_rows(path: str | Path, rows: list[Row], names: tuple[str, ...]) -> Examples:
    """Turns the labels of rows into class numbers.

    Args:
        path: the file, for the message.
        rows: its rows.
        names: the names of the classes.

    Returns:
        The examples.

    Raises:
        ValueError: if a label is not one of the names.
    """
    numbers = {name: number for number, name in enumerate(names)}
    for row in rows:
        if row.label not in numbers:
            raise ValueError(
                f"{path}, line {row.line}: the label must be one of the training file's,"
                f" {', '.join(map(repr, names))}, got {row.label!r}"
            )
    labels = np.array([numbers[row.label] for row in rows], np.int32)
    return Examples([row.text for row in rows], labels)


def _decode(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file"
            " as UTF-8"
        ) from error


def _csv_rows(path: Path, content: str, text_column: str, label_column: str) -> Iterator[Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with _fields_of_any_length():
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
        header: list[str] | None = None
        places = (0, 0)
        end = 0
        try:
            for fields in reader:
                line, end = end + 1, reader.line_num
                if not fields:
                    continue
                if header is None:
                    header = [name.strip() for name in fields]
                    places = tuple(
                        _place(path, header, name) for name in (text_column, label_column)
                    )
                    continue
                if len(fields) != len(header):
                    raise ValueError(
                        f"{path}, line {line}: there must be {len(header)} fields, as the first"
                        f" line names, got {len(fields)}; a text with {delimiter!r} in it must be"
                        " in quotes"
                    )
                yield Row(line, fields[places[0]], fields[places[1]].strip())
        except csv.Error as error:
            raise ValueError(f"{path}, line {end + 1}: {error}; is a quote missing?") from error
    if header is None:
        raise ValueError(f"{path}: empty; the first line must name the columns")


def _place(path: Path, header: list[str], name: str) -> int:
    if header.count(name) != 1:
        raise ValueError(
            f"{path}, line 1: there must be one column {name!r}, got {header.count(name)}; the"
            f" columns are {', '.join(map(repr, header))}"
        )
    return header.index(name)


def _jsonl_rows(path: Path, content: str, text_column: str, label_column: str) -> Iterator[Row]:
    # Not splitlines(): it splits at characters that JSON allows inside a string.
    for line, source in enumerate(content.split("\n"), 1):
        if not source.strip():
            continue
        try:
            record = json.loads(source)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path}, line {line}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f"{path}, line {line}: must be an object, got {source[:40]!r}")
        for column in (text_column, label_column):
            if column not in record:
                raise ValueError(
                    f"{path}, line {line}: no {column!r}; the keys are"
                    f" {', '.join(map(repr, record)) or 'none'}"
                )
        text, label = record[text_column], record[label_column]
        if not isinstance(text, str):
            raise ValueError(
                f"{path}, line {line}: {text_column!r} must be a string, got {_kind(text)}"
            )
        if not isinstance(label, str | int) or isinstance(label, bool):
            raise ValueError(
                f"{path}, line {line}: {label_column!r} must be a string or a whole number, got"
                f" {_kind(label)}"
            )
        try:
            f"{text}{label}".encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{path}, line {line}: half a surrogate pair: {error}") from error
        yield Row(line, text, str(label).strip())


def _kind(value: object) -> str:
    return json.dumps(value)[:40]


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    """Lifts the csv module's limit of 131,072 characters, and puts it back."""
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(limit)
