"""An LSTM as a pure JAX function, and a text classifier built on it.

Importing the package takes no time: each name is loaded when it is first touched, and with it what
it needs (PEP 562), for most of them JAX and nothing heavier.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_jax.cell import (
        LSTMGates,
        LSTMParams,
        LSTMState,
        init_lstm,
        lstm_cell,
        lstm_gates,
        zero_state,
    )
    from lstm_jax.kernels import implementations
    from lstm_jax.lstm import (
        Bidirectional,
        bidirectional_lstm,
        choose_implementation,
        lstm,
        recompute_gates,
    )
    from lstm_jax.machine import tune_malloc
    from lstm_jax.predictor import Predictor, load
    from lstm_jax.recipes.fit import fit
    from lstm_jax.recurrence import scan_cell
    from lstm_jax.variants import Variant

__all__ = [
    "Bidirectional",
    "LSTMGates",
    "LSTMParams",
    "LSTMState",
    "Predictor",
    "Variant",
    "bidirectional_lstm",
    "choose_implementation",
    "fit",
    "implementations",
    "init_lstm",
    "load",
    "lstm",
    "lstm_cell",
    "lstm_gates",
    "recompute_gates",
    "scan_cell",
    "tune_malloc",
    "zero_state",
]

# The module of each name.
_MODULES = {
    "cell": "LSTMGates LSTMParams LSTMState init_lstm lstm_cell lstm_gates zero_state",
    "kernels": "implementations",
    "lstm": "Bidirectional bidirectional_lstm choose_implementation recompute_gates lstm",
    "machine": "tune_malloc",
    "recipes.fit": "fit",
    "recurrence": "scan_cell",
    "predictor": "Predictor load",
    "variants": "Variant",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}


class _Package(ModuleType):
    """The package, whose public names are loaded when they are first touched."""

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{self.__name__}.{_HOMES[name]}"), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        # Once the module `lstm_jax.lstm` is imported, Python would put it in the place of the
        # function of that name.
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_HOMES})

    def __reduce__(self) -> tuple[Any, ...]:
        # Ray, Dask and joblib send a function together with the modules that it names. As any other
        # module, this one goes by its name.
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Package
