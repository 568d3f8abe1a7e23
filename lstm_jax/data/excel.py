"""Excel files, through openpyxl."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lstm_jax.data.columns import has_header
from lstm_jax.data.compression import Counted, open_seekable
from lstm_jax.data.extra import needed
from lstm_jax.data.reading import Reading
from lstm_jax.data.table import Row, TextTable


def open_excel(path: Path, reading: Reading) -> TextTable:
    """Opens the first sheet of an Excel file that has something in it; it is read whole.

    Args:
        path: an `.xlsx` or `.xlsm` file, compressed as a whole or not.
        reading: may say the columns, and whether there is a header.

    Raises:
        ValueError: if it is empty, no such file, or openpyxl is not installed.
        OSError: if it cannot be read.
    """
    openpyxl = needed("openpyxl")
    rows: list[tuple[int, list[str]]] = []
    name, sheets = "", 0
    with open_seekable(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and other things that are not read
        try:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            sheets = len(book.worksheets)
            for sheet in book.worksheets:
                cells = enumerate(sheet.iter_rows(values_only=True), 1)
                texts = ((number, list(map(_text, row))) for number, row in cells)
                rows = [(number, row) for number, row in texts if any(row)]
                name = sheet.title
                if rows:
                    break
        except Exception as error:  # openpyxl, zipfile and xml each have their own
            reason = " ".join(str(error).split())
            raise ValueError(f"{path}: not an Excel file, or damaged: {reason[:200]}") from error
    if not rows:
        raise ValueError(f"{path}: empty; there must be a row for each text")
    width = max(len(row) for _, row in rows)
    while width > 1 and not any(row[width - 1 :] and row[width - 1] for _, row in rows):
        width -= 1
    filled = [(number, (row + [""] * width)[:width]) for number, row in rows]
    header = has_header([row for _, row in filled[:1000]], reading)
    names = [cell.strip() for cell in filled[0][1]] if header else map(str, range(1, width + 1))
    found = [f"sheet {name!r}" + (f" of {sheets}" if sheets > 1 else "")]
    if not header:
        found.append("no header, so the columns are called 1, 2, ...")
    counted = Counted()
    counted.total = len(filled) - header
    read = partial(_read, filled[1:] if header else filled, counted)
    return TextTable(path, tuple(names), read, tuple(found), "row", counted=counted)


def _read(rows: list[tuple[int, list[str]]], counted: Counted) -> Iterator[Row]:
    counted.rows = 0
    for number, row in rows:
        counted.rows += 1
        yield Row(number, list(row))


def _text(cell: Any) -> str:
    """A cell as a CSV file of the same sheet has it."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
