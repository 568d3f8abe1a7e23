"""Columns that a character separates: CSV, TSV and their relatives."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from lstm_jax.data import columns, lines
from lstm_jax.data.compression import Counted, inner_name
from lstm_jax.data.lines import Lines, file_lines, find_encoding
from lstm_jax.data.reading import Reading
from lstm_jax.data.table import Row, TextTable

_DELIMITERS = (",", ";", "\t", "|")
# Characters of a field. Behind a quote that is never closed, the rest of a file is one field.
_LONGEST = 1 << 24
# Lines, and letters of them, from which delimiter, quotes and header are found.
_LOOKED_AT, _LETTERS = 1000, 1 << 22
_NEARLY_ALL = 0.95  # of the lines of a text file that has columns


@dataclass(frozen=True)
class Dialect:
    """How the rows of a file are written.

    Attributes:
        delimiter: what separates the fields.
        quoted: whether a field in quotes may have delimiters, quotes and line breaks in it.
        header: whether the first row has the names of the columns.
        names: of the columns.
    """

    delimiter: str
    quoted: bool
    header: bool
    names: tuple[str, ...]


def open_separated(path: Path, reading: Reading) -> TextTable:
    """Opens a file of separated values.

    Args:
        path: the file, compressed or not.
        reading: what is said of it; the rest is found from its first lines.

    Returns:
        Its rows; a row with another number of fields than there are columns has a fault.

    Raises:
        ValueError: if it is empty or no text.
        OSError: if it cannot be read.
    """
    encoding = find_encoding(path, reading)
    dialect = find_dialect(path, first_lines(path, encoding), reading)
    separated = f"columns separated by {'tabs' if (d := dialect.delimiter) == chr(9) else repr(d)}"
    found = [lines.describe(encoding, reading), separated]
    if not dialect.quoted:
        found.append("quotes belong to the texts")
    if not dialect.header:
        found.append("no header, so the columns are called 1, 2, ...")
    counted = Counted()
    read = partial(_read, path, encoding, dialect, counted)
    return TextTable(
        path,
        dialect.names,
        read,
        tuple(found),
        counted=counted,
        delimiter=dialect.delimiter,
        marked=encoding == "utf-8-sig",
    )


def first_lines(path: Path, encoding: str) -> list[str]:
    """The first lines of a file, with their ends."""
    taken, letters = [], 0
    with file_lines(path, encoding) as opened:
        for line in islice(opened, _LOOKED_AT):
            taken.append(line)
            letters += len(line)
            if letters > _LETTERS:
                break
    return taken


def find_dialect(path: Path, sample: Sequence[str], reading: Reading) -> Dialect:
    """Finds out how a file is written.

    The delimiter is the one with which the first row has the columns that are asked for; else the
    one with which most rows have as many fields as the first. Quotes are letters like others where
    tabs or bars separate the columns and more rows fit so.

    Args:
        path: the file, whose name tells what is usual.
        sample: its first lines.
        reading: may say the delimiter, the columns, and whether there is a header.

    Raises:
        ValueError: if there are no rows.
    """
    usual = "," if inner_name(path).suffix.lower() == ".csv" else "\t"
    tried = (usual, *(other for other in _DELIMITERS if other != usual))
    best: tuple[tuple[float, ...], Dialect] | None = None
    for delimiter in (reading.delimiter,) if reading.delimiter else tried:
        for quoted in (True, False) if delimiter in "\t|" else (True,):
            rows = _sampled(sample, delimiter, quoted)
            if not rows or not rows[0]:
                continue
            first = tuple(name.strip() for name in rows[0])
            fitting = [row for row in rows if row is not None and len(row) == len(first)]
            header = columns.has_header(fitting, reading)
            names = first if header else tuple(str(n) for n in range(1, len(first) + 1))
            wanted = [*reading.text_column, *([reading.label_column or ""])]
            named = sum(bool(columns.matching(names, name)) for name in wanted if name)
            key = (named, len(first) > 1, len(fitting) / len(rows), quoted)
            if best is None or key > best[0]:
                best = key, Dialect(delimiter, quoted, header, names)
    if best is not None:
        return best[1]
    if any(line.strip() for line in sample):
        raise ValueError(f"{path}, line 1: the first row cannot be read; is a quote missing?")
    raise ValueError(f"{path}: empty; there must be a row for each text")


def separates(path: Path, sample: Sequence[str], reading: Reading) -> bool:
    """Whether lines that could be texts are rows of several columns.

    They are if nearly all have as many fields as the first, two or more, and the first has the name
    of a column for texts in it; or tabs separate them.
    """
    if not any(line.strip() for line in sample):
        return False
    dialect = find_dialect(path, sample, reading)
    rows = _sampled(sample, dialect.delimiter, dialect.quoted)
    fitting = sum(len(row or ()) == len(dialect.names) for row in rows)
    if len(dialect.names) < 2 or fitting < _NEARLY_ALL * len(rows):
        return False
    known = any(columns.matching(dialect.names, name) for name in columns.TEXT_NAMES)
    return (dialect.delimiter == "\t" and len(rows) > 1) or (dialect.header and known)


def _sampled(sample: Sequence[str], delimiter: str, quoted: bool) -> list[list[str] | None]:
    """The rows of the first lines, None for one that cannot be read."""
    opened = _Numbered(iter(sample))
    rows = [row.record if row.fault is None else None for row in _rows(opened, delimiter, quoted)]
    if len(sample) >= _LOOKED_AT and len(rows) > 1:
        rows.pop()  # its end may be missing
    return rows  # pyright: ignore[reportReturnType] - these records are lists


def _read(path: Path, encoding: str, dialect: Dialect, counted: Counted) -> Iterator[Row]:
    width = len(dialect.names)
    with file_lines(path, encoding, counted) as opened:
        rows = _rows(opened, dialect.delimiter, dialect.quoted)
        if dialect.header:
            next(rows, None)
        for row in rows:
            if row.fault is None and len(row.record) != width:
                count = "1 field" if len(row.record) == 1 else f"{len(row.record)} fields"
                yield row._replace(fault=f"{count} instead of {width}")
            else:
                yield row


class _Numbered:
    """Lines with numbers, for rows of a list; as `Lines` has them for those of a file."""

    def __init__(self, given: Iterator[str]) -> None:
        self.given, self.number, self.fault = given, 0, None

    def __iter__(self) -> _Numbered:
        return self

    def __next__(self) -> str:
        line = next(self.given)
        self.number += 1
        return line


def _rows(opened: Lines | _Numbered, delimiter: str, quoted: bool) -> Iterator[Row]:
    """The rows, the header too; blank ones are left out."""
    if not quoted:
        for line in opened:
            if line.strip():
                yield Row(opened.number, line.rstrip("\r\n").split(delimiter), opened.fault)
        return
    feed = _Feed(opened)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    behind_fault = False
    while True:
        feed.taken.clear()
        # The module's limit is for all of its readers: lifted for as long as this one reads.
        limit = csv.field_size_limit(_LONGEST)
        try:
            fields = next(reader, None)
        except csv.Error as error:
            number, line, fault = feed.give_back()
            fault = fault or f"{error}; is a quote missing?"
            yield Row(number, [line.rstrip("\r\n")], fault)
            behind_fault = True
            continue
        finally:
            csv.field_size_limit(limit)
        if fields is None:
            return
        if not fields:
            continue
        number, line, fault = feed.taken[0]
        if len(feed.taken) > 1:
            fault = next((each for _, _, each in feed.taken if each), None)
        if behind_fault and len(feed.taken) == 1 and line.count('"') % 2:
            fault = fault or "the end of a field whose quotes are damaged"
        behind_fault = behind_fault and fault is not None
        yield Row(number, fields, fault)


class _Feed:
    """Gives a reader of rows its lines, and takes back those behind a damaged one.

    Behind a quote that is never closed the reader takes the lines up to the next quote for one
    field. They are given back then, so that only the first of them is lost.
    """

    def __init__(self, opened: Lines | _Numbered) -> None:
        self.opened = opened
        self.taken: list[tuple[int, str, str | None]] = []  # of the row being read
        self.returned: deque[tuple[int, str, str | None]] = deque()

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if self.returned:
            line = self.returned.popleft()
        else:
            text = next(self.opened)
            line = self.opened.number, text, self.opened.fault
        self.taken.append(line)
        return line[1]

    def give_back(self) -> tuple[int, str, str | None]:
        """The first line of the row being read; the others come again."""
        first, *others = self.taken
        self.returned.extendleft(reversed(others))
        return first
