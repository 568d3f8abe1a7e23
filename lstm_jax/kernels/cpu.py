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
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_batching import custom_vmap
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from lstm_jax.cell import LSTMParams, LSTMState
from lstm_jax.kernels.derivatives import with_backward_pass
from lstm_jax.kernels.scan import run as run_by_scan
from lstm_jax.shapes import Inputs, Lengths, Outputs
from lstm_jax.sharding import varying_alike

Result = tuple[Outputs, LSTMState]


def _load() -> tuple[str, str]:
    """Registers the compiled calls; the instruction set in use, or "" and the reason for none."""
    try:
        path = next(Path(__file__).parent.glob("_lstm_cpu*.so"), None)
        if path is None:
            return "", "it was not compiled: no working C++ compiler when lstm_jax was installed"
        library = ctypes.CDLL(str(path))
        for name in ("forward", "backward", "gradient"):
            handler = jax.ffi.pycapsule(getattr(library, f"lstm_cpu_{name}"))
            jax.ffi.register_ffi_target(f"lstm_cpu_{name}", handler, platform="cpu")
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
    how = _How(reverse, precision == "bfloat16")
    return _differentiable(how)((tuple(params), inputs, tuple(initial_states)), lengths)


class _How(NamedTuple):
    """What a call is told beside its arrays."""

    reverse: tuple[bool, ...]
    bfloat16: bool


# ------------------------------------------------------------------------------------------------
# Differentiation
# ------------------------------------------------------------------------------------------------


_Arrays = tuple[tuple[LSTMParams, ...], Inputs, tuple[LSTMState, ...]]


@cache
def _differentiable(how: _How) -> Callable[[_Arrays, Lengths], tuple[Result, ...]]:
    """The recurrence; its derivatives beyond the first gradients are those of plain scan."""

    def reference(arrays: _Arrays, lengths: Lengths) -> tuple[Result, ...]:
        params, inputs, states = arrays
        return run_by_scan(params, inputs, lengths, states, reverse=how.reverse)

    return with_backward_pass(
        partial(_predict, how), partial(_forward, how), partial(_backward, how), reference
    )


def _predict(how: _How, arrays: _Arrays, lengths: Lengths) -> tuple[Result, ...]:
    params, inputs, states = arrays
    each = [(*p, *state) for p, state in zip(params, states, strict=True)]
    results = _call("predict", how, (inputs, lengths), each)
    return tuple((outputs, LSTMState(*state)) for outputs, *state in results)


def _forward(how: _How, arrays: _Arrays, lengths: Lengths) -> tuple[tuple[Result, ...], list]:
    params, inputs, states = arrays
    each = [(*p, *state) for p, state in zip(params, states, strict=True)]
    results = _call("forward", how, (inputs, lengths), each)
    saved = [(outputs, gates, cells) for outputs, _, _, gates, cells in results]
    return tuple((outputs, LSTMState(*state)) for outputs, *state, _, _ in results), saved


def _backward(
    how: _How, arrays: _Arrays, lengths: Lengths, saved: list, cotangents: tuple[Result, ...]
) -> _Arrays:
    params, inputs, states = arrays
    each = [
        (p.input_kernel, p.recurrent_kernel, state.cell, gates, cells, d_outputs, *d_state)
        for p, state, (_, gates, cells), (d_outputs, d_state) in zip(
            params, states, saved, cotangents, strict=True
        )
    ]
    results = _call("backward", how, (inputs, lengths), each)
    d_inputs = sum(d_input for d_input, *_ in results[1:]) + results[0][0]
    d_states = tuple(LSTMState(hidden, cell) for _, hidden, cell, _ in results)
    each = [
        (state.hidden, outputs, dz)
        for state, (outputs, _, _), (*_, dz) in zip(states, saved, results, strict=True)
    ]
    d_params = tuple(LSTMParams(*d) for d in _call("gradient", how, (inputs, lengths), each))
    return d_params, d_inputs, d_states


# ------------------------------------------------------------------------------------------------
# The calls, under vmap and with the batch sharded
# ------------------------------------------------------------------------------------------------


class _Call(NamedTuple):
    """A compiled function: the axes of the arrays of each direction, in the handler's order.

    b is the batch, t time, d features, h hidden units, g the gates, 4 h.
    """

    target: str
    operands: tuple[str, ...]
    results: tuple[str, ...]
    alias: tuple[int, int] | None = None  # an operand whose memory a result may take


_SHARED = ("btd", "b")  # inputs and lengths come first, once
_CALLS = {
    "predict": _Call("forward", ("dg", "hg", "g", "bh", "bh"), ("bth", "bh", "bh")),
    "forward": _Call("forward", ("dg", "hg", "g", "bh", "bh"), ("bth", "bh", "bh", "btg", "bth")),
    "backward": _Call(
        "backward",
        ("dg", "hg", "bh", "btg", "bth", "bth", "bh", "bh"),
        ("btd", "bh", "bh", "btg"),
        alias=(3, 3),  # dz takes the gates' place: a quarter of the memory, and of its page faults
    ),
    "gradient": _Call("gradient", ("bh", "bth", "btg"), ("dg", "hg", "g")),
}


