"""Which kind of file it is, by its name and by how it begins."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

from lstm_jax.data.compression import SUFFIXES as COMPRESSED
from lstm_jax.data.compression import inner_name

Kind = Literal["separated", "json", "parquet", "arrow", "excel", "text", "classes", "datasets"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys((".csv", ".tsv"), "separated"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".feather", ".arrow"), "arrow"),
    **dict.fromkeys((".xlsx", ".xlsm"), "excel"),
}
# What could be meant to have labels; any other name is a text a line.
SUFFIXES = (*_KINDS, ".txt")
_OLD_EXCEL = (".xls", ".xlsb", ".ods")
SPLITS = "dataset_dict.json"
STATE = "state.json"


def kind_of(path: Path) -> Kind:
    """The kind of a file or folder.

    Args:
        path: its name; a folder must be there to be known as one.

    Returns:
        - "separated": columns separated by a character;
        - "json": an object on each line, or an array of objects;
        - "parquet"; "arrow", which Feather is; "excel";
        - "text": a text a line, or fastText's labels, or columns after all;
        - "classes": a folder with a folder of texts for each class;
        - "datasets": a folder that `datasets.save_to_disk` has written.

    Raises:
        ValueError: saying how to go on, if it is of another kind.
    """
    if path.is_dir():
        if (path / SPLITS).is_file() or (path / STATE).is_file():
            return "datasets"
        return "classes"
    suffix = inner_name(path).suffix.lower()
    if suffix in _OLD_EXCEL:
        raise ValueError(f"{path}: {suffix} files are not read; save it as .xlsx or .csv")
    if suffix == ".zip":
        raise ValueError(
            f"{path}: zip archives are not read; unpack it: unzip {shlex.quote(str(path))}"
        )
    return _KINDS.get(suffix, "text")


def allowed() -> str:
    """The names that files may have, for messages."""
    return f"{', '.join(SUFFIXES)}, each also with {', '.join(COMPRESSED)} behind it"
