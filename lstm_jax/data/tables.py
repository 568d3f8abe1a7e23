"""A user's files: opened whatever their format is, and read as texts and labels."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lstm_jax.data import arrow, folders, formats, labels
from lstm_jax.data.columns import Columns, find_columns
from lstm_jax.data.corpus import Examples
from lstm_jax.data.excel import open_excel
from lstm_jax.data.faults import Faults
from lstm_jax.data.objects import open_json
from lstm_jax.data.plain import open_plain
from lstm_jax.data.reading import Reading
from lstm_jax.data.separated import open_separated
from lstm_jax.data.stored import Collected
from lstm_jax.data.table import MISSING, Record, TextTable

_READ_ALL = Reading()
_OF_SEPARATED = ("separated", "text")


def open_table(path: str | Path, reading: Reading = _READ_ALL) -> TextTable:
    """Opens a file of texts, in any format that is read.

    Args:
        path: a file, or a folder of class folders or of Hugging Face's `datasets`.
        reading: what is said of it.

    Returns:
        The table, whose rows are read when they are asked for.

    Raises:
        ValueError: naming the file, if it is not of such a format, is empty, or `reading` says
            something that its format does not have.
        OSError: if it cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        with path.open("rb"):  # whatever is wrong with its name, it is said first if it is missing
            pass
    kind = formats.kind_of(path)
    without = {
        "delimiter": kind not in _OF_SEPARATED,
        "header": kind not in (*_OF_SEPARATED, "excel"),
        "encoding": kind in ("parquet", "arrow", "excel", "datasets"),
    }
    for name, value in reading.given().items():
        if without.get(name):
            raise ValueError(f"{path}: such a file has no {name}, got --{name} {value!r}")
    match kind:
        case "separated":
            return open_separated(path, reading)
        case "json":
            return open_json(path, reading)
        case "parquet":
            return arrow.open_parquet(path)
        case "arrow":
            return arrow.open_feather(path)
        case "excel":
            return open_excel(path, reading)
        case "datasets":
            return arrow.open_dataset(path)
        case "classes":
            return folders.open_folders(path, reading)
        case _:
            return open_plain(path, reading)


@dataclass(frozen=True)
class Labelled:
    """What a file of labelled texts has.

    Attributes:
        examples: the texts, and the numbers of their classes.
        class_names: the classes.
        reading: how it was read, for another file with the same columns.
        note: one line that says what was found out about it.
        warnings: a line each on what looks like a mistake.
    """

    examples: Examples
    class_names: tuple[str, ...]
    reading: Reading
    note: str
    warnings: tuple[str, ...]


def read_labelled(
    path: Path, reading: Reading, names: tuple[str, ...] | None = None, whose: str = ""
) -> Labelled:
    """Reads the texts and labels of a file.

    Args:
        path: as for `open_table`.
        reading: what is said of it.
        names: the classes, if they are known; else those that it has, in the order of
            `labels.ordered`, or its own.
        whose: where `names` are from, for messages: "the training file's".

    Returns:
        The examples, at least one.

    Raises:
        ValueError: naming the file and, where there is one, the line: if there are no labels, no
            rows or too many that cannot be used; if a label is not one of `names`.
        OSError: if it cannot be read.
    """
    table = open_table(path, reading)
    if table.plain:
        raise ValueError(
            f"{path}: has texts without labels, which go to `pretrain`, `train --unlabelled` or"
            f" `predict --file`; with labels are read {formats.allowed()}"
        )
    chosen, faults = find_columns(table, reading, labelled=True), Faults(path, reading)
    assert chosen.label is not None
    text_of, value_of = text_getter(table, chosen.text), table.getter(chosen.label)
    known = table.classes.get(chosen.label)
    texts, numbers, seen = Collected(), array("i"), {}
    for row in table.read():
        faults.rows += 1
        try:
            if row.fault is not None:
                raise ValueError(row.fault)
            text, label = text_of(row.record), _label(value_of(row.record), known)
        except ValueError as error:
            faults.add(table.place(row), str(error))
            continue
        if names is not None and label not in names:
            raise ValueError(
                f"{path}, {table.place(row)}: the label must be one of {whose},"
                f" {', '.join(map(repr, names))}, got {label!r}"
            )
        texts.add(text)
        numbers.append(seen.setdefault(label, len(seen)))
    if not faults.rows:
        raise ValueError(f"{path}: no rows")
    faults.check()
    if not numbers:
        raise ValueError(f"{path}: {faults.said()}; there must be one that can")
    class_names = names or known or labels.ordered(seen)
    place_of = {name: place for place, name in enumerate(class_names)}
    order = np.array([place_of[label] for label in seen], np.int32)
    examples = Examples(texts.found, order[np.frombuffer(numbers, np.intc)])
    counts = np.bincount(examples.labels, minlength=len(class_names)).tolist()
    near = None if names else labels.near_equal_warning(dict(zip(class_names, counts, strict=True)))
    warnings = [faults.warning(), f"{path}: {near}" if near else None]
    return Labelled(
        examples,
        class_names,
        chosen.of(reading),
        note(table, chosen),
        tuple(warning for warning in warnings if warning),
    )


