"""What a forecast is made from: a window of the newest steps, and how it is scaled.

A window has L steps of D series, a whole number of seasons of s steps. With the value v of a
channel, of all windows alike:

    level     its last value in the window
    naive     for each of the H next steps, the last value of that step's place in the season
    scale     the mean absolute change over a season, at least a hundredth of the mean absolute
              difference from the level; where both are 0, what training series had

    features  (v - level) / scale, (v - v a season before) / scale, and 1 where v is missing
    forecast  naive + scale * what the network gives

Features are 0 where a value is missing. The network thus sees the shape of a series alone, and
learns by how much it differs from the seasonal-naive forecast.

Source: Hyndman & Koehler (2006), "Another look at measures of forecast accuracy", for the scale.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_jax.checked import Size, checked
from lstm_jax.sequences.arrays import Series

LEAST = 0.01  # of the scale, in mean absolute differences from the level


class Prepared(NamedTuple):
    """What the network is given of N windows, and what turns its output into a forecast."""

    features: NDArray[np.float32]  # [N, L, 3 D]
    naive: NDArray[np.float64]  # [N, H, D]
    scale: NDArray[np.float64]  # [N, D]

    def restore(self, output: NDArray[np.floating]) -> NDArray[np.float64]:
        """What the network gives, [N, H, D, K], in the units of the series."""
        return self.naive[..., None] + self.scale[:, None, :, None] * output


@checked
class Windows:
    """How series are cut into windows, and windows scaled."""

    context: Size
    """L."""
    horizon: Size
    """H."""
    season: Size
    """s; 1 for none."""
    fallback: tuple[float, ...] = ()
    """The scale of a channel that does not change in a window."""

    def cut(self, series: Series, origin: int | None = None) -> Series:
        """The window [L, D] that ends before an origin, NaN before the series begins."""
        before = series[:origin][-self.context :]
        missing = np.full((self.context - len(before), series.shape[1]), np.nan)
        return np.concatenate([missing, before])

    def origins(self, series: Series) -> NDArray[np.int64]:
        """The steps of a series from which something can be learnt.

        At least a season and a step lie before each; something is observed there, in each channel,
        and in the horizon behind it.
        """
        observed = np.isfinite(series)
        first = [int(of.argmax()) for of in observed.T if of.any()]
        if len(first) < series.shape[1]:
            return np.zeros(0, np.int64)
        start = max(first) + self.season + 1
        known = np.concatenate([[0], observed.any(axis=1).cumsum()])
        places = np.arange(start, len(series))
        ends = np.minimum(places + self.horizon, len(series))
        return places[known[ends] > known[places]]

    def targets(self, series: Series, origin: int) -> Series:
        """The H steps [H, D] from an origin on, NaN behind the end."""
        after = series[origin : origin + self.horizon]
        missing = np.full((self.horizon - len(after), series.shape[1]), np.nan)
        return np.concatenate([after, missing])

    def prepare(self, windows: Sequence[Series] | NDArray[np.float64]) -> Prepared:
        """Windows [N, L, D] as the module says."""
        values = np.asarray(windows, np.float64)
        missing = np.isnan(values)
        level = last_observed(values, axis=1)
        level = np.where(np.isnan(level), 0, level)
        seasonal = np.full_like(values, np.nan)
        seasonal[:, self.season :] = values[:, self.season :] - values[:, : -self.season]
        scale = np.maximum(
            _mean_absolute(seasonal), LEAST * _mean_absolute(values - level[:, None])
        )
        scale = np.where(scale > 0, scale, np.array(self.fallback or 1.0))
        by_season = values.reshape(len(values), -1, self.season, values.shape[2])
        phases = last_observed(by_season, axis=1)
        phases = np.where(np.isnan(phases), level[:, None], phases)
        naive = phases[:, np.arange(self.horizon) % self.season]
        parts = (values - level[:, None]) / scale[:, None], seasonal / scale[:, None]
        features = [np.where(np.isnan(part), 0, part) for part in parts]
        features = np.concatenate([*features, missing], axis=2).astype(np.float32)
        return Prepared(features, naive, scale)


def usual_scale(series: Sequence[Series], season: int) -> tuple[float, ...]:
    """The mean absolute change of each channel over a season in some series; 1 if there is none."""
    changes = [np.abs(each[season:] - each[:-season]) for each in series]
    mean = _mean_absolute(np.concatenate(changes)[None])[0]
    return tuple(np.where(mean > 0, mean, 1.0).tolist())


def last_observed(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The last value along an axis that is not NaN; NaN where there is none."""
    count = values.shape[axis]
    places = np.arange(1, count + 1).reshape([-1 if n == axis else 1 for n in range(values.ndim)])
    last = np.where(np.isnan(values), 0, places).max(axis=axis, keepdims=True)
    found = np.take_along_axis(values, np.maximum(last - 1, 0), axis=axis)
    return found.squeeze(axis)


def _mean_absolute(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean absolute value over the second axis, of what is not NaN; 0 where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of means over nothing
        mean = np.nanmean(np.abs(values), axis=1)
    return np.where(np.isnan(mean), 0.0, mean)
