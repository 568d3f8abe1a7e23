"""What `experiments.sequences` is compared with: models of aeon and statsmodels."""

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from experiments.sequences_data import Forecasting, Labelled, needed

Values = NDArray[np.float64]


def dtw(data: Labelled) -> float:
    """The accuracy of the nearest neighbour by dynamic time warping, without a window."""
    module = needed("aeon.classification.distance_based")
    model = module.KNeighborsTimeSeriesClassifier(n_neighbors=1, distance="dtw")
    return _accuracy(model, data)


def minirocket(data: Labelled, seed: int) -> float:
    """The accuracy of MiniRocket: 10,000 fixed convolutions and a linear classifier.

    Source: Dempster, Schmidt & Webb (2021), "MiniRocket".
    """
    module = needed("aeon.classification.convolution_based")
    return _accuracy(module.MiniRocketClassifier(random_state=seed), data)


def _accuracy(model: Any, data: Labelled) -> float:
    train, test = ([each.T for each in part] for part in (data.train, data.test))
    if len({each.shape for each in train + test}) == 1:
        train, test = np.stack(train), np.stack(test)
    model.fit(train, data.train_labels)
    return float((model.predict(test) == data.test_labels).mean())


def seasonal_naive(data: Forecasting, quantiles: Sequence[float]) -> list[Values]:
    """What was a season before, with normal errors as large as they were so far: [H, K] each.

    Source: Hyndman & Athanasopoulos, "Forecasting: Principles and Practice", section 5.5.
    """
    found = []
    for origin in data.origins:
        known = filled(data.values[:origin])
        error = float(np.std(known[data.season :] - known[: -data.season]))
        steps = np.arange(data.horizon)
        median = known[origin - data.season + steps % data.season]
        spread = error * np.sqrt(steps // data.season + 1)
        found.append(_normal(median, spread, quantiles))
    return found


def ets(data: Forecasting, quantiles: Sequence[float]) -> list[Values]:
    """Exponential smoothing, errors and seasons added, the trend by AIC; fitted at each origin."""
    module = needed("statsmodels.tsa.exponential_smoothing.ets")
    pandas, found = needed("pandas"), []
    for origin in data.origins:
        known = pandas.Series(filled(data.values[:origin]))
        fits = []
        for trend, damped in ((None, False), ("add", False), ("add", True)):
            options = {"trend": trend, "damped_trend": damped, "seasonal": "add"}
            model = module.ETSModel(known, seasonal_periods=data.season, **options)
            fits.append(_quiet(model.fit, disp=False))
        best = min(fits, key=lambda fit: fit.aic)
        prediction = best.get_prediction(start=origin, end=origin + data.horizon - 1)
        spread = np.sqrt(np.asarray(prediction.forecast_variance))
        found.append(_normal(np.asarray(prediction.predicted_mean), spread, quantiles))
    return found


def arima(data: Forecasting, quantiles: Sequence[float]) -> tuple[list[Values], str]:
    """ARIMA, its orders by AIC before the first origin, fitted again at each origin.

    Monthly series have a seasonal part (0, 1, 1); the Dickey-Fuller test decides whether they are
    differenced once more.

    Returns:
        The quantiles [H, K] at each origin, and the orders.
    """
    known = data.values[: data.origins[0]]
    monthly = data.season == 12
    seasonal = (0, 1, 1, data.season) if monthly else (0, 0, 0, 0)
    level = filled(known)
    if monthly:
        level = level[data.season :] - level[: -data.season]
    test = needed("statsmodels.tsa.stattools").adfuller(level)
    orders = itertools.product(
        (0, 1, 2) if monthly else (1, 2, 3, 9), (int(test[1] > 0.05),), (0, 1, 2)
    )
    fits = {order: _arima(known, order, seasonal) for order in orders}
    best = min(fits, key=lambda order: fits[order].aic)
    found = []
    for origin in data.origins:
        fit = _arima(data.values[:origin], best, seasonal, fits[best].params)
        forecast = fit.get_forecast(data.horizon)
        spread = np.asarray(forecast.se_mean)
        found.append(_normal(np.asarray(forecast.predicted_mean), spread, quantiles))
    return found, f"{best} {seasonal}" if monthly else f"{best}"


def _arima(known: Values, order: Any, seasonal: Any, start: Any = None) -> Any:
    module = needed("statsmodels.tsa.arima.model")
    trend = "c" if order[1] + seasonal[1] == 0 else "n"
    model = module.ARIMA(known, order=order, seasonal_order=seasonal, trend=trend)
    return _quiet(model.fit, start_params=start)


def _quiet(fit: Any, **options: Any) -> Any:
    """Fits without its warnings of convergence, which AIC weighs by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(**options)


def _normal(mean: Values, spread: NDArray[np.floating], quantiles: Sequence[float]) -> Values:
    return mean[:, None] + spread[:, None] * norm.ppf(quantiles)


def filled(values: Values) -> Values:
    """Missing values on straight lines between those that there are."""
    there = np.flatnonzero(np.isfinite(values))
    return np.interp(np.arange(len(values)), there, values[there])
