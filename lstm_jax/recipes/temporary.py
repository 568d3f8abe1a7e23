"""Runs that have no folder of their user's: in a temporary folder, or as bytes."""

import io
import os
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path

from lstm_jax.predictor import Predictor, load
from lstm_jax.stops import cleaning
from lstm_jax.train.run_folder import RunFolder


def temporary_run(fill: Callable[[Path], object]) -> Predictor:
    """A run in a temporary folder, which is deleted when nothing refers to the run any more.

    Args:
        fill: makes a finished run in the folder that it is given, an empty one.

    Returns:
        The run, opened.
    """
    folder = Path(tempfile.mkdtemp(prefix="lstm_jax-run-"))
    try:
        with cleaning(lambda: shutil.rmtree(folder, ignore_errors=True)):
            fill(folder)
            run = load(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(run, _remove, folder, os.getpid())
    return run


def pack(path: Path) -> bytes:
    """The files of a finished run that a prediction needs, as a ZIP archive.

    Args:
        path: the run's folder.

    Returns:
        JSON files, and arrays as Orbax wrote them; the same bytes for the same files.

    Raises:
        ValueError: naming the file that is missing, or not as the run wrote it.
    """
    folder = RunFolder(path)
    folder.load_result()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in folder.predicted_from():
            # An entry without the time of the file.
            archive.writestr(zipfile.ZipInfo(file.relative_to(path).as_posix()), file.read_bytes())
    return content.getvalue()


def unpack(content: bytes) -> Predictor:
    """Opens what `pack` made, in a temporary folder.

    Raises:
        ValueError: if it is damaged.
    """

    def extract(folder: Path) -> None:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                archive.extractall(folder)
        except zipfile.BadZipFile as error:
            raise ValueError(f"content must be what pack made, got {error}") from error

    return temporary_run(extract)


def _remove(folder: Path, process: int) -> None:
    """Deletes a folder, but not in a process that was forked from the one that made it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
