"""The recurrence compiled for the CPU: calls into `lstm_cpu.cc` through XLA's foreign functions.

Three calls, each over one or both directions of reading at once:

    forward    outputs and final states; for the backward pass also the gates and cell states
    backward   the loop backward in time: ∂L/∂x, ∂L/∂(initial state), and ∂L/∂z in the gates' place
    gradient   ∂L/∂W, ∂L/∂U, ∂L/∂b from ∂L/∂z

The equations are those of `lstm_jax.kernels.xla`; docs/explanation/cpu-kernel.md tells how they are
computed.
"""

import ctypes
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp

from lstm_jax.cell import LSTMParams, LSTMState
from lstm_jax.kernels.derivatives import with_backward_pass
from lstm_jax.kernels.foreign import Call, How, invoke, load
from lstm_jax.kernels.scan import run as run_by_scan
from lstm_jax.shapes import Inputs, Lengths, Outputs

Result = tuple[Outputs, LSTMState]


_SHARED = ("btd", "b")  # inputs and lengths
_CALLS = {
    "predict": Call(
        "lstm_cpu_forward", _SHARED, ("dg", "hg", "g", "bh", "bh"), ("bth", "bh", "bh")
    ),
    "forward": Call(
        "lstm_cpu_forward",
        _SHARED,
        ("dg", "hg", "g", "bh", "bh"),
        ("bth", "bh", "bh", "btg", "bth"),
    ),
    "backward": Call(
        "lstm_cpu_backward",
        _SHARED,
        ("dg", "hg", "bh", "btg", "bth", "bth", "bh", "bh"),
        ("btd", "bh", "bh", "btg"),
        alias=(3, 3),  # dz takes the gates' place: a quarter of the memory, and of its page faults
    ),
    "gradient": Call(
        "lstm_cpu_gradient", _SHARED, ("bh", "bth", "btg"), ("dg", "hg", "g"), sums=True
    ),
}


def _load() -> tuple[str, str]:
    """Registers the compiled calls; the instruction set in use, or "" and the reason for none."""
    try:
        path = next(Path(__file__).parent.glob("_lstm_cpu*.so"), None)
        if path is None:
            return "", "it was not compiled: no working C++ compiler when lstm_jax was installed"
        library = load(path, sorted({call.target for call in _CALLS.values()}), "cpu")
    except (OSError, RuntimeError) as error:  # compiled for another system, or another JAX
        return "", f"the compiled library cannot be loaded: {error}"
    library.lstm_cpu_isa.restype = ctypes.c_char_p
    return library.lstm_cpu_isa().decode(), ""


INSTRUCTION_SET, UNAVAILABLE = _load()
# JAX 0.12 puts a call into the sum of gradients over the devices of a mesh of explicit axes, which
# XLA refuses, and JAX 0.10 does not: "auto" takes "xla" there.
NO_EXPLICIT_AXES = jax.__version_info__ >= (0, 11)


def unsupported(dtype: jnp.dtype, precision: str | None = None) -> str:
    """Why this implementation cannot compute in `dtype` with `precision`; "" if it can."""
    if UNAVAILABLE:
        return UNAVAILABLE
    if dtype not in (jnp.float32, jnp.float64):
        return f"it computes in float32 and float64, not in {dtype}"
    if precision == "bfloat16" and INSTRUCTION_SET != "avx512bf16":
        return 'precision="bfloat16" needs a processor with AVX512-BF16'
    return ""


def run(
    params: tuple[LSTMParams, ...],
    inputs: Inputs,
    lengths: Lengths,
    initial_states: tuple[LSTMState, ...],
    *,
    reverse: tuple[bool, ...],
    precision: str | None = None,
) -> tuple[Result, ...]:
    """The contract of `lstm_jax.kernels` for all directions in one call.

    With `precision="bfloat16"` what enters the matrix products is rounded to bfloat16; sums, states
    and everything else stay float32.
    """
    how = How(reverse, precision == "bfloat16")
    return _differentiable(how)((tuple(params), inputs, tuple(initial_states)), lengths)


# ------------------------------------------------------------------------------------------------
# Differentiation
# ------------------------------------------------------------------------------------------------


_Arrays = tuple[tuple[LSTMParams, ...], Inputs, tuple[LSTMState, ...]]


@cache
def _differentiable(how: How) -> Callable[[_Arrays, Lengths], tuple[Result, ...]]:
    """The recurrence; its derivatives beyond the first gradients are those of plain scan."""

    def reference(arrays: _Arrays, lengths: Lengths) -> tuple[Result, ...]:
        params, inputs, states = arrays
        return run_by_scan(params, inputs, lengths, states, reverse=how.reverse)

    return with_backward_pass(
        partial(_predict, how), partial(_forward, how), partial(_backward, how), reference
    )


def _predict(how: How, arrays: _Arrays, lengths: Lengths) -> tuple[Result, ...]:
    params, inputs, states = arrays
    each = [(*p, *state) for p, state in zip(params, states, strict=True)]
    results = invoke(_CALLS["predict"], how, (inputs, lengths), each)
    return tuple((outputs, LSTMState(*state)) for outputs, *state in results)


def _forward(how: How, arrays: _Arrays, lengths: Lengths) -> tuple[tuple[Result, ...], list]:
    params, inputs, states = arrays
    each = [(*p, *state) for p, state in zip(params, states, strict=True)]
    results = invoke(_CALLS["forward"], how, (inputs, lengths), each)
    saved = [(outputs, gates, cells) for outputs, _, _, gates, cells in results]
    return tuple((outputs, LSTMState(*state)) for outputs, *state, _, _ in results), saved


def _backward(
    how: How, arrays: _Arrays, lengths: Lengths, saved: list, cotangents: tuple[Result, ...]
) -> _Arrays:
    params, inputs, states = arrays
    each = [
        (p.input_kernel, p.recurrent_kernel, state.cell, gates, cells, d_outputs, *d_state)
        for p, state, (_, gates, cells), (d_outputs, d_state) in zip(
            params, states, saved, cotangents, strict=True
        )
    ]
    results = invoke(_CALLS["backward"], how, (inputs, lengths), each)
    d_inputs = sum(d_input for d_input, *_ in results[1:]) + results[0][0]
    d_states = tuple(LSTMState(hidden, cell) for _, hidden, cell, _ in results)
    each = [
        (state.hidden, outputs, dz)
        for state, (outputs, _, _), (*_, dz) in zip(states, saved, results, strict=True)
    ]
    gradients = invoke(_CALLS["gradient"], how, (inputs, lengths), each)
    d_params = tuple(LSTMParams(*d) for d in gradients)
    return d_params, d_inputs, d_states
