"""What the conversions share: layers of our weights, and the checks of what comes and goes.

A layer is the weights of one direction, or a `Bidirectional` of two; a stack is a tuple of layers.
Converted weights are NumPy arrays of their own, in the dtype that they had.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from lstm_jax.cell import LSTMParams
from lstm_jax.lstm import Bidirectional
from lstm_jax.variants import VariantParams

DirectionParams: TypeAlias = LSTMParams | VariantParams
Layer: TypeAlias = DirectionParams | Bidirectional[Any]

OURS = {"input_kernel": ("D", "4H"), "recurrent_kernel": ("H", "4H"), "bias": ("4H",)}


def checked(
    arrays: Mapping[str, Any], shapes: Mapping[str, tuple[str, ...]], owner: str
) -> dict[str, np.ndarray]:
    """The arrays in NumPy, if they have the names and shapes that they must and are floating.

    Args:
        arrays: by name; whatever `numpy.asarray` takes.
        shapes: for each name its axes as letters, such as "D" or "4H": a letter means the same
            number in all of them, whichever that is.
        owner: what has such arrays, for the error.

    Returns:
        The arrays in the order of `shapes`, not copied.

    Raises:
        ValueError: if a name, a shape or a dtype is wrong.
    """
    if set(arrays) != set(shapes):
        raise ValueError(
            f"{owner} must have the arrays {', '.join(shapes)}; missing: "
            f"{sorted(set(shapes) - set(arrays))}, not allowed: {sorted(set(arrays) - set(shapes))}"
        )
    found, sizes = {}, {}
    for name, axes in shapes.items():
        found[name] = array = np.asarray(arrays[name])
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{name} of {owner} must be floating, got {array.dtype}")
        fits = array.ndim == len(axes)
        for axis, size in zip(axes, array.shape, strict=False):
            factor, letter = int(axis[:-1] or 1), axis[-1]
            fits = fits and size == factor * sizes.setdefault(letter, size // factor)
        if not fits:
            known = ", ".join(f"{letter} = {size}" for letter, size in sorted(sizes.items()))
            raise ValueError(
                f"{name} of {owner} must have shape ({', '.join(axes)}) with {known}, "
                f"got {array.shape}"
            )
    return found


def lstm_params(input_kernel: Any, recurrent_kernel: Any, bias: Any = None) -> LSTMParams:
    """Copies of arrays in our shapes as parameters; zeros where there is no bias."""
    if bias is None:
        bias = np.zeros(input_kernel.shape[1], input_kernel.dtype)
    copies: Any = (np.array(a, order="C") for a in (input_kernel, recurrent_kernel, bias))
    return LSTMParams(*copies)


def directions(layer: Layer, allowed: tuple[type, ...] = (LSTMParams,)) -> tuple[Any, ...]:
    """The weights of a layer's one or two directions.

    Raises:
        ValueError: if they are of a kind that is not allowed.
    """
    each = tuple(layer) if isinstance(layer, Bidirectional) else (layer,)
    for params in each:
        if not isinstance(params, allowed):
            kinds = " or ".join(kind.__name__ for kind in allowed)
            got = type(params).__name__
            raise ValueError(f"a layer must be {kinds} or a Bidirectional of two, got {got}")
    return each


def layers_of(layers: Sequence[Layer]) -> list[tuple[Any, ...]]:
    """The directions of each layer of a stack.

    Raises:
        ValueError: if it is no stack, but one layer, or has none, or one of another kind.
    """
    if hasattr(layers, "_fields") or len(layers) == 0:  # a layer is itself a tuple, of arrays
        raise ValueError(
            f"layers must be a tuple of at least one layer, got {type(layers).__name__}"
        )
    return [directions(layer, (LSTMParams, VariantParams)) for layer in layers]


def copied(params: DirectionParams, *, bias: bool) -> dict[str, np.ndarray]:
    """The weights of one direction by name, as copies: kernels, the bias if wanted, a projection.

    Raises:
        ValueError: if names or shapes do not fit, there is more than that, or a bias that is not
            zero is not wanted.
    """
    arrays = {name: array for name, array in params._asdict().items() if array is not None}
    arrays.setdefault("bias", np.zeros(params.input_kernel.shape[-1:], params.input_kernel.dtype))
    shapes = OURS
    if "projection" in arrays:
        shapes = OURS | {"recurrent_kernel": ("R", "4H"), "projection": ("H", "R")}
    arrays = {
        name: np.array(array)
        for name, array in checked(arrays, shapes, type(params).__name__).items()
    }
    if not bias:
        unwanted = arrays.pop("bias")
        if unwanted.any():  # NaN too
            largest = np.abs(unwanted).max()
            raise ValueError(f"bias=False needs a bias of zeros, got one of up to {largest}")
    return arrays


def summed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The sum of two biases, without NumPy's warning where it is not finite."""
    with np.errstate(all="ignore"):
        return one + other


def one_line(error: Exception) -> str:
    """What another library's error says, on one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
