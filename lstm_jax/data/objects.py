"""Objects of JSON: one on each line, or an array of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from lstm_jax.data.compression import Counted, inner_name
from lstm_jax.data.lines import describe, file_lines, find_encoding
from lstm_jax.data.reading import Reading
from lstm_jax.data.table import Row, TextTable, keys

_LOOKED_AT = 1000


def open_json(path: Path, reading: Reading) -> TextTable:
    """Opens a file of JSON objects.

    Args:
        path: the file, compressed or not. With an object on each line it is read a line at a time;
            an array of objects, an object of one such array, or one of columns, as pandas writes
            it, is read whole.
        reading: what is said of it.

    Raises:
        ValueError: if it is no text, or no such JSON.
        OSError: if it cannot be read.
    """
    encoding, counted = find_encoding(path, reading), Counted()
    found = describe(encoding, reading)
    if _is_lines(path, encoding):
        read = partial(_lines, path, encoding, counted)
        sample = [row.record for row in islice(read(), _LOOKED_AT) if row.fault is None]
        columns = keys([record for record in sample if isinstance(record, dict)])
        said = (found, "an object on each line")
        return TextTable(path, columns, read, said, keyed=True, counted=counted)
    records = _records(path, encoding)
    counted.total = len(records)
    columns = keys([record for record in records[:_LOOKED_AT] if isinstance(record, dict)])
    read = partial(_array, records, counted)
    return TextTable(path, columns, read, (found,), "row", keyed=True, counted=counted)


def parsed(source: str) -> Any:
    """JSON as Python has it; a number of more digits than Python converts stays as written.

    Raises:
        ValueError: saying what is wrong, if it is not JSON.
    """
    try:
        return json.loads(source, parse_int=_whole_number)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _is_lines(path: Path, encoding: str) -> bool:
    """Whether each line is to be an object: by the name, unless the first lines say otherwise."""
    with file_lines(path, encoding) as opened:
        first = list(islice((line.strip() for line in opened if line.strip()), 2))
    if inner_name(path).suffix.lower() != ".json":
        return not first or first[0] != "["
    return len(first) < 1 or (first[0].startswith("{") and _is_object(first[0]) and len(first) > 1)


def _is_object(line: str) -> bool:
    try:
        return isinstance(parsed(line), dict)
    except ValueError:
        return False


def _lines(path: Path, encoding: str, counted: Counted) -> Iterator[Row]:
    with file_lines(path, encoding, counted) as opened:
        for line in opened:
            if not line.strip():
                continue
            if opened.fault is not None:
                yield Row(opened.number, {}, opened.fault)
                continue
            try:
                record = parsed(line)
            except ValueError as error:
                yield Row(opened.number, {}, f"not JSON: {error}")
                continue
            yield _row(opened.number, record)


def _array(records: list[Any], counted: Counted) -> Iterator[Row]:
    for counted.rows, record in enumerate(records, 1):
        yield _row(counted.rows, record)


def _row(place: int, record: Any) -> Row:
    if isinstance(record, dict):
        return Row(place, record)
    return Row(place, {}, f"no object, but {json.dumps(record)[:40]}")


def _records(path: Path, encoding: str) -> list[Any]:
    """All objects of a file that is one piece of JSON."""
    with file_lines(path, encoding) as opened:
        taken = []
        for line in opened:
            if opened.fault is not None:
                raise ValueError(f"{path}, line {opened.number}: {opened.fault}")
            taken.append(line)
    try:
        content = parsed("".join(taken))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if isinstance(content, dict):
        arrays = [value for value in content.values() if isinstance(value, list)]
        if len(content) == 1 and arrays and all(isinstance(each, dict) for each in arrays[0]):
            return arrays[0]
        columns = [_column(value) for value in content.values()]
        if columns and all(columns) and len({tuple(each) for each in columns}) == 1:
            return [
                {name: column[row] for name, column in zip(content, columns, strict=True)}
                for row in columns[0]
            ]
        return [content]
    if not isinstance(content, list):
        raise ValueError(f"{path}: must be an array of objects, got {json.dumps(content)[:40]}")
    return content


def _column(value: Any) -> dict[Any, Any]:
    """A column of a table as pandas writes it, by the names of rows; nothing if it is none."""
    if isinstance(value, list):
        return dict(enumerate(value))
    return value if isinstance(value, dict) else {}


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) <= 1000 else digits
