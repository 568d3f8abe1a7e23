"""Texts of more characters than memory should hold: in a temporary file, read when asked for."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

# Texts of so many characters stay in memory.
IN_MEMORY = 1 << 28
# So many bytes are written at a time.
_BUFFER = 1 << 20


class StoredTexts(Sequence[str]):
    """Strings that stand in a file without a name; memory holds 16 bytes of each.

    It is a sequence like a list, and `take` and slices share its file, which is gone with the last
    of them.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Stores texts.

        Args:
            texts: the first ones; `append` adds more.

        Raises:
            OSError: if the folder for temporary files cannot hold them.
        """
        self._file = _File()
        self._starts: NDArray[np.int64] = np.zeros(1024, np.int64)
        self._ends: NDArray[np.int64] = np.zeros(1024, np.int64)
        self._count = 0
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Adds a text at the end.

        Raises:
            OSError: as at the beginning.
        """
        if self._count == len(self._ends):
            self._starts = np.resize(self._starts, 2 * self._count)
            self._ends = np.resize(self._ends, 2 * self._count)
        place = self._count
        self._starts[place], self._ends[place] = self._file.write(_encoded(text))
        self._count += 1

    def take(self, rows: NDArray[np.integer]) -> Self:
        """The texts of some rows, in their order."""
        taken = object.__new__(type(self))
        taken._file = self._file
        taken._starts, taken._ends = self._starts[rows], self._ends[rows]
        taken._count = len(taken._starts)
        return taken

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> str | Self:
        if isinstance(index, slice):
            return self.take(np.arange(self._count)[index])
        row = range(self._count)[index]
        return self._file.read(int(self._starts[row]), int(self._ends[row]))

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # pyright: ignore[reportAssignmentType]


class Collected:
    """Texts that come one at a time: a list, until they are too many for memory."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Begins with those texts."""
        self.found: list[str] | StoredTexts = []
        self._characters = 0
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Adds one.

        Raises:
            OSError: if the folder for temporary files cannot hold them.
        """
        self._characters += len(text)
        if self._characters > IN_MEMORY and isinstance(self.found, list):
            self.found = StoredTexts(self.found)
        self.found.append(text)


class _File:
    """A file that is written at its end, read anywhere, and deleted with its last reader."""

    def __init__(self) -> None:
        self._descriptor, path = tempfile.mkstemp(prefix="lstm_jax-")
        os.unlink(path)
        self._written, self._waiting = 0, bytearray()
        weakref.finalize(self, os.close, self._descriptor)

    def write(self, content: bytes) -> tuple[int, int]:
        """Adds bytes; returns where they begin and end."""
        start = self._written + len(self._waiting)
        self._waiting += content
        if len(self._waiting) >= _BUFFER:
            self._flush()
        return start, start + len(content)

    def read(self, start: int, end: int) -> str:
        """The text between two places."""
        if end > self._written:
            self._flush()
        content = bytearray()
        while len(content) < end - start:
            at = start + len(content)
            content += os.pread(self._descriptor, end - at, at)
        return content.decode(errors="surrogatepass")

    def _flush(self) -> None:
        view = memoryview(self._waiting)
        while view:
            try:
                count = os.pwrite(self._descriptor, view, self._written)
            except OSError as error:
                raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from error
            self._written += count
            view = view[count:]
        self._waiting = bytearray()


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def taken(texts: Sequence[str], rows: NDArray[np.integer]) -> Sequence[str]:
    """The texts of some rows, in their order: a list of a list."""
    if isinstance(texts, StoredTexts):
        return texts.take(rows)
    return [texts[int(row)] for row in rows]
