"""What users give, as a list of arrays [T, D]: checked, float64, NaN where a value is missing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]  # [T, D]


def as_sequences(X: Any, *, channels_first: bool = False, channels: int | None = None) -> list[Any]:
    """Sequences of any lengths.

    Args:
        X: N sequences: a list of arrays [T_n, D] or [T_n], or one array [N, T, D] or [N, T].
        channels_first: whether each comes as [D, T_n] instead, as in aeon and sktime.
        channels: D, if it is known already.

    Returns:
        N float64 arrays [T_n, D], NaN where a value is missing.

    Raises:
        ValueError: if there is none, one has no step, another number of dimensions or channels, or
            a value that is neither finite nor NaN.
    """
    if hasattr(X, "tocsr"):
        raise ValueError("X must be dense arrays, got sparse data, which is not supported")
    given = np.asarray(X) if hasattr(X, "__array__") and not hasattr(X, "ndim") else X
    dimensions = getattr(given, "ndim", None)  # of arrays and data frames
    if dimensions not in (None, 1, 2, 3) or (
        dimensions is None and not isinstance(given, Sequence)
    ):
        got = f"{dimensions} dimensions" if dimensions else type(given).__name__
        raise ValueError(f"X must be a list of arrays [T, D], or one array [N, T, D], got {got}")
    if len(given) == 0:
        raise ValueError("X must have at least one sequence, got none: 0 sample(s)")
    rows: Any = np.asarray(given) if dimensions in (2, 3) else given
    order = "[D, T]" if channels_first else "[T, D]"
    sequences = []
    for number, row in enumerate(rows):
        name = f"X[{number}]"
        array = _numbers(row, name)
        if array.ndim == 1:
            array = array[:, None]
        elif array.ndim == 2 and channels_first:
            array = array.T
        if array.ndim != 2:
            raise ValueError(f"{name} must be of shape {order}, got shape {array.shape}")
        _check_steps(array, name)
        expected = sequences[0].shape[1] if sequences and channels is None else channels
        if expected is not None and array.shape[1] != expected:
            hint = "" if channels_first else "; channels_first=True takes arrays [D, T]"
            raise ValueError(
                f"{name} must have {expected} channels, as the others, got {array.shape[1]}{hint}"
            )
        sequences.append(array)
    return sequences


def as_series(y: Any, name: str = "y", channels: int | None = None) -> Series:
    """One series as [T, D]: of [T], [T, D], or a column or table of pandas.

    Raises:
        ValueError: if it has another shape, no value at all, or one that is infinite.
    """
    array = _numbers(y, name)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name} must be of shape [T] or [T, D], got shape {array.shape}")
    _check_steps(array, name)
    if channels is not None and array.shape[1] != channels:
        raise ValueError(f"{name} must have {channels} channels, got {array.shape[1]}")
    return array


def check_observed(arrays: Sequence[Series], name: str) -> None:
    """Raises a ValueError if a channel has no value in any of the arrays."""
    steps: NDArray[np.bool_] = np.isfinite(np.concatenate(arrays))
    observed: NDArray[np.bool_] = np.atleast_1d(steps.any(axis=0))
    if not observed.all():
        channel = int(observed.argmin())
        where = f" in channel {channel}" if len(observed) > 1 else ""
        raise ValueError(f"{name} must have a value that is not NaN, got only NaN{where}")


def _numbers(given: Any, name: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(given)
        if np.iscomplexobj(array):
            raise TypeError("complex numbers: Complex data not supported")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, got {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _check_steps(array: Series, name: str) -> None:
    if min(array.shape) == 0:
        raise ValueError(f"{name} must have at least one step and channel, got shape {array.shape}")
    if np.isinf(array).any():
        raise ValueError(f"{name} must be finite, or NaN where a value is missing, got infinity")
