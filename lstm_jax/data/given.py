"""Texts and labels that a Python program has already: lists, arrays, columns of data frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_jax.data import labels as of_labels
from lstm_jax.data.corpus import Examples


def as_examples(
    texts: Any, labels: Any = None, class_names: Sequence[str] | None = None
) -> tuple[Examples, tuple[str, ...]]:
    """Makes examples of what a Python program has.

    Args:
        texts: N strings, in a list, a NumPy array, a pandas Series, or whatever gives one after the
            other; or a Bunch of scikit-learn with `data`, `target` and `target_names`.
        labels: N labels, strings or whole numbers, in any of these; None with a Bunch only.
        class_names: the names of the classes. Labels that are whole numbers are then places in it,
            unless it has their names. By default the labels that occur, in the order of
            `labels.ordered`.

    Returns:
        The examples, and the names of their classes, at least two.

    Raises:
        ValueError: naming the argument and the place, if a text is no string, a label is none, or
            there are not as many of both.
    """
    if labels is None:
        data, target = _part(texts, "data"), _part(texts, "target")
        if data is None or target is None:
            raise ValueError(
                "labels must be given, unless texts is a Bunch with data and target, got"
                f" {type(texts).__name__}"
            )
        if class_names is None and (names := _part(texts, "target_names")) is not None:
            class_names = list(names)
        texts, labels = data, target
    strings = as_texts(texts)
    given = _values(labels, "labels")
    if len(given) != len(strings):
        raise ValueError(f"labels must be as many as texts, {len(strings):,}, got {len(given):,}")
    if not strings:
        raise ValueError("texts must have at least one text, got none")
    names = None if class_names is None else tuple(map(str, class_names))
    found = [_checked_label(place, label, names) for place, label in enumerate(given)]
    ordered = of_labels.ordered(found) if names is None else names
    if len(set(ordered)) < 2 or len(set(ordered)) < len(ordered):
        what = (
            "labels must be of at least two classes"
            if names is None
            else ("class_names must be at least two different names")
        )
        raise ValueError(f"{what}, got {', '.join(map(repr, ordered))}")
    numbers = {name: number for number, name in enumerate(ordered)}
    return Examples(strings, np.array([numbers[name] for name in found], np.int32)), ordered


def as_texts(texts: Any, argument: str = "texts") -> list[str]:
    """Makes a list of N strings of what a Python program has.

    Args:
        texts: as for `as_examples`.
        argument: what the errors call it.

    Raises:
        ValueError: naming the argument and the place, if something is no string.
    """
    return [
        _checked_text(f"{argument}[{place}]", text)
        for place, text in enumerate(_values(texts, argument))
    ]


def _part(bunch: Any, name: str) -> Any:
    """A part of a Bunch, which is a dictionary."""
    return bunch.get(name) if isinstance(bunch, Mapping) else getattr(bunch, name, None)


def _values(column: Any, argument: str) -> list[Any]:
    """What gives values one after the other, as Python has them."""
    if isinstance(column, str | bytes | Mapping) or not isinstance(column, Iterable):
        kind = "a single string" if isinstance(column, str | bytes) else type(column).__name__
        raise ValueError(f"{argument} must be a list, an array or a column, got {kind}")
    dimensions = getattr(column, "ndim", 1)
    if dimensions != 1:
        raise ValueError(f"{argument} must have one dimension, got {dimensions}")
    return [value.item() if isinstance(value, np.generic) else value for value in column]


def _checked_text(place: str, text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{place} must be a string, got {type(text).__name__}")
    if not of_labels.is_text(text):
        raise ValueError(f"{place} must be valid Unicode, got half a surrogate pair")
    return text


def _checked_label(place: int, label: Any, names: tuple[str, ...] | None) -> str:
    if type(label).__name__ in ("NAType", "NaTType"):  # of pandas, which is not imported here
        label = None
    try:
        name = of_labels.as_label(label)
    except ValueError as error:
        raise ValueError(f"labels[{place}] must be a label, got {error}") from None
    if names is None or name in names:
        return name
    if isinstance(label, int) and 0 <= label < len(names):
        return names[label]
    allowed = ", ".join(map(repr, names[:10]))
    raise ValueError(f"labels[{place}] must be one of {allowed}, got {name!r}")
