"""A batch spread over devices: what JAX's types ask of a recurrence.

Under `jax.shard_map` a type says over which axes of the mesh an array varies, and the state of a
scan must vary over the same before a step and after it. Over a mesh of explicit axes a type says
how the array is split, and every operation must say how its result is. A recurrence treats each
sequence alone, so both have one answer, given here once.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec, auto_axes


def varying_alike(tree: Any) -> Any:
    """The same arrays, each varying over every axis of a `jax.shard_map` that one of them does.

    The gradient of an array that was the same everywhere, as parameters are, is then a sum over
    those axes, which JAX adds.
    """
    together = frozenset().union(*map(_varying_axes, jax.tree.leaves(tree)))

    def cast(array: Array) -> Array:
        missing = together - _varying_axes(array)
        return jax.lax.pcast(array, tuple(sorted(missing)), to="varying") if missing else array

    return jax.tree.map(cast, tree)


def _varying_axes(array: Array) -> frozenset[str]:
    kind: Any = jax.typeof(array)
    manual = kind.mat if hasattr(kind, "mat") else kind.manual_axis_type  # JAX 0.10.0, and later
    return manual.varying


def is_split_explicitly(array: Array) -> bool:
    """Whether an array lies on a mesh of explicit axes."""
    sharding: Any = jax.typeof(array).sharding
    return bool(sharding.mesh.explicit_axes)


def run_by_sequence(run: Callable[..., Any], inputs: Array, *others: Any) -> Any:
    """`run(inputs, *others)`, with the batch split over explicit axes of a mesh if `inputs` is.

    Args:
        run: a function whose results are arrays [B, ...].
        inputs: [B, ...]; only how its first axis is split is kept.
        others: what else the function takes; any pytrees of arrays.
    """
    if not is_split_explicitly(inputs):
        return run(inputs, *others)
    sharding: Any = jax.typeof(inputs).sharding
    explicit = sharding.mesh.explicit_axes
    by_batch = NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[0]))
    return auto_axes(run, axes=explicit, out_sharding=by_batch)(inputs, *others)
