"""Folders with a folder of text files for each class."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lstm_jax.data.compression import Counted, inner_name
from lstm_jax.data.lines import file_lines, find_encoding
from lstm_jax.data.reading import Reading
from lstm_jax.data.table import Row, TextTable

_TEXTS = ("", ".txt")
_TRAIN, _TEST = ("train", "training"), ("test", "testing")


def class_folders(path: Path) -> list[Path]:
    """The folders right below one that have text files in them, in order."""
    below = sorted(each for each in path.iterdir() if each.is_dir() and each.name[0] != ".")
    return [folder for folder in below if next(_files(folder), None) is not None]


def parts(path: Path) -> tuple[Path, Path | None]:
    """The folders of the training and the test examples: `train` and `test` below it, or itself.

    Args:
        path: a folder.

    Returns:
        Where the folders of the training examples' classes are, and of the test examples', if any.
    """
    train = [path / name for name in _TRAIN if (path / name).is_dir()]
    if not train or not class_folders(train[0]):
        return path, None
    return train[0], next((path / name for name in _TEST if (path / name).is_dir()), None)


def open_folders(path: Path, reading: Reading) -> TextTable:
    """Opens a folder of class folders: a text in each file, the folder's name its label.

    Args:
        path: the folder; files that end in something else than .txt are not read.
        reading: may say the encoding, which else is found for each file.

    Raises:
        ValueError: if there are no such files.
    """
    folders = class_folders(path)
    if not folders:
        raise ValueError(
            f"{path}: must be a folder with a folder of .txt files for each class, got none"
        )
    counted = Counted()
    counted.total = sum(1 for folder in folders for _ in _files(folder))
    found = (f"{len(folders)} class folders", f"{counted.total:,} files")
    read = partial(_read, folders, reading, counted)
    return TextTable(path, ("text", "label", "file"), read, found, "", counted=counted)


def _files(folder: Path) -> Iterator[Path]:
    for each in sorted(folder.iterdir()):
        if each.is_file() and each.name[0] != "." and inner_name(each).suffix.lower() in _TEXTS:
            yield each


def _read(folders: list[Path], reading: Reading, counted: Counted) -> Iterator[Row]:
    counted.rows = 0
    for folder in folders:
        for path in _files(folder):
            counted.rows += 1
            name, fault = f"{folder.name}/{path.name}", None
            with file_lines(path, find_encoding(path, reading)) as opened:
                taken = []
                for line in opened:
                    taken.append(line)
                    fault = fault or opened.fault
            yield Row(name, ["".join(taken).strip(), folder.name, name], fault)
