"""What is trained on sequences of numbers: a network for classes and one for forecasts."""

from collections.abc import Sequence
from itertools import pairwise

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float
from numpy.typing import NDArray

from lstm_jax.models.config import ModelConfig
from lstm_jax.models.encoder import lstm_stack
from lstm_jax.nn.dropout import Dropout
from lstm_jax.nn.pooling import Pool
from lstm_jax.recurrence import zero_padding
from lstm_jax.shapes import Inputs, Lengths, Logits


class SequenceNetwork(nn.Module):
    """Sequences to logits: convolutions, if any, LSTMs, pooling, a dense layer.

    Attributes:
        config: the LSTMs, the pooling and the dropout before the last layer; what it says of words
            is not used.
        outputs: C, the number of logits.
        convolutions: the width in steps of each convolution below the LSTMs; each has as many
            filters as the LSTMs have hidden units, keeps the number of steps, and is normalised
            over its filters and rectified.
    """

    config: ModelConfig
    outputs: int
    convolutions: tuple[int, ...] = ()

    def setup(self) -> None:
        filters = self.config.hidden_size
        self.convolution = [nn.Conv(filters, (width,)) for width in self.convolutions]
        self.normalisation = [nn.LayerNorm() for _ in self.convolutions]
        self.stack = lstm_stack(self.config)
        self.pooling = Pool(self.config.pooling)
        self.output_dropout = Dropout(self.config.output_dropout)
        self.head = nn.Dense(self.outputs)

    def __call__(self, inputs: Inputs, lengths: Lengths, *, train: bool = False) -> Logits:
        """Sequences [B, T, D] and lengths [B] to logits [B, C]."""
        inputs = zero_padding(inputs, lengths)  # a convolution would see it
        for convolve, normalise in zip(self.convolution, self.normalisation, strict=True):
            inputs = zero_padding(jax.nn.relu(normalise(convolve(inputs))), lengths)
        features = self.pooling(self.stack(inputs, lengths, train=train), lengths)
        return self.head(self.output_dropout(features, train=train))


class ForecastNetwork(nn.Module):
    """Windows of a series to quantiles of what follows.

    The LSTMs' last output and, beside it, the whole window go through a dense layer each; their sum
    is what comes out. The second is a linear autoregression, which few windows suffice to learn.

    Attributes:
        config: the LSTMs, and the dropout before the dense layer.
        horizon: H, the steps that are forecast.
        channels: D, the series that are forecast together.
        quantiles: K probabilities, increasing, 0.5 among them.

    Source: Lai et al. (2018), "Modeling Long- and Short-Term Temporal Patterns with Deep Neural
        Networks", section 3.6, for the linear part; Wen et al. (2017), "A Multi-Horizon Quantile
        Recurrent Forecaster", for all horizons and quantiles at once.
    """

    config: ModelConfig
    horizon: int
    channels: int
    quantiles: tuple[float, ...]

    def setup(self) -> None:
        outputs = self.horizon * self.channels * len(self.quantiles)
        self.stack = lstm_stack(self.config)
        self.output_dropout = Dropout(self.config.output_dropout)
        self.head = nn.Dense(outputs)
        self.linear = nn.Dense(outputs, kernel_init=nn.initializers.zeros)

    def __call__(
        self, windows: Float[Array, "B L F"], *, train: bool = False
    ) -> Float[Array, "B H D K"]:
        """Windows [B, L, F], as `lstm_jax.sequences.windows` makes them, to quantiles."""
        features = self.output_dropout(self.stack(windows, train=train).last, train=train)
        raw = self.head(features) + self.linear(windows.reshape(len(windows), -1))
        raw = raw.reshape(-1, self.horizon, self.channels, len(self.quantiles))
        distances = jnp.where(self.is_median, raw, jax.nn.softplus(raw))
        return distances @ jnp.asarray(spreading(self.is_median), distances.dtype)

    @property
    def is_median(self) -> NDArray[np.bool_]:
        """[K], which quantile is the median."""
        return np.array(self.quantiles) == 0.5


def spreading(is_median: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The matrix [K, K] from the median and the distances between quantiles to quantiles.

    Those above the median are it plus the distances up to them, those below it minus them: with
    distances of 0 and above, quantiles never cross.
    """
    middle = int(is_median.argmax())
    rows, columns = np.indices((len(is_median), len(is_median)))
    above = (middle < rows) & (rows <= columns)
    below = (columns <= rows) & (rows < middle)
    return (above * 1.0 - below * 1.0 + (rows == middle)).astype(np.float32)


def check_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """The quantiles as a tuple.

    Raises:
        ValueError: if they are not increasing probabilities with 0.5 among them.
    """
    values = tuple(float(each) for each in quantiles)
    increasing = all(low < high for low, high in pairwise(values))
    if not increasing or 0.5 not in values or not 0 < values[0] <= values[-1] < 1:
        raise ValueError(
            f"quantiles must be increasing, between 0 and 1, 0.5 among them, got {quantiles}"
        )
    return values


def check_convolutions(widths: Sequence[int]) -> tuple[int, ...]:
    """The widths of convolutions as a tuple.

    Raises:
        ValueError: if they are not whole numbers of 1 and above.
    """
    whole = not isinstance(widths, str) and isinstance(widths, Sequence)
    if not whole or not all(isinstance(each, int) and each >= 1 for each in widths):
        raise ValueError(f"convolutions must be widths of at least 1, got {widths!r}")
    return tuple(widths)
