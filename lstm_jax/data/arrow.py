"""Tables that pyarrow reads: Parquet, Feather, and folders of Hugging Face's `datasets`."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from lstm_jax.data.compression import Counted, open_seekable
from lstm_jax.data.extra import needed
from lstm_jax.data.formats import STATE
from lstm_jax.data.table import Row, TextTable, keys

_AT_ONCE = 1024  # rows


def open_parquet(path: Path) -> TextTable:
    """Opens a Parquet file, to be read some rows at a time.

    Args:
        path: the file, compressed as a whole or not.

    Raises:
        ValueError: if it is not such a file, or pyarrow is not installed.
        OSError: if it cannot be read.
    """
    parquet = needed("pyarrow.parquet")

    def batches() -> Iterator[Any]:
        with _open(path, "Parquet") as file:
            yield from parquet.ParquetFile(file).iter_batches(_AT_ONCE)

    with _open(path, "Parquet") as file:
        total = parquet.ParquetFile(file).metadata.num_rows
    return _table(path, batches, total, "Parquet")


def open_feather(path: Path) -> TextTable:
    """Opens a Feather or Arrow file, as `open_parquet` does."""
    total = sum(len(batch) for batch in _batches([path]))
    return _table(path, partial(_batches, [path]), total, "Feather")


def open_dataset(path: Path) -> TextTable:
    """Opens a folder that `Dataset.save_to_disk` has written, without its library.

    Args:
        path: the folder, with `state.json` and the Arrow files that it names.

    Returns:
        Its rows, with the names of the classes of columns that have some.

    Raises:
        ValueError: if one of its files is missing or not as it should be; and as `open_parquet`.
    """
    state = _described(path / STATE)
    try:
        files = [path / each["filename"] for each in state["_data_files"]]
    except (KeyError, TypeError):
        raise ValueError(f"{path / STATE}: must name the _data_files of a dataset") from None
    if (path / "dataset_info.json").is_file():
        features = _described(path / "dataset_info.json").get("features") or {}
    else:
        features = {}
    classes = {
        name: tuple(map(str, feature["names"]))
        for name, feature in features.items()
        if isinstance(feature, dict) and isinstance(feature.get("names"), list)
    }
    total = sum(len(batch) for batch in _batches(files))
    return _table(path, partial(_batches, files), total, "datasets folder", classes)


def _table(
    path: Path,
    batches: Callable[[], Iterator[Any]],
    total: int,
    kind: str,
    classes: dict[str, tuple[str, ...]] | None = None,
) -> TextTable:
    counted = Counted()
    counted.total = total

    def read() -> Iterator[Row]:
        counted.rows = 0
        for batch in batches():
            for start in range(0, len(batch), _AT_ONCE):
                for record in batch.slice(start, _AT_ONCE).to_pylist():
                    counted.rows += 1
                    yield Row(counted.rows, record)

    records = [row.record for row in islice(read(), 100)]
    columns = keys([record for record in records if isinstance(record, dict)])
    return TextTable(path, columns, read, (kind,), "row", True, classes or {}, counted)


def _batches(paths: Sequence[Path]) -> Iterator[Any]:
    """The batches of Arrow files, in either of Arrow's two formats, mapped where possible."""
    ipc = needed("pyarrow.ipc")
    for path in paths:
        with _open(path, "Feather or Arrow") as file:
            start = file.read(6)
            file.seek(0)
            if start.startswith(b"FEA1"):
                yield from needed("pyarrow.feather").read_table(file).to_batches()
            elif start == b"ARROW1":
                opened = ipc.open_file(file)
                for number in range(opened.num_record_batches):
                    yield opened.get_batch(number)
            else:
                yield from ipc.open_stream(file)


@contextmanager
def _open(path: Path, kind: str) -> Generator[Any]:
    """A file in the form in which pyarrow takes it; its errors are ours."""
    pyarrow = needed("pyarrow")
    try:
        with open_seekable(path) as file:
            yield file
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not a {kind} file, or damaged: {reason[:200]}") from error
    except OSError as error:
        if error.filename is not None or error.errno is not None:
            raise
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not a {kind} file, or damaged: {reason[:200]}") from error


def _described(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must be an object, got {type(content).__name__}")
    return content
