"""The rows of a file with columns, one at a time: separated values, or an object on each line."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from lstm_jax.data.formats import JSON_LINES
from lstm_jax.data.lines import file_lines

_DELIMITERS = (",", ";", "\t", "|")
_LONGEST = min(sys.maxsize, 2**31 - 1)  # characters of a field
_LOOKED_AT = 100  # rows from which the column with the text is guessed


class Record(NamedTuple):
    """A row, and the line of the file on which it begins, counted from 1."""

    line: int
    values: list[object]


def read_records(path: Path, columns: Mapping[str, str]) -> Iterator[Record]:
    """Reads some columns of a file.

    Args:
        path: a `.csv` or `.tsv` file with the names of the columns on its first line (quoted fields
            may have delimiters, quotes and line ends in them), or a `.jsonl` or `.ndjson` file. The
            delimiter is the one with which the first line has the columns.
        columns: the name of each column, by the argument that gave it. Case does not matter where
            no name is the same with it.

    Yields:
        The rows with a value for each of `columns`.

    Raises:
        ValueError: naming the file and, where there is one, the line, for whatever else it finds.
        OSError: if it cannot be read.
    """
    if path.suffix.lower() in JSON_LINES:
        for line, record in _objects(path):
            yield Record(line, [_value(path, line, record, name) for name in columns.values()])
        return
    delimiter = _delimiter(path, list(columns.values()))
    rows = _rows(path, delimiter)
    line, header = _header(path, rows)
    places = [_place(path, line, header, *column) for column in columns.items()]
    for line, fields in rows:
        if len(fields) != len(header):
            raise ValueError(
                f"{path}, line {line}: there must be {len(header)} fields, as the first line names,"
                f" got {len(fields)}; a text with {delimiter!r} in it must be in quotes"
            )
        yield Record(line, [fields[place] for place in places])


def find_text_column(path: Path) -> str:
    """Guesses which column of a file has the text.

    Args:
        path: as for `read_records`.

    Returns:
        "text", in any case; else the only column with something else than numbers in it.

    Raises:
        ValueError: if there is none or there are several; and as `read_records`.
    """
    if path.suffix.lower() in JSON_LINES:
        looked_at = [record for _, record in islice(_objects(path), _LOOKED_AT)]
        names = list(dict.fromkeys(name for record in looked_at for name in record))
        values = {name: [record.get(name) for record in looked_at] for name in names}
        texts = [name for name in names if all(isinstance(v, str) for v in values[name])]
    else:
        rows = _rows(path, _delimiter(path, ["text"]))
        _, names = _header(path, rows)
        looked_at = [fields for _, fields in islice(rows, _LOOKED_AT)]
        columns = zip(*(fields for fields in looked_at if len(fields) == len(names)), strict=True)
        texts = [
            name
            for name, column in zip(names, columns, strict=False)
            if not all(_is_number(value) for value in column)
        ]
    called_text = _find(names, "text")
    if called_text:
        return called_text[0]
    if len(texts) == 1:
        return texts[0]
    raise ValueError(
        f"{path}: which column has the text? Give --text-column; the columns are {_listed(names)}"
    )


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of separated values, the header too, with their lines; blank ones are left out."""
    reader = csv.reader(file_lines(path), delimiter=delimiter, strict=True)
    end = 0
    try:
        while True:
            # The module's limit is for all of its readers: lifted for as long as this one reads.
            limit = csv.field_size_limit(_LONGEST)
            try:
                fields = next(reader, None)
            finally:
                csv.field_size_limit(limit)
            if fields is None:
                return
            line, end = end + 1, reader.line_num
            if fields:
                yield line, fields
    except csv.Error as error:
        raise ValueError(f"{path}, line {end + 1}: {error}; is a quote missing?") from error


def _header(path: Path, rows: Iterator[tuple[int, list[str]]]) -> tuple[int, list[str]]:
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path}: empty; the first line must name the columns")
    return first[0], [name.strip() for name in first[1]]


def _delimiter(path: Path, columns: Sequence[str]) -> str:
    """The delimiter with which the first line has the columns; else that with which it has most."""
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    headers: dict[str, list[str]] = {}
    for delimiter in (usual, *(other for other in _DELIMITERS if other != usual)):
        with suppress(ValueError):  # of quotes that are none with this delimiter
            headers[delimiter] = _header(path, _rows(path, delimiter))[1]
            if all(_find(headers[delimiter], column) for column in columns):
                return delimiter
    # Where none can be read, reading it says what is wrong.
    return max(headers, key=lambda delimiter: len(headers[delimiter]), default=usual)


def _find(names: Sequence[str], wanted: str) -> list[str]:
    """Those of the names that are the wanted one; where none is, in any case."""
    return [name for name in names if name == wanted] or [
        name for name in names if name.strip().casefold() == wanted.strip().casefold()
    ]


def _place(path: Path, line: int, header: list[str], argument: str, column: str) -> int:
    found = _find(header, column)
    if len(found) != 1:
        raise ValueError(
            f"{path}, line {line}: there must be one column {column!r}, got {len(found)}; the"
            f" columns are {_listed(header)}; give --{argument.replace('_', '-')}, or, if this line"
            " is no header, put one above it"
        )
    return header.index(found[0])


def _objects(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    for line, source in enumerate(file_lines(path), 1):
        if not source.strip():
            continue
        try:
            record = json.loads(source, parse_int=_whole_number)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {line}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f"{path}, line {line}: must be an object, got {source.strip()[:40]!r}")
        yield line, record


def _whole_number(digits: str) -> int | str:
    """A number of JSON; one of more digits than Python converts stays as it is written."""
    return int(digits) if len(digits) <= 1000 else digits


def _value(path: Path, line: int, record: dict[str, object], column: str) -> object:
    found = _find(list(record), column)
    if len(found) != 1:
        raise ValueError(
            f"{path}, line {line}: {'several' if found else 'no'} {column!r}; the keys are"
            f" {_listed(list(record)) or 'none'}"
        )
    value = record[found[0]]
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{path}, line {line}: half a surrogate pair: {error}") from error
    return value


def _listed(names: Sequence[str]) -> str:
    shown = [repr(name if len(name) <= 30 else f"{name[:30]}…") for name in names[:10]]
    return ", ".join(shown) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _is_number(value: str) -> bool:
    try:
        float(value or 0)
    except ValueError:
        return False
    return True
