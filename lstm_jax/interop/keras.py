"""The weights of Keras 3's `LSTM` and `Bidirectional(LSTM)`, as `get_weights` lists them.

Its gates i, f, c, o are our i, f, g, o, and its kernels lie as ours do. The weights do not say
which activations the layer has: ours are its defaults, tanh and sigmoid. The backward layer of
`Bidirectional` flips what it reads, and Keras its outputs: they then stand as ours do.

Source: https://keras.io/api/layers/recurrent_layers/lstm; `keras.layers.LSTMCell.build`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lstm_jax.interop.weights import OURS, Layer, checked, copied, directions, lstm_params
from lstm_jax.lstm import Bidirectional


def from_keras(weights: Sequence[Any]) -> Layer:
    """The weights of one Keras layer as ours.

    Two stacked layers of H units that read H features have the shapes of a `Bidirectional` layer,
    and nothing in their weights tells them apart: give the layers of a model one by one.

    Args:
        weights: kernel [D, 4H], recurrent kernel [H, 4H] and, with use_bias, bias [4H]; of
            `Bidirectional` those of the forward layer, then those of the backward one.

    Returns:
        `LSTMParams`, with a zero bias if there is none, or a `Bidirectional` of two.

    Raises:
        ValueError: if the number of weights, a shape or a dtype is wrong.
    """
    if len(weights) not in (2, 3, 4, 6):
        raise ValueError(
            "weights must be 2 or 3 arrays of an LSTM, without or with bias, or the 4 or 6 of a "
            f"Bidirectional LSTM, got {len(weights)}"
        )
    if len(weights) > 3:
        half = len(weights) // 2
        shapes = [[np.shape(array) for array in each] for each in (weights[:half], weights[half:])]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "weights must be of one layer, and the directions of a Bidirectional LSTM have the "
                f"same shapes, got {shapes[0]} and {shapes[1]}; give layers that are stacked one "
                "by one"
            )
        return Bidirectional(from_keras(weights[:half]), from_keras(weights[half:]))
    shapes = dict(list(OURS.items())[: len(weights)])
    arrays = dict(zip(shapes, weights, strict=True))
    return lstm_params(**checked(arrays, shapes, "a Keras LSTM"))


def to_keras(layer: Layer, *, bias: bool = True) -> list[np.ndarray]:
    """Our weights as the list that `set_weights` of one Keras layer takes.

    Args:
        layer: `LSTMParams`, or a `Bidirectional` of two.
        bias: the layer's use_bias.

    Returns:
        As `from_keras` takes them, each a copy.

    Raises:
        ValueError: if the weights are of another kind, their shapes do not fit, or `bias` is False
            for a bias that is not zero.
    """
    return [array for params in directions(layer) for array in copied(params, bias=bias).values()]
