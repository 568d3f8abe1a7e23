"""The recurrence as Pallas kernels for a TPU, chosen by name only: it has not been timed on one.

XLA runs each step of a loop as several operations, whose results go through memory. Here a loop is
one call, which keeps the kernels and the state on the chip. The loops are in
`lstm_jax.kernels.tpu_loops`; what is around them, in plain JAX, is here: units padded to whole lanes
and sequences to whole sublanes, and the gradients of kernels, biases and inputs, as large products.

A unit that is padded begins at zero and has weights of zero: its candidate is tanh(0) = 0, so it
stays zero, and so do its gradients.

Without a TPU the kernels run in JAX's interpreter of TPU kernels, for tests: see `interpreted`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import GATES, LSTMParams, LSTMState
from lstm_jax.kernels.derivatives import with_backward_pass
from lstm_jax.kernels.gradients import factor, of_products
from lstm_jax.kernels.scan import run as run_by_scan
from lstm_jax.recurrence import where_valid, zero_padding
from lstm_jax.shapes import Inputs, Lengths, Outputs

Result = tuple[Outputs, LSTMState]
_Arrays = tuple[LSTMParams, Inputs, LSTMState]

# What a TPU stores together, of float32.
LANES, SUBLANES = 128, 8
ROWS = 128  # sequences of a tile, at most: as many as its matrix unit takes in at once

_interpreted = False


def whole(size: int, unit: int) -> int:
    """A size rounded up to a multiple of a unit."""
    return -(-size // unit) * unit


@contextmanager
def interpreted(**settings: Any) -> Iterator[None]:
    """Inside, the kernels run on any machine, interpreted, and slowly: for tests.

    Args:
        settings: of `jax.experimental.pallas.tpu.InterpretParams`; `detect_races` for example.
    """
    from jax.experimental.pallas import tpu as pltpu

    global _interpreted
    before, _interpreted = _interpreted, True
    try:
        with pltpu.force_tpu_interpret_mode(pltpu.InterpretParams(**settings)):
            yield
    finally:
        _interpreted = before


def unavailable() -> str:
    """Why this implementation cannot run here; "" if it can."""
    platform = jax.default_backend()
    return "" if _interpreted or platform == "tpu" else f"it needs a TPU; this is a {platform}"


def unsupported(dtype: jnp.dtype) -> str:
    """Why it cannot compute in `dtype` here; "" if it can."""
    if dtype != jnp.float32:
        return f"it computes in float32, not in {dtype}"
    return unavailable()


def run(
    params: tuple[LSTMParams, ...],
    inputs: Inputs,
    lengths: Lengths,
    initial_states: tuple[LSTMState, ...],
    *,
    reverse: tuple[bool, ...],
    precision: str | None = None,
) -> tuple[Result, ...]:
    """The contract of `lstm_jax.kernels`, a call for each direction.

    Raises:
        ValueError: if the kernels do not fit in the TPU's vector memory.
    """
    batch, time, _ = inputs.shape
    if batch == 0 or time == 0:  # a grid has at least one place
        return run_by_scan(params, inputs, lengths, initial_states, reverse=reverse)
    lengths = jnp.clip(lengths, 0, time)
    inputs = zero_padding(inputs, lengths)  # a NaN would reach the kernels' gradients
    return tuple(
        _differentiable(turned, precision == "bfloat16")((each, inputs, state), lengths)
        for each, state, turned in zip(params, initial_states, reverse, strict=True)
    )


@cache
def _differentiable(reverse: bool, rounded: bool) -> Callable[[_Arrays, Lengths], Result]:
    """The recurrence; its derivatives beyond the first gradients are those of plain scan."""

    def reference(arrays: _Arrays, lengths: Lengths) -> Result:
        params, inputs, state = arrays
        return run_by_scan((params,), inputs, lengths, (state,), reverse=(reverse,))[0]

    passes = (partial(each, reverse, rounded) for each in (_predict, _forward, _backward))
    return with_backward_pass(*passes, reference)


def _predict(reverse: bool, rounded: bool, arrays: _Arrays, lengths: Lengths) -> Result:
    result, _ = _run_forward(reverse, rounded, arrays, lengths, keep=False)
    return result


def _forward(
    reverse: bool, rounded: bool, arrays: _Arrays, lengths: Lengths
) -> tuple[Result, tuple[Array, ...]]:
    return _run_forward(reverse, rounded, arrays, lengths, keep=True)


def _run_forward(
    reverse: bool, rounded: bool, arrays: _Arrays, lengths: Lengths, *, keep: bool
) -> tuple[Result, tuple[Array, ...]]:
    """Outputs and final state; and what is kept: outputs, gates and cell states, padded."""
    from lstm_jax.kernels import tpu_loops as loops  # Pallas takes long to import

    sizes = _Sizes.of(arrays)
    params, inputs, state = sizes.padded(arrays)
    kernels = (factor(rounded, kernel) for kernel in params[:2])
    outputs, final_state, kept = loops.forward(
        loops.How(reverse, rounded),
        LSTMParams(*kernels, params.bias),
        inputs,
        sizes.column(lengths),
        state,
        keep=keep,
    )
    result = sizes.cut_steps(outputs), jax.tree.map(sizes.cut, final_state)
    return result, (outputs, *kept)


def _backward(
    reverse: bool,
    rounded: bool,
    arrays: _Arrays,
    lengths: Lengths,
    saved: tuple[Array, ...],
    cotangents: Result,
) -> _Arrays:
    from lstm_jax.kernels import tpu_loops as loops

    sizes = _Sizes.of(arrays)
    params, inputs, state = sizes.padded(arrays)
    (outputs, *kept), (d_outputs, d_state) = saved, cotangents
    dz, d_initial_state = loops.backward(
        loops.How(reverse, rounded),
        factor(rounded, params.recurrent_kernel.T),
        sizes.column(lengths),
        tuple(kept),
        sizes.pad_steps(d_outputs, sizes.units),
        jax.tree.map(sizes.pad, d_state),
    )
    first = jnp.arange(len(inputs))[:, None] == (sizes.column(lengths).T - 1 if reverse else 0)
    before = jnp.roll(outputs, -1 if reverse else 1, axis=0)
    before = where_valid(first, jnp.broadcast_to(state.hidden, before.shape), before)
    d_params, d_inputs = of_products(rounded, params, inputs, before, dz)
    d_state = jax.tree.map(sizes.cut, d_initial_state)
    return sizes.cut_params(d_params), jnp.swapaxes(d_inputs[:, : sizes.batch], 0, 1), d_state


class _Sizes(NamedTuple):
    """How many sequences and hidden units there are, and how many with those that are added."""

    batch: int
    hidden: int
    rows: int
    units: int

    @classmethod
    def of(cls, arrays: _Arrays) -> "_Sizes":
        """Those of a problem: whole lanes (128) of units, and tiles of whole sublanes (8)."""
        batch, hidden = arrays[2].hidden.shape
        tiles = -(-batch // ROWS)
        rows = tiles * whole(-(-batch // tiles), SUBLANES)
        return cls(batch, hidden, rows, whole(hidden, LANES))

    def padded(self, arrays: _Arrays) -> _Arrays:
        """All arrays, the inputs with time first."""
        params, inputs, state = arrays
        (input_kernel, recurrent_kernel, bias), units = params, self.units - self.hidden
        recurrent_kernel = jnp.pad(recurrent_kernel, ((0, units), (0, 0)))
        params = LSTMParams(*map(self._pad_gates, (input_kernel, recurrent_kernel, bias)))
        return params, self.pad_steps(inputs, inputs.shape[-1]), jax.tree.map(self.pad, state)

    def _pad_gates(self, array: Array) -> Array:
        """[..., 4H] with units added to each gate."""
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
        """A state [B, H]."""
        return jnp.pad(array, ((0, self.rows - self.batch), (0, self.units - self.hidden)))

    def cut(self, array: Array) -> Array:
        """A state again."""
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
