"""Rows of a table with what was predicted for them, as they stand in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lstm_jax.data.table import MISSING, Row, TextTable

_KINDS: dict[str, Literal["csv", "tsv", "jsonl"]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


@dataclass(frozen=True)
class Prediction:
    """What is written of a prediction.

    Attributes:
        labels: the likeliest first; an empty one is not sure enough.
        probabilities: of each.
    """

    labels: Sequence[str]
    probabilities: Sequence[float]


class Output:
    """Writes the rows of a table with columns for predictions behind their own.

    A CSV file with semicolons or a byte order mark stays one, so that a spreadsheet
    opens it as it opens the first.

    Args:
        path: the file; `.csv`, `.tsv`, `.jsonl` or `.ndjson` say how it is written.
        table: the rows come from.
        top_k: how many labels a prediction has.

    Attributes:
        kind: "csv", "tsv" or "jsonl".

    Raises:
        ValueError: if the file has another name, or the table has a column of one of the new names.
    """

    def __init__(self, path: Path, table: TextTable, top_k: int) -> None:
        if path.suffix.lower() not in _KINDS:
            raise ValueError(f"{path}: the output must end in {', '.join(_KINDS)}")
        self.kind = _KINDS[path.suffix.lower()]
        self.table, self.top_k = table, top_k
        more = [f"{name}_{n}" for n in range(2, top_k + 1) for name in ("predicted", "probability")]
        self.names = ["predicted", "probability", *more]
        if taken := set(self.names) & set(table.columns):
            raise ValueError(
                f"{table.path}: has a column {min(taken)!r} already; give it another name first"
            )
        self._delimiter = "\t" if self.kind == "tsv" else ";" if table.delimiter == ";" else ","
        self._values = [table.getter(column) for column in table.columns]

    def header(self) -> str:
        """The first line; nothing of a file of objects."""
        if self.kind == "jsonl":
            return ""
        mark = "\ufeff" if self.table.marked else ""
        return mark + self._joined([[*self.table.columns, *self.names]])

    def lines(self, rows: Sequence[Row], predictions: Sequence[Prediction | None]) -> str:
        """Lines for rows, each with its prediction; None for a row that cannot be used."""
        pairs = zip(rows, predictions, strict=True)
        if self.kind == "jsonl":
            objects = (
                {**self._record(r), **dict(zip(self.names, self._added(p), strict=True))}
                for r, p in pairs
            )
            return "".join(f"{_object(each)}\n" for each in objects)
        return self._joined([[*self._fields(r), *self._added(p)] for r, p in pairs])

    def _added(self, prediction: Prediction | None) -> list[Any]:
        """The values of the new columns."""
        if prediction is None:
            return [None] * len(self.names)
        values: list[Any] = []
        for label, probability in zip(prediction.labels, prediction.probabilities, strict=True):
            values += [label, round(probability, 6)]
        return values

    def _joined(self, rows: Sequence[Sequence[Any]]) -> str:
        """Lines of CSV; the module `csv` takes five times as long for rows of a kilobyte."""
        delimiter, lines = self._delimiter, []
        for row in rows:
            fields = [_quoted(str(each), delimiter) if each is not None else "" for each in row]
            lines.append(delimiter.join(fields))
        return "".join(f"{line}\n" for line in lines)

    def _fields(self, row: Row) -> list[str]:
        """The values of the columns; of a damaged row as many as it has, the rest in the last."""
        if self.table.keyed:
            return [_field(value(row.record)) for value in self._values]
        fields, width = list(map(_field, row.record)), len(self.table.columns)
        if len(fields) > width:
            fields[width - 1 :] = [self.table.delimiter.join(fields[width - 1 :])]
        return fields + [""] * (width - len(fields))

    def _record(self, row: Row) -> dict[str, Any]:
        if isinstance(row.record, dict):
            return row.record
        return dict(zip(self.table.columns, self._fields(row), strict=True))


def _quoted(field: str, delimiter: str) -> str:
    """A field between quotes, if something in it would end it. Source: RFC 4180, section 2."""
    if '"' in field:
        return '"' + field.replace('"', '""') + '"'
    if delimiter in field or "\n" in field or "\r" in field:
        return f'"{field}"'
    return field


def _field(value: Any) -> str:
    """A value as it stands in a column."""
    if value is None or value is MISSING or value != value:  # NaN
        return ""
    if isinstance(value, dict | list | bool):
        return _object(value)
    return str(value)


def _object(value: Any) -> str:
    """JSON on one line; numbers that JSON does not have are null, what it cannot hold is text."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
