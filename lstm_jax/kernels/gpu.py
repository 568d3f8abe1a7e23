"""The recurrence compiled for GPUs of NVIDIA: calls into `lstm_gpu.cu` through XLA's functions.

Two calls, each over one or both directions of reading at once:

    forward    outputs and final states; for the backward pass also the gates and cell states
    backward   the loop backward in time: ∂L/∂(initial state), and ∂L/∂z in the gates' place

XLA computes what is one large product over all steps: x W + b ahead of the loop, and the gradients
of parameters and inputs behind it. The equations are those of `lstm_jax.kernels.xla`;
docs/explanation/gpu-kernel.md tells how they are computed.
"""

import ctypes
import os
from bisect import bisect_right
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import LSTMParams, LSTMState, per_feature
from lstm_jax.kernels.derivatives import with_backward_pass
from lstm_jax.kernels.foreign import Call, How, invoke, load
from lstm_jax.kernels.gradients import of_products, product
from lstm_jax.kernels.scan import run as run_by_scan
from lstm_jax.recurrence import hidden_before, zero_padding
from lstm_jax.shapes import Inputs, Lengths, Outputs

Result = tuple[Outputs, LSTMState]

_FORWARD, _BACKWARD = "lstm_gpu_forward", "lstm_gpu_backward"
_SHARED = ("b",)  # lengths
_OPERANDS = ("btg", "hg", "bh", "bh")
_CALLS = {
    "predict": Call(_FORWARD, _SHARED, _OPERANDS, ("bth", "bh", "bh")),
    "forward": Call(
        _FORWARD,
        _SHARED,
        _OPERANDS,
        ("bth", "bh", "bh", "btg", "bth"),
        alias=(0, 3),  # the gates take the place of x W + b
    ),
    "backward": Call(
        _BACKWARD,
        _SHARED,
        ("btg", "hg", "bh", "bth", "bth", "bh", "bh"),
        ("btg", "bh", "bh"),
        alias=(0, 0),  # and dz that of the gates
    ),
}
# A library that runs the same source on a CPU; the tests make it.
HOST_LIBRARY = os.environ.get("LSTM_JAX_GPU_HOST_LIBRARY")


def _load(platform: str) -> tuple[ctypes.CDLL | None, str]:
    """Registers the compiled calls for a platform; the library, or None and the reason."""
    try:
        if platform == "cpu":
            path = Path(HOST_LIBRARY) if HOST_LIBRARY else None
        else:
            path = next(Path(__file__).parent.glob("_lstm_gpu*.so"), None)
        if path is None:
            return None, "it was not compiled: no working nvcc when lstm_jax was installed"
        library = load(path, (_FORWARD, _BACKWARD), platform)
    except (OSError, RuntimeError) as error:  # compiled for another system, or another JAX
        return None, f"the compiled library cannot be loaded: {error}"
    library.lstm_gpu_shared_bytes.restype = ctypes.c_int64
    return library, ""


_LIBRARY, UNAVAILABLE = _load("CUDA")
_HOST, _HOST_UNAVAILABLE = _load("cpu")

# Bytes of shared memory that a block may have, by compute capability, where 8.0's are not enough.
# Source: CUDA C++ Programming Guide, table of technical specifications per compute capability.
_SHARED_MEMORY = {"8.0": 166912, "8.7": 166912, "9.0": 232448, "10.0": 232448, "10.3": 232448}
_LEAST_SHARED_MEMORY = 101376  # of the others that the library is compiled for


def unavailable() -> str:
    """Why it cannot run on the devices in use; "" if it can."""
    backend = jax.default_backend()
    if backend == "cpu" and HOST_LIBRARY:
        return _HOST_UNAVAILABLE
    if _LIBRARY is None:
        return UNAVAILABLE
    if backend != "gpu":
        return f"it was compiled, but no GPU is in use: JAX runs on the {backend}"
    return _too_old(_LIBRARY.lstm_gpu_cuda(), _LIBRARY.lstm_gpu_driver())


def _too_old(compiled: int, driver: int) -> str:
    """Why a driver cannot run what was compiled; "" if it can. Versions as CUDA counts: 13000."""
    if driver // 1000 >= compiled // 1000:
        return ""
    return (
        f"it was compiled by CUDA {compiled // 1000}, which needs a newer driver: this one knows "
        f"CUDA {driver // 1000}.{driver % 1000 // 10}"
    )