def _call(
    name: str, how: _How, shared: tuple[Array, ...], each: list[tuple[Array, ...]]
) -> list[tuple[Array, ...]]:
    """Calls `name` with the arrays of each direction and returns its results by direction."""
    results = _vmappable(name, how)(*shared, *(array for arrays in each for array in arrays))
    size = len(_CALLS[name].results)
    return [tuple(results[i : i + size]) for i in range(0, len(results), size)]


@cache
def _axes(name: str, how: _How) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The axes of all operands and of all results."""
    call = _CALLS[name]
    return _SHARED + call.operands * len(how.reverse), call.results * len(how.reverse)


def _compiled(name: str, how: _How) -> Callable[..., tuple[Array, ...]]:
    """The foreign function itself."""
    call, directions = _CALLS[name], range(len(how.reverse))
    operands, results = _axes(name, how)

    def run(*arrays: Array) -> tuple[Array, ...]:
        size = {}
        for axes, array in zip(operands, arrays, strict=True):
            size.update(zip(axes, array.shape, strict=True))
        size.setdefault("h", size["g"] // 4)
        shapes = [
            jax.ShapeDtypeStruct([size[axis] for axis in axes], arrays[0].dtype) for axes in results
        ]
        aliases = {}
        if call.alias is not None:
            operand, result = call.alias
            aliases = {
                len(_SHARED) + d * len(call.operands) + operand: d * len(call.results) + result
                for d in directions
            }
        ffi = jax.ffi.ffi_call(f"lstm_cpu_{call.target}", shapes, input_output_aliases=aliases)
        reverse = sum(1 << d for d in directions if how.reverse[d])
        results_of_all = ffi(*arrays, reverse=np.int64(reverse), bfloat16=np.bool_(how.bfloat16))
        return varying_alike((arrays[0], *results_of_all))[1:]

    return run


@cache
def _shardable(name: str, how: _How) -> Callable[..., tuple[Array, ...]]:
    """The call that leaves a batch sharded: each device does its own sequences."""
    compiled = _compiled(name, how)
    operands, results = _axes(name, how)
    call = custom_partitioning(compiled)

    def shardings(mesh, args, axes_of_all: tuple[str, ...]):
        batch = args[0].sharding.spec[0]
        return batch, tuple(
            NamedSharding(mesh, PartitionSpec(*(batch if axis == "b" else None for axis in axes)))
            for axes in axes_of_all
        )

    def partition(mesh, args, _):
        batch, operand_shardings = shardings(mesh, args, operands)
        _, result_shardings = shardings(mesh, args, results)

        def run(*arrays: Array) -> tuple[Array, ...]:
            sums = compiled(*arrays)
            return jax.lax.psum(sums, batch) if name == "gradient" and batch is not None else sums

        return mesh, run, result_shardings, operand_shardings

    rule = ", ".join(" ".join(axes) for axes in operands)
    rule += " -> " + ", ".join(" ".join(axes) for axes in results)
    call.def_partition(
        partition,
        infer_sharding_from_operands=lambda mesh, args, _: shardings(mesh, args, results)[1],
        sharding_rule=rule,
        need_replication_factors=tuple(
            axis for axis in dict.fromkeys("".join(operands)) if axis != "b"
        ),
        reduction_factors=("b",) if name == "gradient" else (),
    )
    return call


@cache
def _vmappable(name: str, how: _How) -> Callable[..., tuple[Array, ...]]:
    """The call whose `vmap` is a larger batch; one after the other where kernels are mapped too."""
    operands, results = _axes(name, how)
    call = custom_vmap(_shardable(name, how))

    @call.def_vmap
    def rule(axis_size: int, mapped: list[bool], *arrays: Array) -> tuple[tuple, tuple]:
        def fold(axes: str, array: Array, is_mapped: bool) -> Array:
            if "b" not in axes:
                return array
            if not is_mapped:
                array = jnp.broadcast_to(array, (axis_size, *array.shape))
            return array.reshape(axis_size * array.shape[1], *array.shape[2:])

        all_mapped = (True,) * len(results)
        shared = [m for axes, m in zip(operands, mapped, strict=True) if "b" not in axes]
        if name != "gradient" and not any(shared):
            lengths = arrays[_SHARED.index("b")]
            batch_size = lengths.shape[-1]  # by name, because -1 has no answer where nothing is
            folded = call(*map(fold, operands, arrays, mapped))
            return tuple(
                array.reshape(axis_size, batch_size, *array.shape[1:]) for array in folded
            ), all_mapped

        def one(arrays_of_one: list[Array]) -> tuple[Array, ...]:
            of_one = iter(arrays_of_one)
            return call(*(next(of_one) if m else a for a, m in zip(arrays, mapped, strict=True)))

        return jax.lax.map(one, [a for a, m in zip(arrays, mapped, strict=True) if m]), all_mapped

    return call
