"""The experiment on other sequences: its scores, its rivals, its record."""

import json
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments import sequences
from experiments import sequences_rivals as rivals
from experiments.sequences_data import Forecasting, needed
from experiments.sequences_tables import accuracies, errors
from lstm_jax.sequences.forecaster import QUANTILES

SERIES = Forecasting(np.tile([0.0, 1.0, 3.0], 10), 3, 3, (21, 24, 27))


def test_scores_are_those_of_their_formulas():
    true = np.stack([SERIES.values[origin : origin + 3] for origin in SERIES.origins])
    moved = SERIES._replace(values=SERIES.values + 0.5 * np.arange(30))
    unit = 1.5  # the change over a season
    exact = np.stack([moved.values[origin : origin + 3] for origin in moved.origins])
    offsets = np.array([-2, -1, -1, 0.75, 1, 1, 2])
    found = sequences.scores(moved, list(exact[..., None] + offsets))
    assert found["mase"] == round(0.75 / unit, 4)
    losses = [max(q * -off, (q - 1) * -off) for q, off in zip(QUANTILES, offsets, strict=True)]
    assert found["pinball"] == round(np.mean(losses) / unit, 4)
    assert found["coverage"] == 1
    outside = sequences.scores(moved, list(exact[..., None] + np.arange(1.0, 8)))
    assert outside["coverage"] == 0
    assert true.shape == exact.shape


def test_the_seasonal_naive_forecast_is_the_last_season():
    noisy = SERIES._replace(values=SERIES.values + np.random.default_rng(0).normal(size=30))
    for origin, found in zip(noisy.origins, rivals.seasonal_naive(noisy, QUANTILES), strict=True):
        np.testing.assert_allclose(found[:, 3], noisy.values[origin - 3 : origin])
        assert (np.diff(found, axis=1) > 0).all()


def test_gaps_are_filled_on_straight_lines():
    values = np.array([1, np.nan, np.nan, 4, np.nan])
    np.testing.assert_array_equal(rivals.filled(values), [1, 2, 3, 4, 4])


def test_a_record_is_added_to_and_what_it_has_is_not_done_again(tmp_path, monkeypatch, capsys):
    done: list[Any] = []

    def jobs(name: str, seeds: Any, about: Any) -> list[Any]:
        about["origins"], about["horizon"] = [1], 1
        result = {"mase": 1.0, "pinball": 0.5, "coverage": 0.9}
        return [("lstm_jax", str(s), lambda s=s: done.append(s) or dict(result)) for s in seeds]

    monkeypatch.setattr(sequences, "FORECASTS", ("forecasts", jobs))
    record = tmp_path / "record.json"
    sequences.run(sequences.Study("co2", seeds=(0,), record=record))
    sequences.run(sequences.Study("co2", seeds=(0, 1), record=record))
    assert done == [0, 1]
    found = json.loads(record.read_text(encoding="utf-8"))
    assert set(found["forecasts"]["co2"]["lstm_jax"]) == {"0", "1"}
    assert {"command", "time", "commit", "machine", "versions"} <= set(found)
    assert "1.000 ± 0.000" in capsys.readouterr().out


def test_rows_have_means_and_spreads():
    runs = {str(seed): {"accuracy": value} for seed, value in enumerate((0.9, 0.92, 0.94))}
    of_task = {"sizes": {"train": 50, "test": 1150}, "lstm_jax": runs}
    (row,) = accuracies({"GunPoint": of_task})
    assert row == ["GunPoint", "50, 1,150", "92.0 ± 2.0", "", "", "LSTM-FCN 100, 1-NN DTW 90.7"]
    of_model = {"once": {"mase": 0.5, "pinball": 0.25, "coverage": 0.875, "minutes": 0.04}}
    (row,) = errors({"co2": {"origins": [1], "horizon": 2, "ETS": of_model}})
    assert row == ["co2", "ETS", "0.500", "0.250", "88 %"]


def test_what_is_missing_or_unknown_is_told_in_one_line(monkeypatch):
    with pytest.raises(ValueError, match="task must be one of JapaneseVowels, ArrowHead"):
        sequences.run(sequences.Study("MNIST"))
    monkeypatch.setitem(sys.modules, "aeon", None)
    with pytest.raises(ValueError, match=r"aeon is needed: pip install 'lstm_jax\[sequences\]'"):
        needed("aeon")
    monkeypatch.setitem(sys.modules, "aeon", SimpleNamespace(__file__="there"))
    assert needed("aeon").__file__ == "there"
