"""Which files are read, and how to go on with one that is not."""

from __future__ import annotations

import shlex
from pathlib import Path

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
JSON_LINES = (".jsonl", ".ndjson")

# What reads each with pandas.
_PANDAS = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"), "read_excel"),
    **dict.fromkeys((".parquet", ".pq"), "read_parquet"),
    **dict.fromkeys((".feather", ".arrow"), "read_feather"),
}
_UNPACK = {".gz": "gunzip -k", ".bz2": "bunzip2 -k", ".xz": "unxz -k", ".zst": "unzstd"}
_UNPACK[".zip"] = "unzip"


def is_table(path: Path) -> bool:
    """Whether a file has columns, by its name."""
    return path.suffix.lower() in SUFFIXES


def refusal(path: Path) -> str | None:
    """What to say of a file or folder whose texts cannot be read at all.

    Args:
        path: its name; a folder must be there to be known as one.

    Returns:
        One line that names it and says how to go on; None if its texts can be read.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        program = (
            "import csv, pathlib, sys; rows = csv.writer(open(sys.argv[2], 'w', newline='',"
            " encoding='utf-8')); rows.writerow(['text', 'label']); rows.writerows([f.read_text("
            "encoding='utf-8'), f.parent.name] for f in pathlib.Path(sys.argv[1]).glob('*/*.txt'))"
        )
        out = path.with_name(f"{path.name}.csv")
        return f"{path}: folders of classes are not read; convert it: {_python(program, path, out)}"
    if suffix in _PANDAS:
        program = f"import pandas, sys; pandas.{_PANDAS[suffix]}(sys.argv[1])"
        program += ".to_csv(sys.argv[2], index=False)"
        command = _python(program, path, path.with_suffix(".csv"))
        return f"{path}: {suffix} files are not read; convert it: {command}"
    if suffix == ".json":
        program = "import pandas, sys; pandas.read_json(sys.argv[1])"
        program += ".to_json(sys.argv[2], orient='records', lines=True)"
        command = _python(program, path, path.with_suffix(".jsonl"))
        return (
            f"{path}: .json files are not read; if it has an object on each line, rename it to end"
            f" in .jsonl, else convert it: {command}"
        )
    if suffix in _UNPACK:
        command = f"{_UNPACK[suffix]} {shlex.quote(str(path))}"
        return f"{path}: compressed files are not read; unpack it: {command}"
    return None


def unlabelled(path: Path) -> str:
    """What to say of a file that can have no labels, where labels are needed."""
    return refusal(path) or (
        f"{path}: the name must end in one of {', '.join(SUFFIXES)} where labels are needed; texts"
        " without labels go to `pretrain`, `train --unlabelled` or `predict --file`"
    )


def _python(program: str, *arguments: Path) -> str:
    return shlex.join(["python", "-c", program, *map(str, arguments)])
