"""The recurrence as Pallas kernels for a TPU, chosen by name only: it has not been timed on one.

XLA runs each step of a loop as several operations, whose results go through memory. Here a loop is
one call, which keeps the kernels and the state on the chip. The loops are in
`lstm_jax.kernels.tpu_loops`; around them, in plain JAX, are the whole lanes and sublanes that a TPU
computes with (`tpu_sizes`), and the gradients of kernels, biases and inputs, as large products.

Without a TPU the kernels run in JAX's interpreter of TPU kernels, for tests: see `interpreted`.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import LSTMParams, LSTMState
from lstm_jax.kernels.derivatives import with_backward_pass
from lstm_jax.kernels.gradients import factor, of_products
from lstm_jax.kernels.scan import run as run_by_scan
from lstm_jax.kernels.tpu_sizes import How, Sizes
from lstm_jax.recurrence import where_valid, zero_padding
from lstm_jax.shapes import Inputs, Lengths, Outputs

Result = tuple[Outputs, LSTMState]
_Arrays = tuple[LSTMParams, Inputs, LSTMState]

_interpreted = False


@contextmanager
def interpreted(**settings: Any) -> Generator[None]:
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
        _differentiable(How(turned, precision == "bfloat16"))((each, inputs, state), lengths)
        for each, state, turned in zip(params, initial_states, reverse, strict=True)
    )


@cache
def _differentiable(how: How) -> Callable[[_Arrays, Lengths], Result]:
    """The recurrence; its derivatives beyond the first gradients are those of plain scan."""

    def reference(arrays: _Arrays, lengths: Lengths) -> Result:
        params, inputs, state = arrays
        return run_by_scan((params,), inputs, lengths, (state,), reverse=(how.reverse,))[0]

    def predict(arrays: _Arrays, lengths: Lengths) -> Result:
        return _forward(how, arrays, lengths, keep=False)[0]

    return with_backward_pass(predict, partial(_forward, how), partial(_backward, how), reference)


def _forward(
    how: How, arrays: _Arrays, lengths: Lengths, *, keep: bool = True
) -> tuple[Result, tuple[Array, ...]]:
    """Outputs and final state; and what is kept: outputs, gates and cell states, with padding."""
    from lstm_jax.kernels import tpu_loops as loops  # Pallas takes long to import

    sizes = Sizes.of(arrays[2].hidden)
    params, inputs, state = sizes.padded(arrays)
    kernels = LSTMParams(
        input_kernel=factor(how.rounded, params.input_kernel),
        recurrent_kernel=factor(how.rounded, params.recurrent_kernel),
        bias=params.bias,
    )
    outputs, final_state, kept = loops.forward(
        how, kernels, inputs, sizes.column(lengths), state, keep=keep
    )
    result = sizes.cut_steps(outputs), jax.tree.map(sizes.cut, final_state)
    return result, (outputs, *kept) if keep else ()


def _backward(
    how: How, arrays: _Arrays, lengths: Lengths, kept: tuple[Array, ...], cotangents: Result
) -> _Arrays:
    from lstm_jax.kernels import tpu_loops as loops

    sizes = Sizes.of(arrays[2].hidden)
    params, inputs, state = sizes.padded(arrays)
    column = sizes.column(lengths)
    (outputs, *of_steps), (d_outputs, d_state) = kept, cotangents
    dz, d_initial_state = loops.backward(
        how,
        factor(how.rounded, params.recurrent_kernel.T),
        column,
        tuple(of_steps),
        sizes.pad_steps(d_outputs, sizes.units),
        jax.tree.map(sizes.pad, d_state),
    )
    # Valid steps follow each other: the first of them begins with the initial state.
    first = jnp.arange(len(inputs))[:, None] == (column.T - 1 if how.reverse else 0)
    before = jnp.roll(outputs, -1 if how.reverse else 1, axis=0)
    before = where_valid(first, jnp.broadcast_to(state.hidden, before.shape), before)
    d_params, d_inputs = of_products(how.rounded, params, inputs, before, dz)
    d_inputs = jnp.swapaxes(d_inputs[:, : sizes.batch], 0, 1)
    return sizes.cut_params(d_params), d_inputs, jax.tree.map(sizes.cut, d_initial_state)
