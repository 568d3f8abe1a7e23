"""What is trained on sequences of numbers: a network for classes and one for forecasts."""

from collections.abc import Sequence

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
            filters as the LSTMs have hidden units, and keeps the number of steps.
    """

    config: ModelConfig
    outputs: int
    convolutions: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, inputs: Inputs, lengths: Lengths, *, train: bool = False) -> Logits:
        """Sequences [B, T, D], padding zero, and lengths [B] to logits [B, C]."""
        for number, width in enumerate(self.convolutions):
            inputs = _convolved(inputs, lengths, self.config.hidden_size, width, number)
        encoding = lstm_stack(self.config)(inputs, lengths, train=train)
        features = Pool(self.config.pooling)(encoding, lengths)
        features = Dropout(self.config.output_dropout)(features, train=train)
        return nn.Dense(self.outputs, name="head")(features)


def _convolved(inputs: Array, lengths: Array, filters: int, width: int, number: int) -> Array:
    """One convolution, normalised over its filters and rectified; zero in the padding."""
    conv = nn.Conv(filters, (width,), padding="SAME", name=f"convolution_{number}")
    normed = nn.LayerNorm(name=f"normalisation_{number}")(conv(inputs))
    return zero_padding(jax.nn.relu(normed), lengths)


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

    @nn.compact
    def __call__(
        self, windows: Float[Array, "B L F"], *, train: bool = False
    ) -> Float[Array, "B H D K"]:
        """Windows [B, L, F], as `lstm_jax.sequences.windows` makes them, to quantiles."""
        outputs = self.horizon * self.channels * len(self.quantiles)
        features = lstm_stack(self.config)(windows, train=train).last
        features = Dropout(self.config.output_dropout)(features, train=train)
        flat = windows.reshape(len(windows), -1)
        linear = nn.Dense(outputs, kernel_init=nn.initializers.zeros, name="linear")(flat)
        raw = nn.Dense(outputs, name="head")(features) + linear
        raw = raw.reshape(-1, self.horizon, self.channels, len(self.quantiles))
        middle = self.quantiles.index(0.5)
        is_median = jnp.arange(len(self.quantiles)) == middle
        steps = jnp.where(is_median, raw, jax.nn.softplus(raw))
        return steps @ jnp.asarray(spreading(len(self.quantiles), middle), steps.dtype)


def spreading(count: int, middle: int) -> NDArray[np.float32]:
    """The matrix [K, K] from the median and the distances between quantiles to quantiles.

    Those above the median are it plus the distances up to them, those below it minus them: with
    distances of 0 and above, quantiles never cross.
    """
    rows, columns = np.indices((count, count))
    above = (middle < rows) & (rows <= columns)
    below = (columns <= rows) & (rows < middle)
    return (above * 1.0 - below * 1.0 + (rows == middle)).astype(np.float32)


def check_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """The quantiles as a tuple.

    Raises:
        ValueError: if they are not increasing probabilities with 0.5 among them.
    """
    values = tuple(float(each) for each in quantiles)
    increasing = all(low < high for low, high in zip(values, values[1:], strict=False))
    if not increasing or 0.5 not in values or not 0 < values[0] <= values[-1] < 1:
        raise ValueError(
            f"quantiles must be increasing, between 0 and 1, 0.5 among them, got {quantiles}"
        )
    return values
