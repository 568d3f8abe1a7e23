"""A forecaster of series of numbers, which says how sure it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from lstm_jax.machine import refuse_after_fork
from lstm_jax.models.config import ModelConfig
from lstm_jax.models.sequences import ForecastNetwork, check_quantiles
from lstm_jax.scikit import seed_of
from lstm_jax.sequences import folder
from lstm_jax.sequences.arrays import Series, as_series, check_observed
from lstm_jax.sequences.batches import Examples
from lstm_jax.sequences.losses import Pinball
from lstm_jax.sequences.training import Training, predict, train, validation_fraction
from lstm_jax.sequences.windows import Windows, usual_scale
from lstm_jax.shapes import Params

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


class SequenceForecaster(BaseEstimator):
    """Forecasts the next steps of a series by an LSTM: a median, and quantiles around it.

    y is one series, [T] or [T, D], or a list of such series, which one model learns together. NaN
    is a missing value. The D channels of a series are forecast together. All steps of the horizon
    and all quantiles come out at once, and quantiles never cross. `lstm_jax.sequences.windows` says
    how a window is scaled.

    Args:
        horizon: H, the steps that are forecast.
        season: steps after which the series repeats itself, such as 12 for months; 1 for none.
        context: steps that a forecast is made from, rounded up to whole seasons; None for the
            longest of two seasons, two horizons and 16 steps.
        quantiles: probabilities, increasing, 0.5 among them.
        hidden_size: units of the LSTM.
        layers: LSTM layers.
        layer_dropout, output_dropout: probabilities, between LSTM layers and before the last layer.
        learning_rate: Adam's, at the start; it falls to zero along a cosine.
        weight_decay: as in AdamW.
        epochs: passes over the training windows, at most.
        batch_size: windows of one step.
        patience: epochs without a lower validation loss after which training ends; None for a
            quarter of the epochs, 0 for never.
        validation_fraction: share, in [0, 1), of each series' end that is set aside to choose the
            epoch with the lowest loss; then the newest steps are not learnt from.
        random_state: a whole number for the same result each time, a NumPy RandomState, or None.
        verbose: print the loss of each epoch.

    Attributes:
        windows_: how series are cut and scaled.
        params_: the weights, NumPy arrays.
        history_: the loss of each epoch, and the validation loss.
        recent_: the newest steps [L, D] of each series, from which `predict` forecasts.
    """

    windows_: Windows
    params_: Params
    history_: dict[str, list[float]]
    recent_: list[Series]

    def __init__(
        self,
        *,
        horizon: int = 12,
        season: int = 1,
        context: int | None = None,
        quantiles: Sequence[float] = QUANTILES,
        hidden_size: int = 32,
        layers: int = 1,
        layer_dropout: float = 0.0,
        output_dropout: float = 0.5,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        epochs: int = 30,
        batch_size: int = 32,
        patience: int | None = None,
        validation_fraction: float = 0.0,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.horizon = horizon
        self.season = season
        self.context = context
        self.quantiles = quantiles
        self.hidden_size = hidden_size
        self.layers = layers
        self.layer_dropout = layer_dropout
        self.output_dropout = output_dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, y: Any) -> Self:
        """Trains on one series or several.

        Args:
            y: [T] or [T, D], or a list of such arrays; at least season + horizon + 1 steps in one.

        Returns:
            The estimator itself.

        Raises:
            ValueError: in one line, if an argument or a parameter is not as described.
            FloatingPointError: if training diverges.
        """
        refuse_after_fork()
        series, many = as_many(y)
        check_observed(series, "y")
        windows = self._windows(series)
        settings = Training(
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            batch_size=self.batch_size,
            patience=self.patience,
            weight_decay=self.weight_decay,
            seed=seed_of(self.random_state),
            verbose=self.verbose,
        )
        needed, longest = windows.season + windows.horizon + 1, max(map(len, series))
        if longest < needed:
            raise ValueError(
                f"y must have at least season + horizon + 1 = {needed} steps, got {longest}"
            )
        origins = [windows.origins(each) for each in series]
        if not any(len(each) for each in origins):
            raise ValueError("y must have values behind a season of values, got too many NaN")
        fraction = validation_fraction(self.validation_fraction, sum(map(len, origins)))
        learnt, measured = [], []
        for each, places in zip(series, origins, strict=True):
            end = len(each) - round(fraction * len(each))
            held = fraction > 0
            learnt.append(places[places + windows.horizon <= end] if held else places)
            measured.append(places[places >= end] if held else places[:0])
        if not any(map(len, learnt)):
            raise ValueError(
                f"validation_fraction must leave windows to learn from, got {fraction}"
            )
        loss = self._loss(windows, series[0].shape[1])
        examples = [_examples(windows, series, places) for places in (learnt, measured)]
        self.params_, self.history_ = train(loss, settings, *examples)
        self.windows_, self.loss_ = windows, loss
        self.recent_, self.many_ = [windows.cut(each) for each in series], many
        self.one_channel_ = np.ndim(y[0] if many else y) == 1
        return self

    def update(self, y: Any) -> Self:
        """Takes in new observations, without training: `predict` then forecasts what follows them.

        Args:
            y: the steps after those known so far, in the form that `fit` was given.
        """
        check_is_fitted(self)
        new, _ = as_many(y, self.loss_.network.channels)
        if len(new) != len(self.recent_):
            raise ValueError(f"y must be of {len(self.recent_)} series, got {len(new)}")
        both = zip(self.recent_, new, strict=True)
        self.recent_ = [self.windows_.cut(np.concatenate(parts)) for parts in both]
        return self

    def predict(self, y: Any = None, fh: Any = None) -> Any:
        """The median of the steps that follow.

        Args:
            y: a series up to now, or a list of series, with as many channels as in training; None
                for those that were fitted, with what `update` added.
            fh: which steps, from 1 to the horizon: one, or several; None for all.

        Returns:
            [H], or [H, D] if `fit` was given series [T, D]; a list of such for a list.

        Raises:
            ValueError: if an argument is not as described.
        """
        middle = check_quantiles(self.quantiles).index(0.5)
        found = self.predict_quantiles(y, fh)
        if isinstance(found, list):
            return [each[..., middle] for each in found]
        return found[..., middle]

    def predict_quantiles(self, y: Any = None, fh: Any = None) -> Any:
        """The quantiles of the steps that follow, in the order of `quantiles`.

        Args:
            y, fh: as for `predict`.

        Returns:
            [H, K], or [H, D, K] if `fit` was given series [T, D]; a list of such for a list. They
            increase along the last axis.

        Raises:
            ValueError: if an argument is not as described.
        """
        check_is_fitted(self)
        refuse_after_fork()
        steps = self._steps(fh)
        windows, many = self.recent_, self.many_
        if y is not None:
            series, many = as_many(y, self.loss_.network.channels)
            for number, each in enumerate(series):
                check_observed([each], f"y[{number}]" if many else "y")
            windows = [self.windows_.cut(each) for each in series]
        prepared = self.windows_.prepare(windows)
        unknown = np.zeros((len(windows), 1, 1), np.float32)
        output = predict(self.loss_, self.params_, Examples(prepared.features, unknown))
        quantiles = prepared.restore(output)[:, steps - 1]
        if self.one_channel_:
            quantiles = quantiles[:, :, 0]
        return list(quantiles) if many else quantiles[0]

    def save(self, path: str | Path) -> None:
        """Writes the fitted forecaster, with the newest steps, into a new folder; `load` opens it.

        Raises:
            ValueError: if there is something at `path`.
        """
        check_is_fitted(self)
        description = {
            "settings": folder.settings_to_json(self.get_params()),
            "windows": vars(self.windows_),
            "channels": self.loss_.network.channels,
            "one_channel": self.one_channel_,
            "many": self.many_,
            "history": self.history_,
            "recent": [folder.values_to_json(each) for each in self.recent_],
        }
        folder.save(path, type(self).__name__, description, self.params_)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Opens what `save` wrote.

        Raises:
            ValueError: naming the file, if it is missing, damaged, or no forecaster's.
        """
        refuse_after_fork()
        description = folder.describe(path, cls.__name__)
        estimator = cls(**folder.settings_from_json(description["settings"]))
        estimator.windows_ = Windows(**description["windows"])
        estimator.one_channel_, estimator.many_ = description["one_channel"], description["many"]
        estimator.history_ = description["history"]
        estimator.loss_ = estimator._loss(estimator.windows_, description["channels"])
        estimator.params_ = folder.read_weights(path, estimator.loss_.initial)
        estimator.recent_ = [np.array(each, np.float64) for each in description["recent"]]
        return estimator

    def _windows(self, series: Sequence[Series]) -> Windows:
        windows = Windows(16, self.horizon, self.season)  # which checks the numbers
        context = self.context
        if context is None:
            context = max(2 * windows.season, 2 * windows.horizon, 16)
        context = Windows(context, 1, 1).context
        seasons = max(-(-context // windows.season), 2)
        fallback = usual_scale(series, windows.season)
        return Windows(seasons * windows.season, windows.horizon, windows.season, fallback)

    def _loss(self, windows: Windows, channels: int) -> Pinball:
        config = ModelConfig(
            hidden_size=self.hidden_size,
            layers=self.layers,
            direction="forward",
            layer_dropout=self.layer_dropout,
            output_dropout=self.output_dropout,
        )
        quantiles = check_quantiles(self.quantiles)
        network = ForecastNetwork(config, windows.horizon, channels, quantiles)
        return Pinball(network, (windows.context, 3 * channels))

    def _steps(self, fh: Any) -> NDArray[np.int64]:
        horizon = self.windows_.horizon
        steps = np.arange(1, horizon + 1) if fh is None else np.atleast_1d(np.asarray(fh))
        whole = steps.ndim == 1 and len(steps) > 0 and steps.dtype.kind in "iu"
        if not whole or steps.min() < 1 or steps.max() > horizon:
            raise ValueError(f"fh must be steps from 1 to the horizon, {horizon}, got {fh!r}")
        return steps.astype(np.int64)


def as_many(y: Any, channels: int | None = None) -> tuple[list[Series], bool]:
    """One series or a list of series as a list, and whether it was a list.

    Raises:
        ValueError: as `as_series`, or if there are none, or their channels are not as many.
    """
    if isinstance(y, list | tuple) and (len(y) == 0 or np.ndim(y[0]) > 0):
        if not y:
            raise ValueError("y must be a series or a list of series, got an empty list")
        series: list[Series] = []
        for number, each in enumerate(y):
            known = series[0].shape[1] if series else channels
            series.append(as_series(each, f"y[{number}]", known))
        return series, True
    return [as_series(y, "y", channels)], False


def _examples(
    windows: Windows, series: Sequence[Series], places: Sequence[NDArray[np.int64]]
) -> Examples:
    """Windows at some places of each series, and what follows them, in their scale."""
    pairs = [(each, int(o)) for each, origins in zip(series, places, strict=True) for o in origins]
    if not pairs:
        return Examples([], np.zeros((0, windows.horizon, series[0].shape[1]), np.float32))
    prepared = windows.prepare([windows.cut(each, origin) for each, origin in pairs])
    after = np.stack([windows.targets(each, origin) for each, origin in pairs])
    targets = (after - prepared.naive) / prepared.scale[:, None]
    return Examples(prepared.features, targets.astype(np.float32))
