"""Packages that only some files need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def needed(module: str) -> Any:
    """Imports a module of the extra `files`.

    Args:
        module: its name, such as "pyarrow.parquet".

    Raises:
        ValueError: naming the package and how to get it, if it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ValueError(
            f"{package} is needed to read such a file: pip install {package}, or"
            " pip install 'lstm_jax[files]'"
        ) from error
