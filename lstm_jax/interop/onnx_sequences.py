"""The classifier of sequences and the forecaster as ONNX models, with their scaling inside.

    values [B, T, D] float64, lengths [B] int32 -> probabilities [B, classes] float32
    values [B, L, D] float64                    -> quantiles [B, H, D, K] float64

NaN is a missing value, B and T are free, and what stands behind a length does not count. Values are
scaled in float64, as in Python, and the network runs in float32.

Source: https://onnx.ai/onnx/operators.
"""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
from onnx import TensorProto
from sklearn.utils.validation import check_is_fitted

from lstm_jax.files import expanded, write_bytes
from lstm_jax.interop.onnx_graph import Graph, Steps, dense, encode, pool, probabilities
from lstm_jax.models.sequences import spreading
from lstm_jax.sequences import SequenceClassifier, SequenceForecaster
from lstm_jax.sequences.scaling import Scaling
from lstm_jax.sequences.windows import LEAST, Windows

NORM_EPSILON = 1e-6  # of Flax's LayerNorm


def export_onnx(estimator: SequenceClassifier | SequenceForecaster, path: str | Path) -> None:
    """Writes a fitted estimator as an ONNX file, whole or not at all.

    Raises:
        ValueError: if it is neither a classifier of sequences nor a forecaster.
        OSError: if the file cannot be written.
    """
    if not isinstance(estimator, SequenceClassifier | SequenceForecaster):
        raise ValueError(
            "estimator must be a SequenceClassifier or a SequenceForecaster, got "
            f"{type(estimator).__name__}"
        )
    forecasts = isinstance(estimator, SequenceForecaster)
    model = forecaster_to_onnx(estimator) if forecasts else classifier_to_onnx(estimator)
    write_bytes(expanded(path), model.SerializeToString())


def classifier_to_onnx(estimator: SequenceClassifier) -> onnx.ModelProto:
    """A fitted classifier as an ONNX model, checked; `class_names` is in its metadata (JSON)."""
    check_is_fitted(estimator)
    network, params = estimator.loss_.network, jax.device_get(estimator.params_)
    graph = Graph()
    steps = Steps(graph, "values")
    outputs = _scale(graph.part("scale"), estimator.scaling_, steps)
    for number in range(len(network.convolutions)):
        outputs = _convolve(graph.part(f"convolution_{number}"), params, number, outputs, steps)
    outputs, last = encode(graph.part("encode"), params["stack"], network.config, outputs)
    features = pool(graph.part("pool"), params, network.config, outputs, last, steps)
    logits = dense(graph.part("logits"), params["head"], features)
    probabilities(graph.part("probabilities"), logits, 1.0, network.outputs)
    classes = [str(each) for each in estimator.classes_.tolist()]
    inputs = {
        "values": (TensorProto.DOUBLE, ["B", "T", estimator.scaling_.channels]),
        "lengths": (TensorProto.INT32, ["B"]),
    }
    results = {"probabilities": (TensorProto.FLOAT, ["B", len(classes)])}
    return graph.model("classifier", inputs, results, {"class_names": json.dumps(classes)})


def forecaster_to_onnx(estimator: SequenceForecaster) -> onnx.ModelProto:
    """A fitted forecaster as an ONNX model, checked.

    Its metadata are `context`, `horizon`, `season` and `quantiles` (a JSON list). A window that
    begins before the series does is NaN there.
    """
    check_is_fitted(estimator)
    windows, network = estimator.windows_, estimator.loss_.network
    params, graph = jax.device_get(estimator.params_), Graph()
    features, naive, scale = _prepare(graph.part("scale"), windows, network.channels)
    by_time = graph.part("encode")("Transpose", features, perm=[1, 0, 2])
    _, last = encode(graph, params["stack"], network.config, by_time, lengths="")
    flat = graph.part("linear")("Flatten", features)
    linear = dense(graph, params["linear"], flat)
    raw = graph("Add", dense(graph.part("head"), params["head"], last), linear)
    shape = windows.horizon, network.channels, len(network.quantiles)
    raw = graph.part("quantiles")("Reshape", raw, np.array([-1, *shape]))
    distances = graph("Where", network.is_median, raw, graph("Softplus", raw))
    found = graph("MatMul", distances, spreading(network.is_median))
    found = graph("Cast", found, to=TensorProto.DOUBLE)
    change = graph("Mul", found, graph("Unsqueeze", scale, np.array([1, 3])))
    graph("Add", graph("Unsqueeze", naive, np.array([3])), change, result="quantiles")
    inputs = {"values": (TensorProto.DOUBLE, ["B", windows.context, network.channels])}
    results = {"quantiles": (TensorProto.DOUBLE, ["B", *shape])}
    described = {name: str(getattr(windows, name)) for name in ("context", "horizon", "season")}
    described["quantiles"] = json.dumps(network.quantiles)
    return graph.model("forecaster", inputs, results, described)


