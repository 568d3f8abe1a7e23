"""The weights of Flax modules: Linen's LSTM cells, and our own `LSTMStack`.

`LSTMCell` and `OptimizedLSTMCell` have the same parameters. Gates stand in our order, each with
kernels of its own: "ii" to "io" for the inputs, "hi" to "ho", which have the biases, for the
hidden state.

Source: `flax.linen.LSTMCell`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from lstm_jax.cell import LSTMParams
from lstm_jax.interop.weights import (
    OURS,
    DirectionParams,
    Layer,
    checked,
    copied,
    directions,
    layers_of,
    lstm_params,
)
from lstm_jax.lstm import Bidirectional
from lstm_jax.variants import VariantParams

GATES = "ifgo"
BOTH = ("forward_rnn", "backward_rnn")  # what `nn.Bidirectional` calls its two
SHAPES = {
    **{f"i{gate}/kernel": ("D", "H") for gate in GATES},
    **{f"h{gate}/kernel": ("H", "H") for gate in GATES},
    **{f"h{gate}/bias": ("H",) for gate in GATES},
}


def from_flax(params: Mapping[str, Any]) -> Layer:
    """The parameters of a Flax LSTM as ours.

    Args:
        params: {"ii": {"kernel": [D, H]}, ..., "hi": {"kernel": [H, H], "bias": [H]}, ...} of a
            cell; {"cell": ...} of an `nn.RNN` of it; or {"forward_rnn": ..., "backward_rnn": ...}
            of an `nn.Bidirectional` of two of those.

    Returns:
        `LSTMParams`, or a `Bidirectional` of two.

    Raises:
        ValueError: if names, shapes or dtypes are not those of such a cell.
    """
    if set(params) == set(BOTH):
        return Bidirectional(*(from_flax(params[name]) for name in BOTH))
    if set(params) == {"cell"}:
        params = params["cell"]
    cell = checked(flatten_dict(dict(params), sep="/"), SHAPES, "a Flax LSTM cell")

    def gates(names: str) -> np.ndarray:
        return np.concatenate([cell[names.format(gate)] for gate in GATES], axis=-1)

    return lstm_params(gates("i{}/kernel"), gates("h{}/kernel"), gates("h{}/bias"))


def to_flax(layer: Layer) -> dict[str, Any]:
    """Our weights as the parameters of a Flax LSTM.

    Args:
        layer: `LSTMParams`, or a `Bidirectional` of two.

    Returns:
        Those of a cell, to be put in {"cell": ...} for `nn.RNN`, or of an `nn.Bidirectional` of
        two `nn.RNN`s; each array a copy.

    Raises:
        ValueError: if the weights are of another kind, or their shapes do not fit.
    """
    cells = [_cell(params) for params in directions(layer)]
    if len(cells) == 1:
        return cells[0]
    return {name: {"cell": cell} for name, cell in zip(BOTH, cells, strict=True)}


def stack_params(layers: Sequence[Layer]) -> dict[str, Any]:
    """Layers as the parameters of a `lstm_jax.nn.stack.LSTMStack` that reads forward or both ways.

    Args:
        layers: the lowest first; of `VariantParams` for a stack with a `cell` such as
            `lstm_jax.variants.Variant(projection_size=...)`.

    Returns:
        {"layer_0": {"forward": {"input_kernel": ..., ...}, "backward": ...}, ...}, each array a
        copy.

    Raises:
        ValueError: if the layers are no tuple of layers, or their shapes do not fit.
    """

    def own(params: DirectionParams) -> Any:
        arrays: Any = copied(params, bias=True)
        return VariantParams(**arrays) if isinstance(params, VariantParams) else arrays

    return {
        f"layer_{n}": dict(zip(Bidirectional._fields, map(own, each), strict=False))
        for n, each in enumerate(layers_of(layers))
    }


def stack_layers(params: Mapping[str, Any]) -> tuple[Layer, ...]:
    """The parameters of a `lstm_jax.nn.stack.LSTMStack` as layers: `stack_params` undone.

    Raises:
        ValueError: if names or shapes are not those of such a stack, its cell has more than a
            projection beside the LSTM's own, or it only reads backward, which no other framework's
            weights can say.
    """

    def own(params: Any, name: str) -> DirectionParams:
        if isinstance(params, VariantParams):
            arrays: Any = copied(params, bias=True)
            return VariantParams(**arrays)
        return lstm_params(**checked(params, OURS, name))

    names = [f"layer_{n}" for n in range(len(params))]
    if not names or set(params) != set(names):
        raise ValueError(f"params must have layer_0, layer_1, ..., got {sorted(params)}")
    layers = []
    for name in names:
        each = params[name]
        if set(each) not in ({"forward"}, set(Bidirectional._fields)):
            raise ValueError(
                f"{name} must have forward, or forward and backward, got {sorted(each)}"
            )
        both = [own(each[d], f"{name}.{d}") for d in Bidirectional._fields if d in each]
        layers.append(Bidirectional(*both) if len(both) == 2 else both[0])
    return tuple(layers)


def _cell(params: LSTMParams) -> dict[str, Any]:
    groups = ("i{}/kernel", "h{}/kernel", "h{}/bias")
    flat = {
        names.format(gate): part
        for names, array in zip(groups, copied(params, bias=True).values(), strict=True)
        for gate, part in zip(GATES, np.split(array, len(GATES), axis=-1), strict=True)
    }
    return unflatten_dict(flat, sep="/")
