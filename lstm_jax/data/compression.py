"""The bytes of a file, unpacked where it is compressed with gzip, bzip2, xz or Zstandard."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from lstm_jax.data.extra import needed

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
# By how a file begins, whatever its name is.
_KINDS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}


def inner_name(path: Path) -> Path:
    """The name of what is in a compressed file: `a.csv` of `a.csv.gz`; of another, its own."""
    return path.with_suffix("") if path.suffix.lower() in SUFFIXES else path


@contextmanager
def open_bytes(path: Path, counted: Counted | None = None) -> Generator[io.BufferedReader]:
    """Opens a file to be read from its start to its end.

    Args:
        path: a file, compressed or not: how it begins says which.
        counted: keeps count of the bytes that are read of the file itself.

    Yields:
        The bytes, unpacked.

    Raises:
        ValueError: naming the file, while it is read, if it is damaged or cut off; or if it needs a
            package that is not installed.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        kind = _kind(file)
        if counted is not None:
            counted.total, counted.file = path.stat().st_size, file
        if kind is None:
            yield file
            return
        raw: Any = _Unpacked(path, kind, _unpacker(kind, file))
        with io.BufferedReader(raw, 1 << 16) as stream:
            yield stream


@contextmanager
def open_seekable(path: Path) -> Generator[BinaryIO]:
    """Opens a file to be read in any order; a compressed one is unpacked into a temporary file."""
    with open_bytes(path) as stream:
        if stream.seekable():
            yield stream
            return
        with tempfile.TemporaryFile() as unpacked:
            shutil.copyfileobj(stream, unpacked, 1 << 20)
            unpacked.seek(0)
            yield cast(BinaryIO, unpacked)


class Counted:
    """How far a file is read.

    Attributes:
        total: its bytes or rows; 0 before it is opened.
        rows: how many rows are read, of a file that is counted in rows.
        file: what is read, of a file that is counted in bytes.
    """

    def __init__(self) -> None:
        self.total, self.rows = 0, 0
        self.file: BinaryIO | None = None

    def share(self) -> float:
        """The share that is read, in [0, 1]."""
        if not self.total:
            return 0.0
        closed = self.file is not None and self.file.closed
        done = self.rows if self.file is None else self.total if closed else self.file.tell()
        return min(1.0, done / self.total)


def _kind(file: io.BufferedReader) -> str | None:
    start = file.peek(6)[:6]
    return next((kind for magic, kind in _KINDS.items() if start.startswith(magic)), None)


def _unpacker(kind: str, file: BinaryIO) -> Any:
    if kind == "gzip":
        return gzip.GzipFile(fileobj=file)
    if kind == "bzip2":
        return bz2.BZ2File(file)
    if kind == "xz":
        return lzma.LZMAFile(file)
    return _Zstandard(file)


class _Zstandard:
    """Unpacks Zstandard; the library's own reader takes a file that is cut off for a whole one."""

    def __init__(self, file: BinaryIO) -> None:
        self.new = needed("zstandard").ZstdDecompressor().decompressobj
        self.file, self.frame, self.unpacked = file, None, b""

    def read(self, size: int) -> bytes:
        while not self.unpacked:
            # So little at a time, since a block of four bytes can stand for 128 KiB.
            packed = self.file.read(1 << 12)
            if not packed and self.frame is None:
                return b""
            if not packed:
                raise EOFError("the file ends early")
            parts = []
            while packed:
                self.frame = self.frame or self.new()
                parts.append(self.frame.decompress(packed))
                packed = self.frame.unused_data
                self.frame = None if self.frame.eof else self.frame
            self.unpacked = b"".join(parts)
        given, self.unpacked = self.unpacked[:size], self.unpacked[size:]
        return given


class _Unpacked(io.RawIOBase):
    """What an unpacker gives, whose errors are ours."""

    def __init__(self, path: Path, kind: str, unpacker: Any) -> None:
        self.path, self.kind, self.unpacker = path, kind, unpacker

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: Any) -> int:
        try:
            content = self.unpacker.read(len(buffer))
        except (EOFError, OSError, zlib.error, lzma.LZMAError, ValueError) as error:
            raise self._damaged(error) from error
        except Exception as error:
            if type(error).__name__ != "ZstdError":
                raise
            raise self._damaged(error) from error
        buffer[: len(content)] = content
        return len(content)

    def _damaged(self, error: Exception) -> ValueError:
        reason = " ".join(str(error).split())
        return ValueError(f"{self.path}: damaged or cut off, as {self.kind} reads it: {reason}")
