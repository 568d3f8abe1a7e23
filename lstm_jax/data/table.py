"""A table of texts, whatever file it is in: names of columns, and rows that come one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from lstm_jax.data.compression import Counted

# What a row holds: the values of the columns, or an object with names of its own.
Record = list[Any] | dict[str, Any]


class Row(NamedTuple):
    """A row, whether it can be used or not.

    Attributes:
        place: the line, row or file that it is, see `TextTable.unit`.
        record: what it holds; of a row with a fault, as much of it as could be read.
        fault: why it cannot be used, such as "2 fields instead of 3"; None if it can.
    """

    place: int | str
    record: Record
    fault: str | None = None


class _Missing:
    """Stands for the value of a key that an object does not have."""


MISSING = _Missing()


@dataclass(frozen=True, eq=False)
class TextTable:
    """An opened source of rows.

    Attributes:
        path: the file or folder.
        columns: the names of the columns; of objects, the keys of the first of them, `a.b` for what
            is within another.
        read: gives the rows from the first on, each time it is called.
        found: what was found out about the file, to be said: "UTF-8", "columns separated by ';'".
        unit: what the places of rows count: "line", "row", or "" where they are names.
        keyed: whether its records are objects.
        classes: the names that stand for the numbers of a column, by its name.
        counted: how far it is read.
        plain: whether there is nothing but a text on each line, of which an empty one is one too.
        delimiter: what separates the columns; a comma where nothing does.
        marked: whether it is of separated columns and begins with UTF-8's byte order mark.
    """

    path: Path
    columns: tuple[str, ...]
    read: Callable[[], Iterator[Row]]
    found: tuple[str, ...] = ()
    unit: str = "line"
    keyed: bool = False
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counted: Counted = field(default_factory=Counted)
    plain: bool = False
    delimiter: str = ","
    marked: bool = False

    def sample(self, count: int = 1000) -> list[Row]:
        """The first rows that can be used, at most `count`."""
        return [row for row in islice(self.read(), count) if row.fault is None]

    def place(self, row: Row) -> str:
        """Where a row stands, for messages: "line 17"."""
        return f"{self.unit} {row.place}" if self.unit else str(row.place)

    def column(self, wanted: str, option: str) -> str:
        """The name of a column as it stands in the file.

        Args:
            wanted: the name; where none is the same, case and spaces around it do not matter.
            option: what gave it, for the message: "--text-column".

        Raises:
            ValueError: if there is none, or several; with all the columns.
        """
        found = matching(self.columns, wanted)
        if len(found) == 1 or (self.keyed and found):
            return found[0]
        raise ValueError(
            f"{self.path}: there must be one column {wanted!r}, got {len(found)}; the columns are"
            f" {listed(self.columns)}; give {option}"
        )

    def getter(self, column: str) -> Callable[[Record], Any]:
        """A function that takes the value of a column out of a record; `MISSING` if it has none.

        Args:
            column: one of `columns`.
        """
        if not self.keyed:
            return partial(_at, self.columns.index(column))
        return partial(_value, column, tuple(column.split(".")))


def matching(names: Sequence[str], wanted: str) -> list[str]:
    """Those of the names that are the wanted one; where none is, in any case."""
    return [name for name in names if name == wanted] or [
        name for name in names if name.strip().casefold() == wanted.strip().casefold()
    ]


def listed(names: Sequence[str]) -> str:
    """Names for a message, not too many and not too long."""
    shown = [repr(name if len(name) <= 30 else f"{name[:30]}…") for name in names[:10]]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(shown) or "none") + more


def keys(records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The keys of objects, `a.b` for what is within another, in the order in which they come."""

    def below(record: Mapping[str, Any], prefix: str) -> Iterator[str]:
        for name, value in record.items():
            if isinstance(value, dict) and value:
                yield from below(value, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}"

    return tuple(dict.fromkeys(name for record in records for name in below(record, "")))


def _at(place: int, record: Record) -> Any:
    assert isinstance(record, list)
    return record[place]


def _value(column: str, path: tuple[str, ...], record: Record) -> Any:
    assert isinstance(record, dict)
    if column in record:
        return record[column]
    value: Any = record
    for name in path:
        if not isinstance(value, dict):
            return MISSING
        found = matching(list(value), name)
        if len(found) != 1:
            return MISSING
        value = value[found[0]]
    return value
