"""Files that are whole or absent, and JSON that is what it claims to be.

Everything the package writes for later goes through `write_bytes` or `new_folder`: it is made
beside its final name, flushed to the disk, and renamed. A process that is killed, or a disk that is
full, leaves the old file or none. What it reads back as JSON goes through `read_json`, which names
the file and the field that are wrong.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from lstm_jax.checked import refusal
from lstm_jax.stops import cleaning, held

Typed = TypeVar("Typed")

CHECKSUMS = "files.sha256"
PARTIAL = re.compile(r"\.(?P<name>.*)\.(?P<process>\d+)\.partial", re.DOTALL)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, and makes the folders it is in.

    Args:
        path: where to; a file that is there is replaced.
        content: what the file holds then.

    Raises:
        OSError: naming `path`, if it cannot be written; nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    with held():  # a process that is told to stop leaves nothing beside it either
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or errno.EIO), str(path)) from error
        finally:
            partial.unlink(missing_ok=True)
        _flush_folder(path.parent)


def write_text(path: Path, content: str) -> None:
    """Writes a UTF-8 file as `write_bytes` does.

    Raises:
        ValueError: if the text has what UTF-8 does not, such as the name of a file that is not
            UTF-8.
    """
    try:
        encoded = content.encode()
    except UnicodeEncodeError as error:
        around = content[max(0, error.start - 30) : error.end + 30]
        raise ValueError(f"{path}: text and names must be UTF-8, got {around!r}") from error
    write_bytes(path, encoded)


def write_json(path: Path, content: Any) -> None:
    """Writes JSON as `write_bytes` does.

    Raises:
        ValueError: if a number in it is not finite, since JSON has none that are not.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, kind: type[Typed] | Any) -> Typed:
    """Reads a JSON file as a type: a dataclass, a `TypedDict`, `dict[str, float]`, ...

    Args:
        path: the file.
        kind: what pydantic checks the content against, strictly: no "1" in the place of 1.

    Raises:
        ValueError: one line that names the file and the field, if the file is not UTF-8, not JSON,
            or not of that type.
        OSError: if it cannot be read.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        raise ValueError(f"{path}: {refusal(error)}") from error


@contextlib.contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """A folder to fill, which gets its name when the block ends without an error.

    Args:
        path: the final name; nothing but an empty folder may be there.

    Yields:
        An empty folder beside it. It is deleted if the block fails; if the process is killed, by
        the next that makes a folder of this name.

    Raises:
        ValueError: if there is something at `path`.
        OSError: if the folder cannot be made, or what the block raises of this kind; in place of
            the folder's own name there stands `path`.
    """
    if path.name in ("", ".."):  # as "." has
        path = path.resolve()
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ValueError(f"{path}: exists already; give the name of a new folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    partial.mkdir()
    try:
        with cleaning(lambda: shutil.rmtree(partial, ignore_errors=True)):
            yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        partial.rename(path)
        _flush_folder(path.parent)
    except OSError as error:
        if str(error.filename).startswith(str(partial)):  # the user knows the final name
            error.filename = f"{path}{str(error.filename).removeprefix(str(partial))}"
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Deletes a folder; a process that is killed leaves it whole or leaves none of that name."""
    partial = _beside(path)
    path.rename(partial)
    shutil.rmtree(partial)


def remove_abandoned(folder: Path, name: str | None = None) -> None:
    """Deletes what processes that are gone had begun to write in a folder.

    Args:
        folder: where to look; what this process itself writes there at that moment goes too.
        name: only what was to get this name; None for all.
    """
    for path in folder.iterdir():
        begun = PARTIAL.fullmatch(path.name)
        if begun is None or (name is not None and begun["name"] != _short_name(name)):
            continue
        if int(begun["process"]) != os.getpid() and _runs(int(begun["process"])):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_checksums(folder: Path) -> None:
    """Writes `files.sha256`: the checksum of every file below a folder, as `sha256sum` does."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in _files_below(folder)]
    write_text(folder / CHECKSUMS, "".join(lines))


def verify_checksums(folder: Path) -> None:
    """Compares the files below a folder with what `write_checksums` wrote.

    Raises:
        ValueError: naming a file, if it is missing, new, or not as it was.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    expected = {line[66:]: line[:64] for line in lines}
    for name in sorted({*expected, *_files_below(folder)}):
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name}: no such file, but {CHECKSUMS} lists it")
        if expected.get(name) != sha256(folder / name):
            raise ValueError(f"{folder / name}: its checksum is not the one in {CHECKSUMS}")


def expanded(path: str | Path) -> Path:
    """A path with the folder that its `~` or `~user` stands for; as it is, if nothing says which.

    Nothing does for an unknown user, nor for the user of a container that has no home.
    """
    return Path(os.path.expanduser(path))


def sha256(path: Path) -> str:
    """The checksum of a file, or of all files below a folder with their names, in hexadecimal."""
    if path.is_dir():
        total = hashlib.sha256()
        for name in _files_below(path):
            total.update(f"{name}\0{sha256(path / name)}\n".encode())
        return total.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finite_or_none(value: float) -> float | None:
    """What JSON can hold of a number: itself, or None for one that could not be measured."""
    return value if math.isfinite(value) else None


def _beside(path: Path) -> Path:
    """A name in the same folder that nothing has and no other process uses."""
    remove_abandoned(path.parent, path.name)
    return path.with_name(f".{_short_name(path.name)}.{os.getpid()}.partial")


def _short_name(name: str) -> str:
    """As much of a name as leaves room for more: a file system takes 255 bytes."""
    return name[:50]


def _runs(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _files_below(folder: Path) -> list[str]:
    """The files below a folder by their paths in it, sorted; not `files.sha256` of its own."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(path.as_posix() for path in paths if path != Path(CHECKSUMS))


def _flush_folder(folder: Path) -> None:
    """Has the system keep a rename, where it can be told to."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
