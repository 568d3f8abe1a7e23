"""A fitted estimator in a folder: `model.json`, `weights/` (Orbax) and `files.sha256`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_jax.files import (
    expanded,
    new_folder,
    read_json,
    verify_checksums,
    write_checksums,
    write_json,
)
from lstm_jax.shapes import Params
from lstm_jax.train.arrays import write_arrays
from lstm_jax.train.checkpoints import load_weights

FORMAT = 1


def save(path: str | Path, kind: str, description: dict[str, Any], params: Params) -> None:
    """Writes a model whole or not at all.

    Args:
        path: a folder that is not there, or empty.
        kind: the name of its class.
        description: all but its weights, as JSON holds it.
        params: its weights.

    Raises:
        ValueError: if there is something at `path`.
        OSError: if it cannot be written.
    """
    with new_folder(expanded(path)) as folder:
        (folder / "weights").mkdir()
        write_arrays(folder / "weights", params)
        write_json(folder / "model.json", {"kind": kind, "format": FORMAT, **description})
        write_checksums(folder)


def describe(path: str | Path, kind: str) -> dict[str, Any]:
    """The description of a model that `save` wrote, once all its files are found whole.

    Raises:
        ValueError: naming the file, if it is missing, not as it was written, or another model's.
    """
    folder = expanded(path)
    file = folder / "model.json"
    if not file.is_file():
        raise ValueError(f"path must be the folder of a {kind}; {path} has none")
    verify_checksums(folder)
    found = read_json(file, dict[str, Any])
    for name, expected in (("kind", kind), ("format", FORMAT)):
        if found.get(name) != expected:
            raise ValueError(f"{file}: {name} must be {expected!r}, got {found.get(name)!r}")
    return found


def read_weights(path: str | Path, like: Callable[[], Params]) -> Params:
    """The weights of a model that `save` wrote, of the shapes that `like` would make."""
    return load_weights(expanded(path) / "weights", like)


def labels_to_json(labels: NDArray[Any]) -> dict[str, Any]:
    """Labels of classes, and of which type they are."""
    return {"dtype": labels.dtype.str, "values": labels.tolist()}


def labels_from_json(content: dict[str, Any]) -> NDArray[Any]:
    """What `labels_to_json` was given."""
    return np.array(content["values"], np.dtype(content["dtype"]))


def settings_to_json(settings: dict[str, Any]) -> dict[str, Any]:
    """The parameters of an estimator; of a generator of random numbers, only that it was one."""
    plain = (bool, int, float, str, tuple, list, type(None))
    values = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in settings.items()
    }
    return {name: value if isinstance(value, plain) else None for name, value in values.items()}


def settings_from_json(settings: dict[str, Any]) -> dict[str, Any]:
    """What `settings_to_json` was given, JSON's lists as tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }


def values_to_json(values: NDArray[np.float64]) -> list[list[float | None]]:
    """Steps [T, D] with None for NaN, which JSON lacks; NumPy takes None for NaN."""
    return [[None if np.isnan(each) else float(each) for each in step] for step in values]