def cannot_compute(dtype: jnp.dtype, hidden_size: int, precision: str | None = None) -> str:
    """Why it cannot compute such a layer for a GPU, wherever that may be; "" if it can."""
    library = _LIBRARY or _HOST
    if library is None:
        return UNAVAILABLE
    if dtype != jnp.float32:
        return f"it computes in float32, not in {dtype}"
    limit = _shared_memory()
    largest = _largest(precision == "bfloat16", limit)
    if hidden_size <= largest:
        return ""
    return (
        f"hidden_size must be at most {largest} for the {limit} bytes of shared memory of this GPU "
        f"with precision={precision!r}, got {hidden_size}"
    )


@cache
def _largest(rounded: bool, limit: int) -> int:
    """The largest H whose recurrent kernel fits so many bytes of shared memory."""
    library = _LIBRARY or _HOST
    assert library is not None

    def needed(hidden_size: int) -> int:
        return library.lstm_gpu_shared_bytes(hidden_size, rounded)

    return bisect_right(range(1, limit), limit, key=needed)


def unsupported(dtype: jnp.dtype, hidden_size: int, precision: str | None = None) -> str:
    """Why this implementation cannot run such a layer here; "" if it can."""
    return unavailable() or cannot_compute(dtype, hidden_size, precision)


@cache
def _shared_memory() -> int:
    """Bytes that every GPU in use gives a block; those of an A100 where none is in use."""
    if jax.default_backend() == "gpu":
        kinds = {str(device.compute_capability) for device in jax.devices()}
        return min(_SHARED_MEMORY.get(kind, _LEAST_SHARED_MEMORY) for kind in kinds)
    return _SHARED_MEMORY["9.0" if _HOST is not None else "8.0"]


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
    inputs = zero_padding(inputs, lengths)  # a NaN would reach the gradients of the kernels
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


def _operands(how: How, arrays: _Arrays) -> list[tuple[Array, ...]]:
    """Of the forward pass, by direction: the input's part of the preactivations, and the rest."""
    params, inputs, states = arrays
    each = []
    for p, state in zip(params, states, strict=True):
        projected = product(how.bfloat16, inputs, p.input_kernel)
        projected += per_feature(p.bias, projected)
        each.append((projected, p.recurrent_kernel, *state))
    return each


def _predict(how: How, arrays: _Arrays, lengths: Lengths) -> tuple[Result, ...]:
    results = invoke(_CALLS["predict"], how, (lengths,), _operands(how, arrays))
    return tuple((outputs, LSTMState(*state)) for outputs, *state in results)


def _forward(how: How, arrays: _Arrays, lengths: Lengths) -> tuple[tuple[Result, ...], list]:
    results = invoke(_CALLS["forward"], how, (lengths,), _operands(how, arrays))
    saved = [(outputs, gates, cells) for outputs, _, _, gates, cells in results]
    return tuple((outputs, LSTMState(*state)) for outputs, *state, _, _ in results), saved


def _backward(
    how: How, arrays: _Arrays, lengths: Lengths, saved: list, cotangents: tuple[Result, ...]
) -> _Arrays:
    params, inputs, states = arrays
    each = [
        (gates, p.recurrent_kernel, state.cell, cells, d_outputs, *d_state)
        for p, state, (_, gates, cells), (d_outputs, d_state) in zip(
            params, states, saved, cotangents, strict=True
        )
    ]
    results = invoke(_CALLS["backward"], how, (lengths,), each)
    gradients = []
    for p, state, (outputs, _, _), (dz, *_), reverse in zip(
        params, states, saved, results, how.reverse, strict=True
    ):
        before = hidden_before(outputs, state.hidden, lengths, reverse=reverse)
        gradients.append(of_products(how.bfloat16, p, inputs, before, dz))
    d_inputs = sum(d_input for _, d_input in gradients[1:]) + gradients[0][1]
    d_states = tuple(LSTMState(*d_state) for _, *d_state in results)
    return tuple(d_params for d_params, _ in gradients), d_inputs, d_states
