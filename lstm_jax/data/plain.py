"""Files with a text on each line, and fastText's, whose lines begin with labels."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from lstm_jax.data.compression import Counted
from lstm_jax.data.lines import Lines, describe, file_lines, find_encoding, stream_lines
from lstm_jax.data.reading import Reading
from lstm_jax.data.separated import first_lines, open_separated, separates
from lstm_jax.data.table import Row, TextTable

_LABEL = "__label__"


def open_plain(path: Path, reading: Reading) -> TextTable:
    """Opens a file of texts, whatever its name is.

    Args:
        path: the file, compressed or not.
        reading: what is said of it.

    Returns:
        The texts and labels of fastText's format, if the first line begins with `__label__`; rows
        of several columns, if they are asked for or plain to see (`separates`); else a text a line,
        in a table with one column.

    Raises:
        ValueError: if it is no text; and as `open_separated`.
        OSError: if it cannot be read.
    """
    encoding = find_encoding(path, reading)
    sample = first_lines(path, encoding)
    counted, found = Counted(), describe(encoding, reading)
    first = next((line for line in sample if line.strip()), "")
    if first.startswith(_LABEL):
        read = partial(_fasttext, path, encoding, counted)
        return TextTable(
            path, ("text", "label"), read, (found, f"{_LABEL} lines of fastText"), counted=counted
        )
    asked = reading.delimiter or reading.header or reading.text_column or reading.label_column
    if asked or separates(path, sample, reading):
        return open_separated(path, reading)
    read = partial(_texts, path, encoding, counted)
    return TextTable(
        path, ("text",), read, (found, "a text on each line"), counted=counted, plain=True
    )


def open_stream(stream: io.BufferedReader, name: str, reading: Reading) -> TextTable:
    """Opens a stream with a text a line, such as standard input, to be read once as it comes.

    Args:
        stream: the bytes.
        name: what it is called in messages.
        reading: may say the encoding.
    """

    def read() -> Iterator[Row]:
        with stream_lines(stream, name, reading.encoding) as opened:
            yield from _rows(opened)

    return TextTable(Path(name), ("text",), read, plain=True)


def texts_table(texts: Sequence[str]) -> TextTable:
    """A table of texts that a program has already."""
    rows = [Row(place, [text]) for place, text in enumerate(texts, 1)]
    return TextTable(Path("texts"), ("text",), lambda: iter(rows), unit="text", plain=True)


def _texts(path: Path, encoding: str, counted: Counted) -> Iterator[Row]:
    with file_lines(path, encoding, counted) as opened:
        yield from _rows(opened)


def _rows(opened: Lines) -> Iterator[Row]:
    for line in opened:
        yield Row(opened.number, [line.rstrip("\r\n")], opened.fault)


def _fasttext(path: Path, encoding: str, counted: Counted) -> Iterator[Row]:
    with file_lines(path, encoding, counted) as opened:
        for line in opened:
            labels, rest = [], line.strip()
            while rest.startswith(_LABEL):
                label, _, rest = rest.partition(" ")
                labels.append(label.removeprefix(_LABEL))
                rest = rest.lstrip()
            if not labels and not rest:
                continue
            fault = opened.fault
            if len(labels) != 1:
                fault = fault or (f"{len(labels)} labels instead of 1" if labels else "no label")
            yield Row(opened.number, [rest, labels[0] if labels else ""], fault)
