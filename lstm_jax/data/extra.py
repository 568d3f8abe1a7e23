"""Packages that only some files or commands need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def needed(module: str, what: str = "read such a file", extra: str = "files") -> Any:
    """Imports a module of an extra.

    Args:
        module: its name, such as "pyarrow.parquet".
        what: what it is needed to do.
        extra: the extra's name in pyproject.toml.

    Raises:
        ValueError: naming the package and how to get it, if it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ValueError(
            f"{package} is needed to {what}: pip install {package}, or"
            f" pip install 'lstm_jax[{extra}]'"
        ) from error
