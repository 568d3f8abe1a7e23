"""LSTM layers, one on the other."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from lstm_jax.nn.dropout import Dropout
from lstm_jax.nn.layer import Encoding, LSTMLayer
from lstm_jax.shapes import Inputs, Lengths


class LSTMStack(nn.Module):
    """LSTM layers, each reading the outputs of the one below.

    Example:
        >>> from functools import partial
        >>> from lstm_jax.nn import LSTMLayer, LSTMStack
        >>> stack = LSTMStack(2, partial(LSTMLayer, 64, "bidirectional"), dropout=0.5)

    Attributes:
        layers: how many, at least 1.
        layer: makes one of them when called with `name=`.
        dropout: probability in [0, 1) that a feature between two layers is dropped in training.
    """

    layers: int
    layer: Callable[..., LSTMLayer]
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        inputs: Inputs,
        lengths: Lengths | None = None,
        initial_state: Any = None,
        train: bool = False,
    ) -> Encoding:
        """Runs all layers; as `LSTMLayer`, with a tuple of states, one for each layer."""
        if self.layers < 1:
            raise ValueError(f"layers must be at least 1, got {self.layers}")
        states = (None,) * self.layers if initial_state is None else initial_state
        encodings: list[Encoding] = []
        for number, state in enumerate(states):
            if encodings:
                inputs = Dropout(self.dropout)(encodings[-1].outputs, train=train)
            layer = self.layer(name=f"layer_{number}")
            encodings.append(layer(inputs, lengths, state, train))
        return encodings[-1]._replace(state=tuple(each.state for each in encodings))
