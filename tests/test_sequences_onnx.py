"""Classifiers of sequences and forecasters as ONNX models, computed by onnxruntime."""

import json

import numpy as np
import pytest

from lstm_jax.sequences import SequenceClassifier, SequenceForecaster

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from lstm_jax.interop.onnx_sequences import export_onnx  # noqa: E402 - it imports onnx


def sequences(channels: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = [rng.normal(1e6, 2, (rng.integers(1, 20), channels)) for _ in range(20)]
    for each in found[1::2]:
        each[rng.random(each.shape) < 0.2] = np.nan
    return found


@pytest.mark.parametrize(
    ("classes", "settings"),
    [
        (2, {"convolutions": (4, 3), "layers": 2}),
        (3, {"convolutions": (), "pooling": "attention"}),
        (3, {"direction": "forward", "pooling": "last", "convolutions": (1,)}),
    ],
    ids=["two classes", "attention", "forward"],
)
def test_a_classifier_scores_outside_as_it_does_here(classes, settings, tmp_path):
    X, y = sequences(), np.arange(20) % classes
    classifier = SequenceClassifier(hidden_size=8, epochs=1, random_state=0, **settings).fit(X, y)
    export_onnx(classifier, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    lengths = np.array([len(each) for each in X], np.int32)
    values = np.full((20, lengths.max() + 2, 3), 1e9)  # padding never counts
    for row, each in zip(values, X, strict=True):
        row[: len(each)] = each
    (found,) = session.run(None, {"values": values, "lengths": lengths})
    np.testing.assert_allclose(found, classifier.predict_proba(X), atol=1e-5)
    names = session.get_modelmeta().custom_metadata_map["class_names"]
    assert json.loads(names) == [str(each) for each in range(classes)]


@pytest.mark.parametrize("season", [1, 4])
def test_a_forecaster_forecasts_outside_as_it_does_here(season, tmp_path):
    rng = np.random.default_rng(0)
    y = 300 + rng.normal(size=(60, 2)).cumsum(axis=0)
    y[rng.random(y.shape) < 0.2] = np.nan
    forecaster = SequenceForecaster(
        horizon=6, season=season, hidden_size=8, layers=2, epochs=2, random_state=0
    ).fit(y)
    export_onnx(forecaster, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    # A usual window, one that begins before the series, a constant one, one without any value.
    histories = [y, y[:5], np.full((40, 2), 7.0), np.concatenate([y[:1], np.full((40, 2), np.nan)])]
    windows = np.stack([forecaster.windows_.cut(each) for each in histories])
    (found,) = session.run(None, {"values": windows})
    for history, quantiles in zip(histories[:3], found[:3], strict=True):
        np.testing.assert_allclose(quantiles, forecaster.predict_quantiles(history), atol=1e-4)
    empty = forecaster.windows_.prepare(windows[3:])
    assert np.isfinite(found).all()
    assert np.abs(found[3]).max() < 1e3 * empty.scale.max()
    about = session.get_modelmeta().custom_metadata_map
    assert int(about["season"]) == season
    assert json.loads(about["quantiles"]) == list(forecaster.quantiles)


def test_what_is_no_estimator_of_sequences_is_refused(tmp_path):
    with pytest.raises(ValueError, match="estimator must be a SequenceClassifier or"):
        export_onnx("model", tmp_path / "model.onnx")  # pyright: ignore[reportArgumentType]
