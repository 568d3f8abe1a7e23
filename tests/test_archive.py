"""Archives that were made to do harm: refused in a short time and little memory."""

import gzip
import io
import re
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from test_imdb import make_reviews, pack

from lstm_jax.data import archive, imdb

PLACE = "aclImdb/train/pos"
NAME = f"{PLACE}/7_7.txt"


def header(name, size, kind=tarfile.REGTYPE, format: Any = tarfile.GNU_FORMAT):
    """The block that stands in front of a member, with any size in it."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(format)


def bomb(path: Path, *blocks):
    """A tar.gz of the blocks; a number stands for as many zeros, made a piece at a time."""
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for block in blocks:
            if isinstance(block, bytes):
                stream.write(block)
            else:
                for _ in range(block >> 20):
                    stream.write(bytes(1 << 20))
    return path


def padded(content):
    return content + bytes(-len(content) % 512)


def refused(path, message, mib=80):
    """Whether it is refused with this message, in less memory than that."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            imdb.read_archive(path, unlabelled=True)
        assert tracemalloc.get_traced_memory()[1] < mib << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [NAME, "aclImdb/README", "other"])
@pytest.mark.parametrize("size", [2**64 - 1, 2**63, 2**27, -5])
def test_a_size_out_of_bounds_is_refused_before_it_is_read_or_skipped(tmp_path, name, size):
    path = bomb(tmp_path / "a.tar.gz", header(name, size), bytes(2048))
    assert path.stat().st_size < 1000
    refused(path, rf"'{name}': must have at most [\d,]+ bytes, got {size:,}; download it again", 5)


def test_a_size_that_no_review_has_is_refused(tmp_path):
    path = bomb(tmp_path / "a.tar.gz", header(NAME, 5 << 20), 5 << 20)
    refused(path, r"7_7\.txt': must have at most 1,048,576 bytes, got 5,242,880", 5)
    folder = tmp_path / PLACE
    folder.mkdir(parents=True)
    (folder / "7_7.txt").write_bytes(bytes(2 << 20))
    refused(tmp_path, r"7_7\.txt: must have at most 1,048,576 bytes, got more", 5)


@pytest.mark.parametrize("kind", [b"x", b"g", b"X", b"L", b"K"])
def test_an_extended_header_is_read_up_to_a_bound(tmp_path, kind):
    path = bomb(tmp_path / "a.tar.gz", header("pax", 60 << 20, kind), 60 << 20)
    refused(path, "'pax': must have at most 65,536 bytes", 5)


@pytest.mark.parametrize("key", ["size", "path", "GNU.sparse.major", "GNU.sparse.realsize"])
def test_an_extended_header_that_changes_a_member_is_refused(tmp_path, key):
    for ahead in ("", "20 comment=something\n"):
        record = f"{ahead}23 {key}=9999999999999\n".encode()
        path = tmp_path / "a.tar.gz"
        bomb(path, header("pax", len(record), b"x"), padded(record), header(NAME, 0), bytes(1024))
        refused(path, "an extended header changes the name or size of a file; unpack", 5)


def test_a_sparse_file_is_refused(tmp_path):
    # GNU tar's old format: the map says that 4 GiB follow, of which nothing is stored.
    block = bytearray(header(NAME, 0, tarfile.GNUTYPE_SPARSE))
    block[386:410] = b"%011o\0%011o\0" % (4 << 30, 0)
    block[483:495] = b"%011o\0" % (4 << 30)
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    refused(
        bomb(tmp_path / "a.tar.gz", bytes(block), bytes(1024)), r"7_7\.txt': is a sparse file", 5
    )


def test_a_bomb_of_zeros_is_refused_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "TOTAL_BYTES", 48 << 20)  # the same, sooner
    members = [block for _ in range(3) for block in (header("other", 20 << 20), 20 << 20)]
    path = bomb(tmp_path / "a.tar.gz", *members)
    assert path.stat().st_size < 1 << 20
    refused(path, "unpacks to more than 50,331,648 bytes", 5)
    refused(bomb(tmp_path / "b.tar.gz", 60 << 20), "unpacks to more than 50,331,648 bytes", 5)


def test_the_reviews_together_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(imdb, "_ALL_BYTES", 10 << 20)
    members = [
        block for n in range(20) for block in (header(f"{PLACE}/{n}_7.txt", 1 << 20), 1 << 20)
    ]
    refused(bomb(tmp_path / "a.tar.gz", *members), "at most 10,485,760 bytes of reviews", 30)


def test_a_name_that_stands_twice_is_refused(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name, content in [*make_reviews().items(), (NAME, b"one"), (f"./{NAME}", b"other")]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    path = tmp_path / "a.tar.gz"
    path.write_bytes(stream.getvalue())
    refused(path, rf"{re.escape(PLACE)}/7_7\.txt is in it twice")


def test_what_other_programs_pack_is_read(tmp_path):
    """GNU tar's and Python's formats, with the headers that they add."""
    for name, content in make_reviews(2).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "aclImdb" / f"{'long' * 40}.txt").write_text("a name of its own header")
    expected = imdb.read_archive(tmp_path / "aclImdb", unlabelled=True)
    formats = {"gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
    for name, format in formats.items():
        with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz", format=format) as packed:
            packed.add(tmp_path / "aclImdb", "aclImdb", filter=_short if name == "ustar" else None)
    with tarfile.open(tmp_path / "pax.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as packed:
        packed.add(tmp_path / "aclImdb", "aclImdb", filter=_short)  # times in extended headers
    for name in ("gnu", "ustar", "pax"):
        corpus = imdb.read_archive(tmp_path / f"{name}.tar.gz", unlabelled=True)
        assert corpus.train.texts == expected.train.texts
        assert corpus.unlabelled == expected.unlabelled


def _short(member):
    return member if len(member.name) < 100 else None


def test_damaged_archives_are_refused_in_one_line(tmp_path, rng):
    whole, path = bytearray(gzip.decompress(pack(make_reviews(3)))), tmp_path / "a.tar.gz"
    for _ in range(150):
        damaged = bytearray(whole)
        block = int(rng.integers(len(whole) // 512)) * 512
        for place in rng.integers(0, 512, int(rng.integers(1, 4))):
            damaged[block + place] ^= 1 << int(rng.integers(8))
        message = _refusal(_write(path, bytes(damaged)))
        assert message is None or re.fullmatch(f"{re.escape(str(path))}: .*", message)


def _refusal(path):
    """What an archive is refused with, or None."""
    try:
        imdb.read_archive(path)
    except ValueError as error:
        return str(error)
    return None


def _write(path, content):
    path.write_bytes(gzip.compress(content, 1))
    return path


def test_a_header_of_462_bytes_does_not_spin():
    """In a process of its own, which a clock ends: the old reader read on for hours."""
    program = """
import gzip, tarfile, sys, tempfile
from lstm_jax.data import imdb
member = tarfile.TarInfo("aclImdb/huge"); member.size = 2**64 - 1
with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
    file.write(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))); file.flush()
    try:
        imdb.read_archive(file.name)
    except ValueError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=300, check=True
    )
    assert b"must have at most 67,108,864 bytes, got 18,446,744,073,709,551,615" in done.stdout
