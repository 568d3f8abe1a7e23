"""The lines of a text file or of standard input, one at a time, in the encoding they are in."""

from __future__ import annotations

import codecs
import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from lstm_jax.data.compression import Counted, open_bytes
from lstm_jax.data.reading import Reading

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
    b"PAR1": "Parquet",
    b"ARROW1": "Feather or Arrow",
    b"%PDF": "PDF",
    bytes(8): "nothing but zeros",
}
_SHOWN = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8 with byte order mark"}
_OLD = "windows-1252"
# Where no mark tells the encoding, so many bytes are looked at, or fewer if so many lines in them
# are not ASCII.
_LOOKED_AT, _TELLING_LINES = 1 << 28, 1000
# A line of more bytes is judged before its end is read.
_LONG = 1 << 24


class Lines(Iterator[str]):
    r"""The lines of a stream as soon as they come; a line ends with "\n", "\r\n" or "\r".

    Args:
        stream: the bytes, a mark at their start included.
        name: what it is called in messages.
        encoding: see `find_encoding`.

    Attributes:
        number: of the line that came last, counted from 1.
        fault: what is wrong with the bytes of that line, or None; they are surrogates in it then.

    Raises:
        ValueError: while it is read, naming the stream and the line, after the lines before it, if
            there is no way to go on behind bytes that are not text.
    """

    def __init__(self, stream: io.BufferedReader, name: str, encoding: str) -> None:
        wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
        errors = "strict" if wide else "surrogateescape"
        self.name, self.encoding = name, encoding
        self.number, self.fault = 0, None
        self._text = io.TextIOWrapper(stream, encoding, errors, newline="")

    def __next__(self) -> str:
        try:
            line = next(self._text)
        except UnicodeError as error:  # of UTF-16 without a mark not the one with a reason
            reason = getattr(error, "reason", error)
            raise ValueError(
                f"{self.name}, after line {self.number}: not {shown(self.encoding)}:"
                f" {reason}; save it as UTF-8"
            ) from None
        self.number += 1
        self.fault = None
        if not line.isascii():
            try:
                line.encode()
            except UnicodeEncodeError as error:
                byte = ord(error.object[error.start]) - 0xDC00
                self.fault = f"byte 0x{byte & 0xFF:02x} is not {shown(self.encoding)}"
        return line

    def detach(self) -> None:
        """Leaves the stream open, whose owner closes it."""
        self._text.detach()


@contextmanager
def file_lines(path: Path, encoding: str, counted: Counted | None = None) -> Generator[Lines]:
    """The lines of a file, compressed or not, as `Lines` has them.

    Raises:
        OSError: if it cannot be read.
    """
    with open_bytes(path, counted) as stream, stream_lines(stream, str(path), encoding) as lines:
        yield lines


@contextmanager
def stream_lines(
    stream: io.BufferedReader, name: str, encoding: str | None = None
) -> Generator[Lines]:
    """The lines of a stream that stays open, such as standard input.

    Args:
        stream: the bytes.
        name: what it is called in messages.
        encoding: by default what its start tells, else UTF-8.

    Raises:
        ValueError: if its start is not of text; and as `Lines`.
    """
    start = stream.peek(8)[:8]
    for magic, kind in _NOT_TEXT.items():
        if start.startswith(magic):
            raise ValueError(f"{name}: must be text, got {kind}")
    lines = Lines(stream, name, encoding or _told(start) or "utf-8")
    try:
        yield lines
    finally:
        lines.detach()


def find_encoding(path: Path, reading: Reading) -> str:
    """The encoding of a file.

    Args:
        path: the file.
        reading: may say it.

    Returns:
        What is said; else what a byte order mark says, or the zeros that UTF-16 has without one;
        else UTF-8. If most of the lines that are not ASCII are not UTF-8 either, Windows-1252: one
        line that is not is a damaged line, not another encoding.

    Raises:
        OSError: if it cannot be read.
    """
    with open_bytes(path) as stream:
        told = _told(stream.peek(8)[:8])
        if reading.encoding is not None:
            utf8 = codecs.lookup(reading.encoding).name == "utf-8"
            return "utf-8-sig" if utf8 and told == "utf-8-sig" else reading.encoding
        if told is not None:
            return told
        looked_at = right = wrong = 0
        rest = b""
        while looked_at < _LOOKED_AT and right + wrong < _TELLING_LINES:
            chunk = stream.read(1 << 20)
            looked_at += len(chunk)
            rest += chunk
            if rest.isascii():
                rest = b""  # half a line may be lost, which tells nothing either
            *whole, rest = rest.split(b"\n")
            if not chunk or len(rest) > _LONG:
                # At the end of what is read of a long line, a letter may be cut.
                whole, rest = [*whole, rest if not chunk else rest[: rest.rfind(b" ")]], b""
            telling = [line for line in whole if not line.isascii()]
            good = sum(map(_is_utf8, telling))
            right, wrong = right + good, wrong + len(telling) - good
            if not chunk:
                break
    return _OLD if wrong > right else "utf-8"


def shown(encoding: str) -> str:
    """An encoding as people write it."""
    return _SHOWN.get(encoding.lower(), encoding.upper() if encoding[:3] == "utf" else encoding)


def describe(encoding: str, reading: Reading) -> str:
    """What is said of an encoding that was found, or given."""
    if encoding == _OLD and reading.encoding is None:
        return "Windows-1252, since it is not UTF-8 (--encoding names another)"
    return shown(encoding)


def _told(start: bytes) -> str | None:
    """The encoding that the start of a file tells."""
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    # Without a mark: every other byte of the first letters is zero, which no text in UTF-8 has.
    by_zeros = {b"\1\0\1\0": "utf-16-le", b"\0\1\0\1": "utf-16-be"}
    return by_zeros.get(bytes(map(bool, start[:4])))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