def _scale(graph: Graph, scaling: Scaling, steps: Steps) -> str:
    """Values [B, T, D] to features [T, B, F], zero in the padding: `Scaling`."""
    values = graph("Transpose", "values", perm=[1, 0, 2])
    missing = graph("IsNaN", values)
    centred = graph("Sub", values, np.array(scaling.mean))
    scaled = graph("Div", centred, np.array(scaling.deviation))
    features = graph("Where", missing, np.float64(0), scaled)
    if scaling.flagged:
        flags = graph("Cast", missing, to=TensorProto.DOUBLE)
        flags = graph("Gather", flags, np.array(scaling.flagged), axis=2)
        features = graph("Concat", features, flags, axis=2)
    features = graph("Cast", features, to=TensorProto.FLOAT)
    return graph("Where", steps.valid, features, np.float32(0))


def _convolve(graph: Graph, params: Any, number: int, inputs: str, steps: Steps) -> str:
    """Features [T, B, F] through a convolution of `SequenceNetwork`."""
    kernel, bias = (params[f"convolution_{number}"][name] for name in ("kernel", "bias"))
    norm, width = params[f"normalisation_{number}"], len(kernel)
    rows = graph("Transpose", inputs, perm=[1, 2, 0])
    weights = np.transpose(kernel, (2, 1, 0))
    pads = [(width - 1) // 2, width // 2]
    convolved = graph("Conv", rows, weights, bias, pads=pads)
    by_time = graph("Transpose", convolved, perm=[2, 0, 1])
    normed = graph(
        "LayerNormalization", by_time, norm["scale"], norm["bias"], axis=-1, epsilon=NORM_EPSILON
    )
    return graph("Where", steps.valid, graph("Relu", normed), np.float32(0))


def _prepare(graph: Graph, windows: Windows, channels: int) -> tuple[str, str, str]:
    """Windows [B, L, D] to features [B, L, 3 D], naive [B, H, D] and scale [B, D]: `Windows`."""
    zero, season, length = np.float64(0), windows.season, windows.context
    level = _last_observed(graph, "values", length, 3)
    level = graph("Where", graph("IsNaN", level), zero, level)
    centred = graph("Sub", "values", graph("Unsqueeze", level, np.array([1])))
    one = np.array([1])
    now = graph("Slice", "values", np.array([season]), np.array([length]), one)
    before = graph("Slice", "values", np.array([0]), np.array([length - season]), one)
    change = graph("Sub", now, before)
    spread = graph("Mul", _mean_absolute(graph, centred), np.float64(LEAST))
    scale = graph("Max", _mean_absolute(graph, change), spread)
    fallback = np.array(windows.fallback)
    scale = graph("Where", graph("Greater", scale, zero), scale, fallback)
    seasons = np.array([0, length // season, season, channels])
    phases = _last_observed(graph, graph("Reshape", "values", seasons), length // season, 4)
    above = graph("Unsqueeze", level, np.array([1]))
    phases = graph("Where", graph("IsNaN", phases), above, phases)
    naive = graph("Gather", phases, np.arange(windows.horizon) % season, axis=1)
    unit = graph("Unsqueeze", scale, np.array([1]))
    parts = []
    for part in (centred, change):
        part = graph("Div", part, unit)
        parts.append(graph("Where", graph("IsNaN", part), zero, part))
    parts[1] = graph("Pad", parts[1], np.array([0, season, 0, 0, 0, 0]), zero)
    missing = graph("Cast", graph("IsNaN", "values"), to=TensorProto.DOUBLE)
    features = graph("Concat", *parts, missing, axis=2)
    return graph("Cast", features, to=TensorProto.FLOAT), naive, scale


def _last_observed(graph: Graph, values: str, count: int, rank: int) -> str:
    """The last value along the second axis, of `count`, that is not NaN; NaN where there is none.

    What is behind it, and NaN before it, becomes 0; the sum of the rest is it.
    """
    missing = graph("IsNaN", values)
    places = np.arange(1.0, count + 1).reshape(-1, *[1] * (rank - 2))
    places = graph("Where", missing, np.float64(0), places)
    last = graph("ReduceMax", places, np.array([1]), keepdims=1)
    chosen = graph("And", graph("Equal", places, last), graph("Not", missing))
    total = graph("Where", chosen, values, np.float64(0))
    total = graph("ReduceSum", total, np.array([1]), keepdims=0)
    none = graph("Equal", graph("Squeeze", last, np.array([1])), np.float64(0))
    return graph("Where", none, np.float64(np.nan), total)


def _mean_absolute(graph: Graph, values: str) -> str:
    """The mean absolute value over the second axis, of what is not NaN; 0 where nothing is."""
    missing = graph("IsNaN", values)
    sizes = graph("Where", missing, np.float64(0), graph("Abs", values))
    there = graph("Cast", graph("Not", missing), to=TensorProto.DOUBLE)
    total, count = (graph("ReduceSum", each, np.array([1]), keepdims=0) for each in (sizes, there))
    return graph("Div", total, graph("Max", count, np.float64(1)))
