"""Settings of a layer, checked where it is traced: what is wrong is said in one line."""

from collections.abc import Iterable
from typing import Any

from jax.core import Tracer


def one_of(name: str, value: Any, allowed: Iterable[str]) -> None:
    """Raises a ValueError if a setting is not one of those allowed."""
    if value not in (allowed := tuple(allowed)):
        raise ValueError(f"{name} must be one of {allowed}, got {value!r}")


def known(name: str, value: bool) -> bool:
    """A setting that decides which program is traced, and so cannot be traced itself.

    Raises:
        ValueError: if it is traced.
    """
    if isinstance(value, Tracer):
        raise ValueError(
            f"{name} must be True or False, got a traced value; under nn.remat give it by position "
            "and make that static: nn.remat(LSTMLayer, static_argnums=4), and "
            "layer(inputs, lengths, initial_state, train)"
        )
    return value
