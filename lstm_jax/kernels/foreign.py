"""Compiled functions in JAX: loaded, called through XLA, under `vmap` and with the batch sharded.

`lstm_jax.kernels.cpu` and `gpu` say which functions they have, and what the arrays of each mean.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_batching import custom_vmap
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from lstm_jax.sharding import varying_alike


class Call(NamedTuple):
    """A compiled function: the axes of its arrays, in the handler's order.

    b is the batch, t time, d features, h hidden units, g the gates, 4 h.

    Attributes:
        target: its name in the library.
        shared: operands that come first, once.
        operands, results: of each direction.
        alias: an operand whose memory a result may take.
        sums: whether the results are sums over the batch.
    """

    target: str
    shared: tuple[str, ...]
    operands: tuple[str, ...]
    results: tuple[str, ...]
    alias: tuple[int, int] | None = None
    sums: bool = False


class How(NamedTuple):
    """What a function is told beside its arrays."""

    reverse: tuple[bool, ...]
    bfloat16: bool


def load(path: Path, targets: Sequence[str], platform: str) -> ctypes.CDLL:
    """Opens a compiled library and registers functions of it for a platform of XLA.

    Raises:
        OSError, RuntimeError: if it is compiled for another system, or another JAX.
    """
    library = ctypes.CDLL(str(path))
    for name in targets:
        handler = jax.ffi.pycapsule(getattr(library, name))
        jax.ffi.register_ffi_target(name, handler, platform=platform)
    return library


def invoke(
    call: Call, how: How, shared: tuple[Array, ...], each: list[tuple[Array, ...]]
) -> list[tuple[Array, ...]]:
    """Calls a function with the arrays of each direction and returns its results by direction."""
    results = _vmappable(call, how)(*shared, *(array for arrays in each for array in arrays))
    size = len(call.results)
    return [tuple(results[i : i + size]) for i in range(0, len(results), size)]


def _axes(call: Call, how: How) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The axes of all operands and of all results."""
    return call.shared + call.operands * len(how.reverse), call.results * len(how.reverse)


def _compiled(call: Call, how: How) -> Callable[..., tuple[Array, ...]]:
    """The foreign function itself."""
    directions = range(len(how.reverse))
    operands, results = _axes(call, how)

    def run(*arrays: Array) -> tuple[Array, ...]:
        size = {}
        for axes, array in zip(operands, arrays, strict=True):
            size.update(zip(axes, array.shape, strict=True))
        size.setdefault("h", size["g"] // 4)
        dtype = arrays[len(call.shared)].dtype
        shapes = [jax.ShapeDtypeStruct([size[axis] for axis in axes], dtype) for axes in results]
        aliases = {}
        if call.alias is not None:
            operand, result = call.alias
            aliases = {
                len(call.shared) + d * len(call.operands) + operand: d * len(call.results) + result
                for d in directions
            }
        ffi = jax.ffi.ffi_call(call.target, shapes, input_output_aliases=aliases)
        reverse = sum(1 << d for d in directions if how.reverse[d])
        results_of_all = ffi(*arrays, reverse=np.int64(reverse), bfloat16=np.bool_(how.bfloat16))
        return varying_alike((arrays[0], *results_of_all))[1:]

    return run


@cache
def _shardable(call: Call, how: How) -> Callable[..., tuple[Array, ...]]:
    """The call that leaves a batch sharded: each device does its own sequences."""
    compiled = _compiled(call, how)
    operands, results = _axes(call, how)
    partitioned = custom_partitioning(compiled)

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
            found = compiled(*arrays)
            return jax.lax.psum(found, batch) if call.sums and batch is not None else found

        return mesh, run, result_shardings, operand_shardings

    rule = ", ".join(" ".join(axes) for axes in operands)
    rule += " -> " + ", ".join(" ".join(axes) for axes in results)
    partitioned.def_partition(
        partition,
        infer_sharding_from_operands=lambda mesh, args, _: shardings(mesh, args, results)[1],
        sharding_rule=rule,
        need_replication_factors=tuple(
            axis for axis in dict.fromkeys("".join(operands)) if axis != "b"
        ),
        reduction_factors=("b",) if call.sums else (),
    )
    return partitioned


@cache
def _vmappable(call: Call, how: How) -> Callable[..., tuple[Array, ...]]:
    """The call whose `vmap` is a larger batch; one after the other where kernels are mapped too."""
    operands, results = _axes(call, how)
    mappable = custom_vmap(_shardable(call, how))

    @mappable.def_vmap
    def rule(axis_size: int, mapped: list[bool], *arrays: Array) -> tuple[tuple, tuple]:
        def fold(axes: str, array: Array, is_mapped: bool) -> Array:
            if "b" not in axes:
                return array
            if not is_mapped:
                array = jnp.broadcast_to(array, (axis_size, *array.shape))
            return array.reshape(axis_size * array.shape[1], *array.shape[2:])

        all_mapped = (True,) * len(results)
        kernels = [m for axes, m in zip(operands, mapped, strict=True) if "b" not in axes]
        if not call.sums and not any(kernels):
            lengths = arrays[call.shared.index("b")]
            batch_size = lengths.shape[-1]  # by name, because -1 has no answer where nothing is
            folded = mappable(*map(fold, operands, arrays, mapped))
            return tuple(
                array.reshape(axis_size, batch_size, *array.shape[1:]) for array in folded
            ), all_mapped

        def one(arrays_of_one: list[Array]) -> tuple[Array, ...]:
            of_one = iter(arrays_of_one)
            both = zip(arrays, mapped, strict=True)
            return mappable(*(next(of_one) if m else a for a, m in both))

        return jax.lax.map(one, [a for a, m in zip(arrays, mapped, strict=True) if m]), all_mapped

    return mappable
