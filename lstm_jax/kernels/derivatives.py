"""A hand-written backward pass under which every other JAX transform still works.

`jax.custom_vjp` refuses forward mode, and it differentiates a gradient by way of the backward pass,
which may be a compiled call that has no derivative; `jax.custom_jvp` is forgotten under
`jax.checkpoint`. So the recurrence is a primitive of JAX here, and its derivative another:

    forward mode              evaluates the derivative: that of a reference in plain JAX
    reverse mode              transposes it: the hand-written backward pass
    derivatives of either     are those of the reference

First gradients then have the speed of the backward pass, and all others are right.

Source: "JAX Internals: primitives" in JAX's documentation, for what a primitive is made of;
Radul et al. (2022), "You Only Linearize Once", for reverse mode as a transposed linear map.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir

Flat = Callable[..., list[Array]]  # a function of arrays, one after the other
Tangents = Sequence[Array | None]  # of each operand; None is zero
Axes = Sequence[int | None]  # that is mapped, of each operand


def with_backward_pass(
    predict: Callable[[Any, Array], Any],
    forward: Callable[[Any, Array], tuple[Any, Any]],
    backward: Callable[[Any, Array, Any, Any], Any],
    reference: Callable[[Any, Array], Any],
) -> Callable[[Any, Array], Any]:
    """A function that computes by `predict`, and its gradients by `forward` and `backward`.

    All take `arrays`, a pytree of floating arrays, and `constant`, an array without a derivative.

    Args:
        predict: `(arrays, constant) -> results`.
        forward: `(arrays, constant) -> (results, saved)`, with what the backward pass needs.
        backward: `(arrays, constant, saved, cotangents) -> gradients`, a pytree like `arrays`.
        reference: the same function as `predict`, which JAX can differentiate.

    Returns:
        `(arrays, constant) -> results`.
    """

    def run(arrays: Any, constant: Array) -> Any:
        leaves, tree = jax.tree.flatten(arrays)
        trees: dict[str, Any] = {}  # of what the functions returned when they were traced

        def flat(name: str, function: Callable[[Any, Array], Any]) -> Flat:
            def on_leaves(*operands: Array) -> list[Array]:
                *leaves, constant = operands
                returned, trees[name] = jax.tree.flatten(function(tree.unflatten(leaves), constant))
                return returned

            return on_leaves

        def gradients(*operands: Array) -> list[Array]:
            arrays, constant = tree.unflatten(operands[: len(leaves)]), operands[len(leaves)]
            _, saved_tree = trees["forward"].children()
            end = len(leaves) + 1 + saved_tree.num_leaves
            saved = saved_tree.unflatten(operands[len(leaves) + 1 : end])
            cotangents = trees["predict"].unflatten(operands[end:])
            return jax.tree.leaves(backward(arrays, constant, saved, cotangents))

        passes = _Passes(
            flat("predict", predict),
            flat("forward", forward),
            gradients,
            flat("reference", reference),
            arrays=len(leaves),
        )
        results = _predict(passes, [*leaves, constant])
        return trees["predict"].unflatten(results)

    return run


@dataclass(frozen=True)
class _Passes:
    """What `with_backward_pass` takes, flat: the leaves of `arrays`, then `constant`, and so on."""

    predict: Flat  # (*arrays, constant) -> results
    forward: Flat  # (*arrays, constant) -> [*results, *saved]
    backward: Flat  # (*arrays, constant, *saved, *cotangents) -> gradients of the arrays
    reference: Flat  # as predict
    arrays: int  # how many


# ------------------------------------------------------------------------------------------------
# The recurrence and its derivative
# ------------------------------------------------------------------------------------------------


def _predict(passes: _Passes, operands: Sequence[Array]) -> list[Array]:
    """The results alone."""

    def differentiate(operands: Sequence[Array], tangents: Tangents) -> tuple[list, list]:
        results, saved = _save(passes, operands, len(traced.out_avals))
        return results, _tangents(passes, [*operands, *saved], results, tangents)

    traced = jax.make_jaxpr(passes.predict)(*operands)
    return _recurrence.bind(*operands, traced=traced, differentiate=differentiate)


def _save(
    passes: _Passes, operands: Sequence[Array], count: int
) -> tuple[list[Array], list[Array]]:
    """The results, `count` arrays, and what is saved."""

    def differentiate(operands: Sequence[Array], tangents: Tangents) -> tuple[list, list]:
        results, saved = _save(passes, operands, count)
        # What is saved reaches `_gradients` only, whose derivative is taken by way of the arrays.
        d_results = _tangents(passes, [*operands, *saved], results, tangents)
        return [*results, *saved], [*d_results, *(None for _ in saved)]

    traced = jax.make_jaxpr(passes.forward)(*operands)
    found = _recurrence.bind(*operands, traced=traced, differentiate=differentiate)
    return found[:count], found[count:]


def _tangents(
    passes: _Passes, residuals: Sequence[Array], results: Sequence[Array], tangents: Tangents
) -> list[Array]:
    """The results' tangents, from those of the arrays; the residuals end with what was saved."""
    moving = [n for n in range(passes.arrays) if tangents[n] is not None]

    def reference(*operands: Array) -> list[Array]:
        d_arrays: list[Array | None] = [None] * (passes.arrays + 1)
        for n, tangent in zip(moving, operands[len(residuals) :], strict=True):
            d_arrays[n] = tangent
        return _differentiated(passes.reference, operands[: passes.arrays + 1], d_arrays)

    def transpose(residuals: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
        gradients = _gradients(passes, residuals, cotangents)
        return [gradients[n] for n in moving]

    return _derivative.bind(
        *residuals,
        *(tangents[n] for n in moving),
        traced=None,  # reverse mode never evaluates it
        types=tuple(map(jax.typeof, results)),
        reference=reference,
        transpose=transpose,
        residuals=len(residuals),
    )


def _gradients(
    passes: _Passes, residuals: Sequence[Array], cotangents: Sequence[Array]
) -> list[Array]:
    """The gradients of the arrays, from the results' cotangents: `_tangents` transposed."""
    results = list(cotangents)  # of their types

    def reference(*operands: Array) -> list[Array]:
        arrays, constant = operands[: passes.arrays], operands[passes.arrays]
        _, pullback = jax.vjp(lambda *arrays: passes.reference(*arrays, constant), *arrays)
        return list(pullback(list(operands[len(residuals) :])))

    def transpose(residuals: Sequence[Array], tangents: Sequence[Array]) -> list[Array]:
        return _tangents(passes, residuals, results, tangents)

    traced = jax.make_jaxpr(passes.backward)(*residuals, *cotangents)
    return _derivative.bind(
        *residuals,
        *cotangents,
        traced=traced,
        types=tuple(traced.out_avals),
        reference=reference,
        transpose=transpose,
        residuals=len(residuals),
    )


def _differentiated(function: Flat, operands: Sequence[Array], tangents: Tangents) -> list[Array]:
    """The tangents of a function's results; operands that have none stay as they are."""
    moving = [n for n, tangent in enumerate(tangents) if tangent is not None]

    def of_moving(*values: Array) -> list[Array]:
        changed = list(operands)
        for n, value in zip(moving, values, strict=True):
            changed[n] = value
        return function(*changed)

    return jax.jvp(of_moving, [operands[n] for n in moving], [tangents[n] for n in moving])[1]


# ------------------------------------------------------------------------------------------------
# Two primitives. The compiled calls in `traced` are in a parameter of their own, since JAX looks
# there for what it must know of a program before it lowers it.
#
# The recurrence evaluates `traced`. `differentiate` takes operands and tangents and returns results
# and their tangents. The recurrence is not linear, and never transposed.
# ------------------------------------------------------------------------------------------------

_recurrence = Primitive("lstm")
_recurrence.multiple_results = True


def _evaluate_recurrence(*operands: Array, traced: ClosedJaxpr, **_: Any) -> list[Array]:
    return jaxpr_as_fun(traced)(*operands)


def _differentiate_recurrence(
    operands: Sequence[Array], tangents: Sequence[Any], *, differentiate: Any, **_: Any
) -> tuple[list[Array], list[Any]]:
    results, d_results = differentiate(operands, _without_zeros(tangents))
    zeros = [ad.Zero(jax.typeof(result).to_tangent_aval()) for result in results]
    pairs = zip(d_results, zeros, strict=True)
    return results, [zero if tangent is None else tangent for tangent, zero in pairs]


def _map_recurrence(
    operands: Sequence[Array], axes: Axes, *, traced: ClosedJaxpr, differentiate: Any
) -> tuple[list[Array], list[int]]:
    moved, in_axes, _ = _moved_to_front(operands, axes)

    def mapped(operands: Sequence[Array], tangents: Tangents) -> tuple[list, list]:
        moving = [n for n, tangent in enumerate(tangents) if tangent is not None]
        is_zero: list[bool] = []

        def one(operands: Sequence[Array], values: Sequence[Array]) -> tuple[list, list]:
            given: list[Array | None] = [None] * len(operands)
            for n, value in zip(moving, values, strict=True):
                given[n] = value
            results, found = differentiate(operands, given)
            is_zero[:] = [tangent is None for tangent in found]
            return results, [tangent for tangent in found if tangent is not None]

        given: Any = [tangents[n] for n in moving]
        given_axes = [in_axes[n] for n in moving]
        results, found = jax.vmap(one, (in_axes, given_axes))(list(operands), given)
        rest = iter(found)
        return results, [None if zero else next(rest) for zero in is_zero]

    traced = jax.make_jaxpr(jax.vmap(jaxpr_as_fun(traced), in_axes))(*moved)
    results = _recurrence.bind(*moved, traced=traced, differentiate=mapped)
    return results, [0] * len(results)


_recurrence.def_impl(_evaluate_recurrence)
_recurrence.def_effectful_abstract_eval(
    lambda *_, traced, **__: (list(traced.out_avals), traced.effects)
)
ad.primitive_jvps[_recurrence] = _differentiate_recurrence
batching.primitive_batchers[_recurrence] = _map_recurrence
mlir.register_lowering(_recurrence, mlir.lower_fun(_evaluate_recurrence, multiple_results=True))

# ------------------------------------------------------------------------------------------------
# A derivative takes residuals, then operands in which it is linear. It evaluates `traced`, or
# `reference` if there is none; its own derivatives are those of `reference`. `transpose` takes the
# residuals and cotangents of the results, which are of `types`.
# ------------------------------------------------------------------------------------------------

_derivative = Primitive("lstm_derivative")
_derivative.multiple_results = True


def _evaluate_derivative(
    *operands: Array, traced: ClosedJaxpr | None, reference: Flat, **_: Any
) -> list[Array]:
    return (reference if traced is None else jaxpr_as_fun(traced))(*operands)


def _differentiate_derivative(
    operands: Sequence[Array], tangents: Sequence[Any], **options: Any
) -> tuple[list[Array], list[Array]]:
    results, count = _derivative.bind(*operands, **options), options["residuals"]
    if all(isinstance(tangent, ad.Zero) for tangent in tangents[:count]):
        linear = map(ad.instantiate_zeros, tangents[count:])
        return results, _derivative.bind(*operands[:count], *linear, **options)
    return results, _differentiated(options["reference"], operands, _without_zeros(tangents))


def _transpose_derivative(
    cotangents: Sequence[Any], *operands: Any, transpose: Any, residuals: int, **_: Any
) -> list[Array | None]:
    found = transpose(operands[:residuals], list(map(ad.instantiate_zeros, cotangents)))
    pairs = zip(found, operands[residuals:], strict=True)
    wanted = [gradient if ad.is_undefined_primal(linear) else None for gradient, linear in pairs]
    return [*[None] * residuals, *wanted]


def _map_derivative(
    operands: Sequence[Array],
    axes: Axes,
    *,
    traced: ClosedJaxpr | None,
    types: Sequence[Any],
    reference: Flat,
    transpose: Any,
    residuals: int,
) -> tuple[list[Array], list[int]]:
    moved, in_axes, size = _moved_to_front(operands, axes, residuals)

    def mapped(residuals: Sequence[Array], values: Sequence[Array]) -> list[Array]:
        residual_axes = in_axes[: len(residuals)]
        return jax.vmap(transpose, (residual_axes, 0))(list(residuals), list(values))

    def stacked(*results: Array) -> list[Array]:
        return [_stacked(result, size) for result in results]

    if traced is not None:
        traced = jax.make_jaxpr(jax.vmap(jaxpr_as_fun(traced), in_axes))(*moved)
    results = _derivative.bind(
        *moved,
        traced=traced,
        types=tuple(jax.make_jaxpr(stacked)(*types).out_avals),
        reference=jax.vmap(reference, in_axes),
        transpose=mapped,
        residuals=residuals,
    )
    return results, [0] * len(results)


_derivative.def_impl(_evaluate_derivative)
_derivative.def_effectful_abstract_eval(
    lambda *_, types, traced, **__: (list(types), traced.effects if traced else set())
)
ad.primitive_jvps[_derivative] = _differentiate_derivative
ad.primitive_transposes[_derivative] = _transpose_derivative
batching.primitive_batchers[_derivative] = _map_derivative
mlir.register_lowering(_derivative, mlir.lower_fun(_evaluate_derivative, multiple_results=True))


def _without_zeros(tangents: Sequence[Any]) -> list[Array | None]:
    return [None if isinstance(tangent, ad.Zero) else tangent for tangent in tangents]


def _moved_to_front(
    operands: Sequence[Array], axes: Axes, residuals: int | None = None
) -> tuple[list[Array], list[int | None], int]:
    """The operands with their mapped axis first, where that is now, and its size.

    Those behind the residuals are all mapped, so that a gradient is the sum over the mapped axis.
    """
    pairs = list(zip(operands, axes, strict=True))
    size = next(array.shape[axis] for array, axis in pairs if axis is not None)
    moved, in_axes = [], []
    for n, (array, axis) in enumerate(pairs):
        if axis is not None:
            array, axis = jnp.moveaxis(array, axis, 0), 0
        elif residuals is not None and n >= residuals:
            array, axis = _stacked(array, size), 0
        moved.append(array)
        in_axes.append(axis)
    return moved, in_axes, size


def _stacked(array: Array, size: int) -> Array:
    return jnp.broadcast_to(array[None], (size, *array.shape))
