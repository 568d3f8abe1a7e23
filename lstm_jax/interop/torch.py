"""The weights of PyTorch's `nn.LSTM`, by the names of its state_dict; without PyTorch.

Its gates stand in our order. Its kernels are ours transposed, its two biases are always summed,
and `weight_hr` is the projection of Sak, Senior & Beaufays (2014).

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html, "Variables".
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lstm_jax.files import write_bytes
from lstm_jax.interop.weights import (
    DirectionParams,
    Layer,
    checked,
    copied,
    layers_of,
    lstm_params,
    one_line,
    summed,
)
from lstm_jax.lstm import Bidirectional
from lstm_jax.variants import VariantParams

FIRST = "weight_ih_l0"  # every nn.LSTM has it
SUFFIXES = ("", "_reverse")
OWNER = "a PyTorch LSTM"


def from_torch(arrays: Mapping[str, Any], prefix: str = "") -> tuple[Layer, ...]:
    """The layers of an `nn.LSTM`.

    Args:
        arrays: its state_dict, or that of a model which has it: names to whatever `numpy.asarray`
            takes, tensors on a CPU included (but PyTorch gives NumPy no bfloat16; a file does).
        prefix: what stands before the LSTM's own names, such as "lstm."; other names are ignored.

    Returns:
        The layers, the lowest first, each an `LSTMParams`, with a zero bias if there is none, or a
        `Bidirectional` of two. With proj_size they are `VariantParams`, for
        `lstm_jax.variants.Variant(projection_size=...)`.

    Raises:
        ValueError: if the names, shapes or dtypes are not those of an LSTM.
    """
    if prefix + FIRST not in arrays:
        prefixes = sorted(name.removesuffix(FIRST) for name in arrays if name.endswith(FIRST))
        raise ValueError(
            f"prefix must be what stands before {FIRST} among the names, one of {prefixes}, "
            f"got {prefix!r}"
        )
    own = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    own = checked(own, _shapes(own), OWNER)

    def direction(tail: str) -> DirectionParams:
        bias = None
        if f"bias_ih_{tail}" in own:
            bias = summed(own[f"bias_ih_{tail}"], own[f"bias_hh_{tail}"])
        params = lstm_params(own[f"weight_ih_{tail}"].T, own[f"weight_hh_{tail}"].T, bias)
        if f"weight_hr_{tail}" not in own:
            return params
        projection: Any = np.array(own[f"weight_hr_{tail}"].T, order="C")
        return VariantParams(*params, projection=projection)

    layers = [[direction(tail) for tail in tails] for tails in _tails(own)]
    return tuple(Bidirectional(*each) if len(each) == 2 else each[0] for each in layers)


def to_torch(
    layers: Sequence[Layer], prefix: str = "", *, bias: bool = True
) -> dict[str, np.ndarray]:
    """Layers as the state_dict of an `nn.LSTM`.

    Args:
        layers: as `from_torch` returns them.
        prefix: put before each name.
        bias: whether that LSTM has biases: ours becomes bias_ih, and bias_hh is zero.

    Returns:
        Names to arrays, each a copy; `torch.from_numpy` makes tensors of them.

    Raises:
        ValueError: if an `nn.LSTM` cannot have these weights: layers of different kinds or sizes,
            or more than a projection beside the LSTM's own, or without the bias that they have.
    """
    arrays = {}
    for n, each in enumerate(layers_of(layers)):
        for suffix, params in zip(SUFFIXES, each, strict=False):
            ours, tail = copied(params, bias=bias), f"l{n}{suffix}"
            kernels = {"ih": "input_kernel", "hh": "recurrent_kernel", "hr": "projection"}
            for name, kernel in kernels.items():
                if kernel in ours:
                    arrays[f"weight_{name}_{tail}"] = np.ascontiguousarray(ours[kernel].T)
            if bias:
                arrays[f"bias_ih_{tail}"] = ours["bias"]
                arrays[f"bias_hh_{tail}"] = np.zeros_like(ours["bias"])
    arrays = checked(arrays, _shapes(arrays), OWNER)
    return {prefix + name: array for name, array in arrays.items()}


def read_safetensors(path: str | Path, prefix: str = "") -> tuple[Layer, ...]:
    """The layers of an `nn.LSTM` from a file: `from_torch` of what it holds.

    Raises:
        ValueError: as `from_torch`, if the file is damaged, or if it is of a kind whose reading
            runs code.
        OSError: if it cannot be read.
    """
    path = _checked_path(path)
    from safetensors.numpy import load_file  # of the extra `interop`; only files need it

    try:
        arrays = load_file(path)
    except OSError:
        raise
    except Exception as error:  # a SafetensorError, or what NumPy raises for its dtypes
        raise ValueError(f"{path}: not a whole safetensors file: {one_line(error)}") from error
    try:
        return from_torch(arrays, prefix)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_safetensors(
    path: str | Path, layers: Sequence[Layer], prefix: str = "", *, bias: bool = True
) -> None:
    """Writes layers to a file of their own: `to_torch`, for `safetensors.torch.load_file`.

    The file is written whole or not at all.

    Raises:
        ValueError: as `to_torch`, or if the file's name does not end in .safetensors.
    """
    path = _checked_path(path)
    from safetensors.numpy import save  # as above

    write_bytes(path, save(to_torch(layers, prefix, bias=bias)))


def _checked_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix == ".safetensors":
        return path
    raise ValueError(
        f"path must end in .safetensors, got {str(path)!r}. PyTorch's own files are pickles, and "
        "reading a pickle can run code that stands in it. If you trust the file, convert it:\n"
        "import torch, safetensors.torch\n"
        f"safetensors.torch.save_file(torch.load({str(path)!r}, weights_only=True), "
        f"{str(path.with_suffix('.safetensors'))!r})"
    )


def _tails(names: Collection[str]) -> list[list[str]]:
    """How the names of each layer end, for each of its directions."""
    layers = {number for name in names for number in re.findall(r"_l(\d+)", name)}
    both = any(name.endswith(SUFFIXES[1]) for name in names)
    return [[f"l{n}{suffix}" for suffix in SUFFIXES[: 1 + both]] for n in range(len(layers))]


def _shapes(names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """All names of the LSTM that has these, with their axes as for `checked`."""
    biased = any(name.startswith("bias_") for name in names)
    projected = any(name.startswith("weight_hr_") for name in names)
    output = "R" if projected else "H"
    shapes: dict[str, tuple[str, ...]] = {}
    for n, tails in enumerate(_tails(names)):
        for tail in tails:
            shapes[f"weight_ih_{tail}"] = ("4H", f"{len(tails)}{output}" if n else "D")
            shapes[f"weight_hh_{tail}"] = ("4H", output)
            if projected:
                shapes[f"weight_hr_{tail}"] = ("R", "H")
            if biased:
                shapes |= {f"bias_ih_{tail}": ("4H",), f"bias_hh_{tail}": ("4H",)}
    return shapes
