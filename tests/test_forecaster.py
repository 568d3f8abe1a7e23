"""The forecaster: its windows, what it learns, quantiles, missing values, folders."""

import pickle
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from lstm_jax.models.sequences import spreading
from lstm_jax.sequences import SequenceForecaster
from lstm_jax.sequences.windows import Windows, last_observed

TINY = {"horizon": 4, "season": 3, "hidden_size": 8, "epochs": 2, "random_state": 0}


def tiny(**parameters: Any) -> SequenceForecaster:
    return SequenceForecaster(**{**TINY, **parameters})


def waves(length: int, seed: int = 0) -> np.ndarray:
    """Two channels; some values are missing."""
    rng = np.random.default_rng(seed)
    values = np.stack([np.sin(np.arange(length)), 100 + np.cos(np.arange(length))], axis=1)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


@pytest.fixture(scope="module")
def fitted() -> SequenceForecaster:
    return tiny().fit(waves(60))


def test_a_noisy_wave_is_forecast_better_than_by_what_was_a_season_before():
    rng = np.random.default_rng(0)
    clean = np.sin(2 * np.pi * np.arange(500) / 12) + 0.5 * np.sin(2 * np.pi * np.arange(500) / 31)
    noisy = clean + rng.normal(0, 0.3, 500)
    forecaster = SequenceForecaster(horizon=12, season=12, epochs=15, random_state=0)
    forecaster.fit(noisy[:380])
    ours, naive = [], []
    for origin in range(380, 488, 12):
        true = clean[origin : origin + 12]
        ours.append(np.abs(forecaster.predict(noisy[:origin]) - true).mean())
        naive.append(np.abs(noisy[origin - 12 : origin] - true).mean())
    assert np.mean(ours) < 0.8 * np.mean(naive)


def test_quantiles_of_noise_have_their_shares():
    rng = np.random.default_rng(0)
    noise = rng.normal(50, 2, 1900)
    forecaster = SequenceForecaster(
        horizon=2,
        quantiles=(0.1, 0.5, 0.9),
        hidden_size=8,
        epochs=8,
        learning_rate=1e-2,
        random_state=0,
    )
    forecaster.fit(noise[:1600])
    found = np.stack(forecaster.predict_quantiles([noise[:o] for o in range(1600, 1898)]))
    true = np.stack([noise[o : o + 2] for o in range(1600, 1898)])
    shares = (true[..., None] <= found).mean(axis=(0, 1))
    np.testing.assert_allclose(shares, [0.1, 0.5, 0.9], atol=0.05)


def test_quantiles_never_cross():
    # Whatever the network gives: those of one that has hardly learnt, and of any distances.
    forecaster = tiny(epochs=1, horizon=3).fit(waves(40))
    found = forecaster.predict_quantiles()
    assert (np.diff(found, axis=-1) >= 0).all()
    for middle in range(4):
        distances = np.random.default_rng(middle).random((50, 4))
        distances[:, middle] -= 5
        quantiles = distances @ spreading(np.arange(4) == middle)
        assert (np.diff(quantiles, axis=1) > 0).all()
        np.testing.assert_allclose(quantiles[:, middle], distances[:, middle], rtol=1e-6)


def test_a_window_is_scaled_as_the_module_says():
    windows = Windows(6, 5, 3, (1.0,))
    values = np.array([1.0, 2, 3, 5, np.nan, 6])[:, None]
    prepared = windows.prepare([values])
    scale = np.mean([4, 3])  # changes 5 - 1 and 6 - 3; the level is 6
    np.testing.assert_allclose(prepared.scale, [[scale]])
    np.testing.assert_allclose(prepared.naive[0, :, 0], [5, 2, 6, 5, 2])
    features = np.array([[-5, 0, 0], [-4, 0, 0], [-3, 0, 0], [-1, 4, 0], [0, 0, scale], [0, 3, 0]])
    np.testing.assert_allclose(prepared.features[0], features / scale, rtol=1e-6)
    restored = prepared.restore(np.ones((1, 5, 1, 2)))
    np.testing.assert_allclose(restored[0, :, 0, 1], prepared.naive[0, :, 0] + scale)


def test_a_window_without_change_has_the_scale_of_training():
    prepared = Windows(4, 1, 1, (2.5,)).prepare([np.full((4, 1), 3.0)])
    np.testing.assert_array_equal(prepared.scale, [[2.5]])
    empty = Windows(4, 1, 1, (2.5,)).prepare([np.full((4, 1), np.nan)])
    assert np.isfinite(empty.features).all()
    assert (empty.naive == 0).all()