def read_texts(
    path: str | Path, reading: Reading = _READ_ALL, faults: Faults | None = None
) -> Iterator[str]:
    """Reads the texts of a file one at a time, whatever its labels are.

    Args:
        path: as for `open_table`.
        reading: what is said of it.
        faults: counts the rows that cannot be used, which are left out; too many stop the reading
            at its end.

    Yields:
        The texts. Where there is one on each line, without the ends of lines, and an empty line is
        an empty text.

    Raises:
        ValueError: naming the file and, where there is one, the line, if it cannot be read so.
        OSError: if it cannot be read.
    """
    table = open_table(path, reading)
    chosen = find_columns(table, reading, labelled=False)
    faults, text_of = faults or Faults(Path(path), reading), text_getter(table, chosen.text)
    for row in table.read():
        faults.rows += 1
        try:
            if row.fault is not None:
                raise ValueError(row.fault)
            text = text_of(row.record)
        except ValueError as error:
            faults.add(table.place(row), str(error))
            continue
        yield text
    faults.check()


def text_getter(table: TextTable, names: tuple[str, ...]) -> Callable[[Record], str]:
    """A function that takes the text out of a record of a table.

    Args:
        table: whose records.
        names: the columns with the text; several are joined by line breaks.

    Returns:
        The function. It raises a ValueError that says why, in a few words, if there is no text. An
        empty line is a text where there is one on each line.
    """
    values = [table.getter(name) for name in names]

    def single(record: Record) -> str:
        return _text(values[0](record), table.plain)

    def joined(record: Record) -> str:
        present = [_text(value(record), True) for value in values]
        return _text("\n".join(filter(str.strip, present)), False)

    return single if len(names) == 1 else joined


def note(table: TextTable, chosen: Columns) -> str:
    """One line that says what was found out about a file."""
    said = () if len(table.columns) == 1 else (chosen.said(),)
    return f"{table.path}: {', '.join([*table.found, *said])}"


def _text(value: Any, blank: bool) -> str:
    if value is MISSING or value is None:
        value = ""
    if not isinstance(value, str):
        raise ValueError(f"the text must be a string, got {str(value)[:40]}")
    if not blank and (not value or value.isspace()):
        raise ValueError("no text")
    if not labels.is_text(value):
        raise ValueError("half a surrogate pair in the text")
    return value


def _label(value: Any, known: tuple[str, ...] | None) -> str:
    if value is MISSING:
        value = None
    if known is None or not isinstance(value, int):
        return labels.as_label(value)
    if value < 0:
        raise ValueError("no label")
    if value >= len(known):
        raise ValueError(f"there are {len(known)} classes, got label {value}")
    return known[value]
