"""Members of a tar.gz archive, read within bounds of time and memory, whatever its headers claim.

`tarfile` believes a header: it skips 2^64 bytes a buffer at a time, fills the holes of a sparse
member with zeros, and keeps an extended header of any length in memory. Here each size is checked
before anything is read or skipped, and so is the sum of all.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

# aclImdb_v1.tar.gz has 300 MB unpacked; 41 MB of them are its largest file, which is no review.
MEMBER_BYTES = 1 << 26
TOTAL_BYTES = 1 << 30
_EXTENDED_BYTES = 1 << 16

# Headers about the next member, of POSIX, Solaris and GNU tar; and what of them is not ignored. (A
# name that GNU tar puts there has more than 100 bytes, which is longer than what is wanted here.)
_EXTENDED = (b"x", b"g", b"X", b"L", b"K")
_REDEFINES = re.compile(rb"(?:\A|\n)\d+ (?:path|size|GNU\.sparse[^=\n]*)=")
_AT_ONCE = 1 << 16


def read_members(
    path: Path, wanted: re.Pattern[str], largest: int
) -> Iterator[tuple[re.Match[str], bytes]]:
    """Reads the regular files of an archive whose names match.

    Nothing is unpacked: a name is only compared, never used as a path.

    Args:
        path: the archive.
        wanted: what a whole name has to match.
        largest: how many bytes such a file may have.

    Yields:
        The match and the content of each, in the order of the archive.

    Raises:
        ValueError: if it is not a tar.gz archive, is damaged, truncated or larger than the bounds,
            or has a sparse file or an extended header that changes a name or size.

    Source: POSIX.1-2017, `pax`, "ustar Interchange Format" and "pax Interchange Format".
    """
    try:
        with gzip.open(path) as opened:
            stream = _Bounded(path, cast(BinaryIO, opened))
            while (member := _next_header(stream)) is not None:
                match = wanted.fullmatch(member.name)
                if member.type in _EXTENDED:
                    _check_size(path, member, _EXTENDED_BYTES)
                    if _REDEFINES.search(_data(stream, member.size)):
                        raise ValueError(
                            f"{path}: an extended header changes the name or size of a file;"
                            " unpack the archive and give the folder"
                        )
                elif member.type == tarfile.GNUTYPE_SPARSE:
                    raise ValueError(f"{path}: {member.name!r}: is a sparse file; pack it whole")
                elif member.isreg() and match:
                    _check_size(path, member, largest)
                    yield match, _data(stream, member.size)
                elif member.isreg() or member.type not in tarfile.SUPPORTED_TYPES:
                    _check_size(path, member, MEMBER_BYTES)
                    stream.skip(_whole_blocks(member.size))
            # A truncated stream can end where an archive may; only its last bytes tell.
            while stream.read(_AT_ONCE):
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(f"{path}: truncated, damaged or not a tar.gz archive: {error}") from error


class _Bounded:
    """A stream from which no more than `TOTAL_BYTES` are read."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path, self._stream, self._left = path, stream, TOTAL_BYTES

    def read(self, size: int) -> bytes:
        """That many bytes; fewer at the end of the stream."""
        self._left -= size
        if self._left < 0:
            raise ValueError(f"{self._path}: unpacks to more than {TOTAL_BYTES:,} bytes")
        return self._stream.read(size)

    def skip(self, size: int) -> None:
        """Passes over that many bytes, a piece at a time."""
        while size:
            piece = self.read(min(size, _AT_ONCE))
            if not piece:
                raise EOFError("a file in it is cut off")
            size -= len(piece)


def _next_header(stream: _Bounded) -> tarfile.TarInfo | None:
    """The header of the next member, or None at the end of the archive."""
    block = stream.read(tarfile.BLOCKSIZE)
    if not block or block == bytes(tarfile.BLOCKSIZE):
        return None
    return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")


def _data(stream: _Bounded, size: int) -> bytes:
    """The data of a member, without what fills its last block."""
    blocks = stream.read(_whole_blocks(size))
    if len(blocks) < _whole_blocks(size):
        raise EOFError("a file in it is cut off")
    return blocks[:size]


def _whole_blocks(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _check_size(path: Path, member: tarfile.TarInfo, largest: int) -> None:
    if not 0 <= member.size <= largest:
        raise ValueError(
            f"{path}: {member.name!r}: must have at most {largest:,} bytes, got {member.size:,}"
        )
