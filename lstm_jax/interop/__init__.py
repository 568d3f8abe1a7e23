"""LSTM weights from and to other frameworks, exact: the same arrays in another order."""

from lstm_jax.interop.flax import from_flax, stack_layers, stack_params, to_flax
from lstm_jax.interop.keras import from_keras, to_keras
from lstm_jax.interop.torch import from_torch, read_safetensors, to_torch, write_safetensors

__all__ = [
    "from_flax",
    "from_keras",
    "from_torch",
    "read_safetensors",
    "stack_layers",
    "stack_params",
    "to_flax",
    "to_keras",
    "to_torch",
    "write_safetensors",
]
