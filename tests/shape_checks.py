"""Checks the arrays of every annotated call of lstm_jax against their shapes and types.

`conftest.py` installs it over the whole test run by jaxtyping's import hook. Of the annotations it
looks at those of arrays alone: general checkers reject NamedTuples that are generic, and arrays of
NumPy where JAX's are annotated, which every function here takes too.
"""

import inspect
import types
from collections.abc import Callable
from functools import wraps
from typing import Any, Union, get_args, get_origin, get_type_hints

import jax.numpy as jnp
import numpy as np
from jaxtyping import AbstractArray


def check_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a TypeError for an array that is not as its annotation says."""
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):  # names that are imported for the type checker alone
        return function
    kinds = {name: found for name, hint in hints.items() if (found := array_types(hint))}
    if not kinds:
        return function
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*values: Any, **named: Any) -> Any:
        for name, value in signature.bind(*values, **named).arguments.items():
            if name in kinds:
                check(name, value, kinds[name])
        result = function(*values, **named)
        if "return" in kinds:
            check("return", result, kinds["return"])
        return result

    return checked


def array_types(hint: Any) -> tuple[Any, ...]:
    """The array types in an annotation, such as `Float[Array, "B T"] | None`."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    arrays = [part for part in parts if isinstance(part, type) and issubclass(part, AbstractArray)]
    # Of a union with something else than None, values of that are no mistake.
    others = [part for part in parts if part not in arrays and part is not type(None)]
    return () if others else tuple(arrays)


def check(name: str, value: Any, kinds: tuple[Any, ...]) -> None:
    """Raises a TypeError if an array has none of the types."""
    if isinstance(value, np.ndarray):
        value = jnp.asarray(value)
    if hasattr(value, "shape") and not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} must be {wanted}, got {value.dtype}{list(value.shape)}")