def test_the_last_value_that_is_there():
    values = np.array([[1, np.nan, np.nan], [4, 5, np.nan], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(last_observed(values, axis=1), [1, 5, np.nan])


def test_nothing_behind_an_origin_is_in_its_window():
    windows = Windows(6, 2, 3)
    series = np.arange(20, dtype=np.float64)[:, None]
    for origin in windows.origins(series):
        assert windows.cut(series, origin)[-1, 0] == origin - 1
        assert windows.targets(series, origin)[0, 0] == origin
    np.testing.assert_array_equal(windows.targets(series, 19)[:, 0], [19, np.nan])
    np.testing.assert_array_equal(windows.cut(series, 2)[:, 0], [*[np.nan] * 4, 0, 1])


def test_windows_to_learn_from_do_not_see_what_is_set_aside(monkeypatch):
    from lstm_jax.sequences import forecaster as module

    seen: list[Any] = []
    monkeypatch.setattr(module, "train", lambda loss, settings, *parts: seen.extend(parts) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tiny(validation_fraction=0.2).fit(np.arange(100.0) ** 1.5)
    learnt, measured = seen
    origins = Windows(18, 4, 3).origins(np.arange(100, dtype=np.float64)[:, None])
    assert len(measured) == (origins >= 80).sum()
    assert len(learnt) == (origins + 4 <= 80).sum()


def test_shapes_are_those_of_the_series(fitted):
    assert fitted.predict().shape == (4, 2)
    assert fitted.predict_quantiles().shape == (4, 2, 7)
    assert fitted.predict(fh=[1, 3]).shape == (2, 2)
    np.testing.assert_array_equal(fitted.predict(fh=3), fitted.predict()[2:3])
    several = fitted.predict([waves(30), waves(9)])
    assert [each.shape for each in several] == [(4, 2), (4, 2)]
    np.testing.assert_allclose(several[0], fitted.predict(waves(30)), rtol=1e-6)
    one = tiny(epochs=1).fit(pandas.Series(np.arange(30.0)))
    assert one.predict().shape == (4,)
    assert one.predict_quantiles().shape == (4, 7)
    np.testing.assert_array_equal(one.predict(), one.predict_quantiles()[:, 3])


def test_one_model_learns_several_series():
    forecaster = tiny(epochs=1).fit([waves(40), waves(25, seed=1)])
    found = forecaster.predict()
    assert [each.shape for each in found] == [(4, 2), (4, 2)]
    np.testing.assert_allclose(found[1], forecaster.predict(waves(25, seed=1)), rtol=1e-6)


def test_new_observations_move_the_forecast_without_training(fitted):
    copied = pickle.loads(pickle.dumps(fitted))
    later = waves(70)[60:]
    copied.update(later)
    whole = np.concatenate([waves(60), later])
    np.testing.assert_array_equal(copied.predict_quantiles(), fitted.predict_quantiles(whole))
    assert not np.array_equal(copied.predict(), fitted.predict())


def test_units_do_not_matter():
    series = 20 + np.sin(np.arange(50.0))
    first, second = (tiny().fit(unit * series + shift) for unit, shift in ((1, 0), (1024, 2**30)))
    found = (second.predict_quantiles() - 2**30) / 1024
    np.testing.assert_allclose(found, first.predict_quantiles(), atol=1e-3)


def test_a_saved_forecaster_gives_the_same_bits(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    opened = SequenceForecaster.load(tmp_path / "model")
    np.testing.assert_array_equal(opened.predict_quantiles(), fitted.predict_quantiles())
    history = waves(33, seed=2)
    expected = fitted.predict_quantiles(history)
    np.testing.assert_array_equal(opened.predict_quantiles(history), expected)
    assert opened.get_params() == fitted.get_params()


def test_scikit_learn_copies_it():
    estimator = tiny(quantiles=(0.1, 0.5))
    copied: Any = clone(estimator)
    assert copied.get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        estimator.predict()


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([], "y must be a series or a list of series, got an empty list"),
        (np.zeros((3, 2, 2)), "y must be of shape [T] or [T, D], got shape (3, 2, 2)"),
        (np.arange(7.0), "y must have at least season + horizon + 1 = 8 steps, got 7"),
        (np.full(30, np.nan), "y must have a value that is not NaN, got only NaN"),
        (
            np.array([[1.0, np.nan]] * 30),
            "y must have a value that is not NaN, got only NaN in",
        ),
        (
            np.array([1.0, np.inf] * 15),
            "y must be finite, or NaN where a value is missing, got",
        ),
        ([np.zeros(30), np.zeros((30, 2))], "y[1] must have 1 channels, got 2"),
        (np.array(["a"] * 30), "y must be an array of numbers, got could not convert"),
    ],
)
def test_wrong_series_are_refused_in_one_line(series, message):
    with pytest.raises(ValueError) as error:
        tiny().fit(series)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"horizon": 0}, "horizon must be at least 1, got 0"),
        ({"season": 0}, "season must be at least 1, got 0"),
        ({"context": 0}, "context must be at least 1, got 0"),
        (
            {"quantiles": (0.1, 0.9)},
            "quantiles must be increasing, between 0 and 1, 0.5 among",
        ),
        (
            {"quantiles": (0.5, 0.1)},
            "quantiles must be increasing, between 0 and 1, 0.5 among",
        ),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        (
            {"validation_fraction": 0.99},
            "validation_fraction must leave windows to learn from",
        ),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(parameters, message):
    with pytest.raises(ValueError) as error:
        tiny(**parameters).fit(np.arange(60.0))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("steps", [0, 5, [1.5], [], "all", [[1]]])
def test_steps_beyond_the_horizon_are_refused(fitted, steps):
    with pytest.raises(ValueError, match="fh must be steps from 1 to the horizon, 4, got"):
        fitted.predict(fh=steps)


def test_other_channels_than_in_training_are_refused(fitted):
    with pytest.raises(ValueError, match="y must have 2 channels, got 1"):
        fitted.predict(np.arange(30.0))
    with pytest.raises(ValueError, match="y must be of 1 series, got 2"):
        fitted.update([waves(3), waves(3)])
