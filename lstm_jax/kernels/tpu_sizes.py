"""What the TPU's kernels are told, and the whole lanes and sublanes that it computes with.

A unit that is added begins at zero and has weights of zero: its candidate is tanh(0) = 0, so it
stays zero, and so do its gradients. A sequence that is added has no steps.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import GATES, LSTMParams, LSTMState
from lstm_jax.shapes import Lengths

# What a TPU stores together, of float32.
LANES, SUBLANES = 128, 8
ROWS = 128  # sequences of a tile, at most: as many as its matrix unit takes in at once


def whole(size: int, unit: int) -> int:
    """A size rounded up to a multiple of a unit."""
    return -(-size // unit) * unit


class How(NamedTuple):
    """What a loop is told beside its arrays.

    Attributes:
        reverse: whether the sequences are read last step to first.
        rounded: to bfloat16, what enters a product.
    """

    reverse: bool
    rounded: bool


class Sizes(NamedTuple):
    """How many sequences and hidden units there are, and how many with those that are added."""

    batch: int
    hidden: int
    rows: int
    units: int

    @classmethod
    def of(cls, hidden: Array) -> "Sizes":
        """Those of a state [B, H]: whole lanes of units, and tiles of whole sublanes."""
        batch, hidden_size = hidden.shape
        tiles = -(-batch // ROWS)
        rows = tiles * whole(-(-batch // tiles), SUBLANES)
        return cls(batch, hidden_size, rows, whole(hidden_size, LANES))

    def padded(self, arrays: tuple[LSTMParams, Array, LSTMState]) -> Any:
        """Parameters, inputs and initial state of a direction; the inputs as [T, rows, D]."""
        (input_kernel, recurrent_kernel, bias), inputs, state = arrays
        recurrent_kernel = jnp.pad(recurrent_kernel, ((0, self.units - self.hidden), (0, 0)))
        params = LSTMParams(*map(self._pad_gates, (input_kernel, recurrent_kernel, bias)))
        return params, self.pad_steps(inputs, inputs.shape[-1]), LSTMState(*map(self.pad, state))

    def _pad_gates(self, array: Array) -> Array:
        by_gate = array.reshape(*array.shape[:-1], len(GATES), self.hidden)
        edges = [(0, 0)] * array.ndim + [(0, self.units - self.hidden)]
        return jnp.pad(by_gate, edges).reshape(*array.shape[:-1], len(GATES) * self.units)

    def cut_params(self, params: LSTMParams) -> LSTMParams:
        """Without those units again."""

        def cut(array: Array) -> Array:
            by_gate = array.reshape(*array.shape[:-1], len(GATES), self.units)
            return by_gate[..., : self.hidden].reshape(*array.shape[:-1], len(GATES) * self.hidden)

        input_kernel, recurrent_kernel, bias = map(cut, params)
        return LSTMParams(input_kernel, recurrent_kernel[: self.hidden], bias)

    def pad(self, array: Array) -> Array:
        """[B, H] as [rows, units]."""
        return jnp.pad(array, ((0, self.rows - self.batch), (0, self.units - self.hidden)))

    def cut(self, array: Array) -> Array:
        """[rows, units] as [B, H]."""
        return array[: self.batch, : self.hidden]

    def pad_steps(self, array: Array, width: int) -> Array:
        """[B, T, F] as [T, rows, width]."""
        edges = (0, 0), (0, self.rows - self.batch), (0, width - array.shape[-1])
        return jnp.pad(jnp.swapaxes(array, 0, 1), edges)

    def cut_steps(self, array: Array) -> Array:
        """[T, rows, units] as [B, T, H]."""
        return jnp.swapaxes(array[:, : self.batch, : self.hidden], 0, 1)

    def column(self, lengths: Lengths) -> Array:
        """[rows, 1]; those that are added have no steps."""
        return jnp.pad(lengths, (0, self.rows - self.batch))[:, None]
