"""Trees of arrays in a folder, written and read with Orbax as NumPy arrays.

No file says on which devices the arrays were, so what two devices trained can be opened on one.
"""

import contextlib
import errno
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from lstm_jax.train.processes import connected, first_line

LITERAL = re.compile(r"[\w./-]*")


def write_arrays(folder: Path, tree: Any) -> None:
    """Writes a tree of arrays, and reads it again to know that it is there.

    Args:
        folder: where to; an empty one.
        tree: any pytree whose leaves are arrays.

    Raises:
        OSError: naming the folder, if its files cannot be written or do not hold the arrays.
    """
    tree = jax.device_get(tree)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    # Beside the arrays, Orbax writes their names and a few files.
    _check_room(folder, 150_000 + sum(2_000 + int(1.01 * array.nbytes) for _, array in leaves))
    with _orbax(folder) as (checkpointer, path):
        try:
            checkpointer.save(path / "new", args=ocp.args.PyTreeSave(tree))
        except Exception as error:  # Orbax and TensorStore raise errors of many kinds
            raise _writing_failed(folder, error) from error
    for written in (folder / "new").iterdir():
        written.rename(folder / written.name)
    (folder / "new").rmdir()
    found = dict(jax.tree_util.tree_leaves_with_path(read_arrays(folder, tree)))
    for name, array in leaves:
        if array.tobytes() != found[name].tobytes():
            message = f"{jax.tree_util.keystr(name)} is not what was written"
            raise OSError(errno.EIO, message, str(folder))


def read_arrays(folder: Path, like: Any, *, partial: bool = False) -> Any:
    """Reads what `write_arrays` wrote.

    Args:
        folder: where it is.
        like: a tree of the same structure, whose leaves have the shapes and dtypes.
        partial: whether `like` may leave out arrays, which are not read then.

    Returns:
        The tree, of NumPy arrays.

    Raises:
        ValueError: naming the folder, if its files are damaged or hold another tree.
    """
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like)
    wanted = ocp.args.PyTreeRestore(like, as_numpy, partial_restore=partial)
    with _orbax(folder) as (checkpointer, path):
        try:
            tree = checkpointer.restore(path, args=wanted)
        except Exception as error:  # as above
            raise _reading_failed(folder, error) from error
    arrays = dict(jax.tree_util.tree_leaves_with_path(tree))
    for name, leaf in jax.tree_util.tree_leaves_with_path(like):
        array = arrays[name]
        if (array.shape, array.dtype) != (leaf.shape, leaf.dtype):
            raise ValueError(
                f"{folder}: {jax.tree_util.keystr(name)} must be {leaf.dtype} of shape "
                f"{leaf.shape}, got {array.dtype} of shape {array.shape}"
            )
    return tree


def read_part(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Reads the arrays below some names of what `write_arrays` wrote, whatever their shapes.

    Args:
        folder: where a dictionary of trees is.
        names: keys of it.

    Raises:
        ValueError: naming the folder, if its files are damaged or there is no such name.
    """
    with _orbax(folder) as (checkpointer, path):
        try:
            metadata = checkpointer.metadata(path).item_metadata
        except Exception as error:  # as above
            raise _reading_failed(folder, error) from error
    if metadata is None:
        raise ValueError(f"{folder}: cannot be read: the list of its arrays is missing or damaged")
    stored = metadata.tree
    if missing := [name for name in names if name not in stored]:
        raise ValueError(f"{folder}: must hold {', '.join(names)}; missing: {', '.join(missing)}")
    part = {name: stored[name] for name in names}
    like = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), part)
    return read_arrays(folder, like, partial=True)


@contextlib.contextmanager
def literal_path(folder: Path) -> Generator[Path]:
    """The same folder by a path that Orbax takes literally.

    It takes "[1]" for a pattern, "gs:" for a storage service and a backslash for a sign of its own,
    wherever they stand in a path (etils, TensorStore), and cannot say a name that is not UTF-8. A
    folder with such a path is reached through a symbolic link.

    Raises:
        ValueError: if the folder of temporary files has no literal path either.
    """
    folder = folder.absolute()
    if LITERAL.fullmatch(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="lstm_jax-") as temporary:
        if not LITERAL.fullmatch(temporary):
            raise ValueError(
                "TMPDIR must be a path of letters, digits, '_', '.', '/' and '-' if the path of a "
                f"run has other characters, got {str(Path(temporary).parent)!r}"
            )
        link = Path(temporary) / "link"
        link.symlink_to(folder, target_is_directory=True)
        yield link


@contextlib.contextmanager
def _orbax(folder: Path) -> Generator[tuple[ocp.Checkpointer, Path]]:
    """A checkpointer and the path to give it; tracebacks that it logs beside what it raises go.

    It reads and writes for this process alone: in a training of many, each has all of the arrays,
    and Orbax would wait for the others.
    """
    alone = ocp.options.MultiprocessingOptions()
    if connected():
        this = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(
            primary_host=this, active_processes={this}, barrier_sync_key_prefix=f"process{this}"
        )

    def has_no_traceback(record: logging.LogRecord) -> bool:
        return not record.exc_info

    logger = logging.getLogger("absl")
    logger.addFilter(has_no_traceback)
    try:
        with (
            literal_path(folder) as path,
            ocp.Checkpointer(
                ocp.PyTreeCheckpointHandler(multiprocessing_options=alone),
                multiprocessing_options=alone,
            ) as checkpointer,
        ):
            yield checkpointer, path
    finally:
        logger.removeFilter(has_no_traceback)


def _check_room(folder: Path, size: int) -> None:
    """Raises what the system does if a folder has no room for so many bytes.

    Where Orbax finds out by itself, threads of TensorStore print tracebacks of their own.
    """
    if not hasattr(os, "posix_fallocate"):  # as on a Mac
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        return
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise _writing_failed(folder, error) from error


def _writing_failed(folder: Path, error: Exception) -> OSError:
    """What to raise; with the number of the system's error, if that was the reason."""
    number = getattr(error, "errno", None)
    if number is None and (named := re.search(r"os_error_code='(\d+)'", str(error))):
        number = int(named[1])  # TensorStore's way to say it
    if number is None:
        return OSError(errno.EIO, f"cannot be written: {first_line(error)}", str(folder))
    return OSError(number, os.strerror(number), str(folder))


def _reading_failed(folder: Path, error: Exception) -> ValueError:
    return ValueError(f"{folder}: cannot be read: {first_line(error)}")
