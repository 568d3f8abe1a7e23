"""The lines of a text file or of standard input, one at a time: UTF-8, or what its start says."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

# By the byte order mark; the longer ones first, since one begins as another.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_NOT_TEXT = {
    b"PK\x03\x04": "a spreadsheet or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zX": "compressed with xz",
    b"PAR1": "Parquet",
    b"%PDF": "PDF",
}


def file_lines(path: Path) -> Iterator[str]:
    """The lines of a file, as `lines` has them.

    Args:
        path: the file.

    Yields:
        Each line with its end.

    Raises:
        ValueError: as `lines`.
        OSError: if it cannot be read.
    """
    with path.open("rb") as stream:
        yield from lines(stream, str(path))


def lines(stream: io.BufferedReader, name: str) -> Iterator[str]:
    r"""The lines of a stream as soon as they come; a line ends with "\n", "\r\n" or "\r".

    Args:
        stream: the bytes: UTF-8; or UTF-16 or UTF-32 with a byte order mark, which is left out.
        name: what it is called in messages.

    Yields:
        Each line with its end.

    Raises:
        ValueError: naming the stream and the line, after the lines before it, if its bytes are not
            text in that encoding.
    """
    start = stream.peek(4)[:4]
    for magic, kind in _NOT_TEXT.items():
        if start.startswith(magic):
            raise ValueError(f"{name}: must be text, got {kind}")
    encoding = _encoding(start)
    # A byte that is not UTF-8 comes as a surrogate, so that its line is known.
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    text, number = io.TextIOWrapper(stream, encoding, errors, newline=""), 0
    try:
        for line in text:
            number += 1
            if not line.isascii():
                line.encode()
            yield line
    except UnicodeEncodeError as error:
        byte = ord(error.object[error.start]) - 0xDC00
        raise ValueError(
            f"{name}, line {number}: byte 0x{byte:02x} is not UTF-8; save it as UTF-8"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name}, after line {number}: not {encoding.upper()}, as its start says:"
            f" {error.reason}; save it as UTF-8"
        ) from None
    finally:
        text.detach()  # or it would close a stream that is not its own


def _encoding(start: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    # Without a mark: every other byte of the first letters is zero, which no text in UTF-8 has.
    by_zeros = {b"\1\0\1\0": "utf-16-le", b"\0\1\0\1": "utf-16-be"}
    return by_zeros.get(bytes(map(bool, start)), "utf-8")
