"""The parts that our ONNX models have in common: a graph, and LSTMs, pooling and logits in it.

Within a graph time comes first, [T, B, F], as ONNX's LSTM has it.

Source: https://onnx.ai/onnx/operators.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lstm_jax.interop.onnx_lstm import DirectedCell, to_onnx
from lstm_jax.lstm import Bidirectional
from lstm_jax.models.config import ModelConfig
from lstm_jax.variants import VARIANTS, VariantParams

# The oldest with every operator as it is used here. onnxruntime 1.15, of 2023, gives the same.
OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 8

LOWEST = np.finfo(np.float32).min
REDUCTIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "mul": "ReduceProd"}


class Graph:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._part = "steps"

    def part(self, name: str) -> "Graph":
        """The same graph; nodes that are added from now on are called after this part of it."""
        self._part = name
        return self

    def __call__(
        self,
        operator: str,
        *inputs: Any,
        result: str = "",
        results: int = 1,
        domain: str = "",
        **attributes: Any,
    ) -> Any:
        """Adds a node.

        Args:
            operator: its type.
            inputs: names of results; "" for none; arrays and numbers become constants.
            result: the name of its result; "" for any.
            results: how many it has.
            domain, attributes: the operator's.

        Returns:
            The name of the result, or the names of several.
        """
        name = f"{self._part}/{operator}_{len(self._nodes)}"
        names = [
            each if isinstance(each, str) else self._constant(f"{name}/input_{place}", each)
            for place, each in enumerate(inputs)
        ]
        outputs = [result or f"{name}/result_{place}" for place in range(results)]
        node = helper.make_node(operator, names, outputs, name, domain=domain, **attributes)
        self._nodes.append(node)
        return outputs[0] if results == 1 else outputs

    def _constant(self, name: str, value: Any) -> str:
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def model(
        self,
        name: str,
        inputs: Mapping[str, tuple[int, Sequence[Any]]],
        outputs: Mapping[str, tuple[int, Sequence[Any]]],
        described: dict[str, str],
    ) -> onnx.ModelProto:
        """The whole, checked.

        Args:
            name: the graph's.
            inputs, outputs: the type and the shape of each, by name.
            described: the metadata.
        """
        values = [
            [helper.make_tensor_value_info(key, kind, shape) for key, (kind, shape) in each.items()]
            for each in (inputs, outputs)
        ]
        graph = helper.make_graph(self._nodes, name, values[0], values[1], self._constants)
        opsets = [helper.make_opsetid(*each) for each in OPSETS.items()]
        model = helper.make_model(
            graph, producer_name="lstm_jax", opset_imports=opsets, ir_version=IR_VERSION
        )
        helper.set_model_props(model, described)
        onnx.checker.check_model(model, full_check=True)
        return model


class Steps:
    """Which steps of a batch are valid.

    Attributes:
        valid: [T, B, 1] bool.
        some: whether a text has a valid step, [B, 1] bool.
        count: how many it has, but at least 1, [B, 1] float32.
    """

    def __init__(self, graph: Graph, rows: str) -> None:
        """Of an input that is named, [B, T, ...], and the input `lengths`."""
        time = graph("Squeeze", graph("Shape", rows, start=1, end=2))
        times = graph("Cast", graph("Range", np.int64(0), time, np.int64(1)), to=TensorProto.INT32)
        lengths = graph("Unsqueeze", "lengths", np.array([1]))
        self.valid = graph("Less", graph("Unsqueeze", times, np.array([1, 2])), lengths)
        self.some = graph("Greater", lengths, np.int32(0))
        self.count = graph("Cast", graph("Max", lengths, np.int32(1)), to=TensorProto.FLOAT)


def encode(
    graph: Graph, params: Any, config: ModelConfig, embeddings: str, lengths: str = "lengths"
) -> tuple[str, str]:
    """Embeddings [T, B, E] to the last layer's outputs [T, B, F] and last state [B, F].

    Without lengths, "", all steps are valid.
    """
    outputs, last = embeddings, ""
    for layer in range(config.layers):
        attributes, weights = to_onnx(_directions(params[f"layer_{layer}"], config.cell))
        inputs = [outputs, weights["W"], weights["R"], weights["B"], lengths]
        if "P" in weights:
            inputs += ["", "", weights["P"]]
        outputs, last = graph("LSTM", *inputs, results=2, **attributes)
        # The axis of the directions goes: [T, directions, B, H] and [directions, B, H].
        outputs, last = _merge(graph, config, outputs, 1), _merge(graph, config, last, 0)
    return outputs, last


def _directions(params: Any, cell: str) -> list[DirectedCell]:
    """The directions that a layer reads in, with their weights."""
    there = {name: params[name] for name in Bidirectional._fields if name in params}
    return [
        DirectedCell(
            VARIANTS[cell],
            VariantParams(**weights) if isinstance(weights, dict) else weights,
            reverse=name == "backward",
        )
        for name, weights in there.items()
    ]


def _merge(graph: Graph, config: ModelConfig, states: str, axis: int) -> str:
    """The directions, which stand along an axis, as one."""
    if config.direction != "bidirectional":
        return graph("Squeeze", states, np.array([axis]))
    if config.merge != "concat":
        return graph(REDUCTIONS[config.merge], states, np.array([axis]), keepdims=0)
    side_by_side = graph("Transpose", states, perm=[0, 2, 1, 3] if axis else [1, 0, 2])
    kept = [0] * (axis + 1)  # a 0 keeps that axis
    return graph("Reshape", side_by_side, np.array([*kept, 2 * config.hidden_size]))


def pool(
    graph: Graph, params: Any, config: ModelConfig, outputs: str, last: str, steps: Steps
) -> str:
    """Outputs [T, B, F] and last state [B, F] to features [B, F], or [B, 2F] for max_mean."""
    if config.pooling == "last":
        return last
    zeros = np.float32(0)
    outputs = graph("Where", steps.valid, outputs, zeros)
    if config.pooling == "attention":
        return _attend(graph, params["pooling"], outputs, steps)
    pooled = []
    if "max" in config.pooling:
        largest = graph("Where", steps.valid, outputs, LOWEST)
        largest = graph("ReduceMax", largest, np.array([0]), keepdims=0)
        pooled.append(graph("Where", steps.some, largest, zeros))
    if "mean" in config.pooling:
        total = graph("ReduceSum", outputs, np.array([0]), keepdims=0)
        pooled.append(graph("Div", total, steps.count))
    return graph("Concat", *pooled, axis=-1)


def _attend(graph: Graph, params: Any, outputs: str, steps: Steps) -> str:
    """Outputs [T, B, F], zero where invalid, to their mean weighted by attention [B, F]."""
    keys = graph("MatMul", outputs, params["keys"]["kernel"])
    keys = graph("Tanh", graph("Add", keys, params["keys"]["bias"]))
    scores = graph("MatMul", keys, params["query"]["kernel"])
    weights = graph("Softmax", graph("Where", steps.valid, scores, LOWEST), axis=0)
    return graph("ReduceSum", graph("Mul", weights, outputs), np.array([0]), keepdims=0)


def dense(graph: Graph, params: Any, features: str) -> str:
    """Features [B, F] to outputs [B, C]."""
    return graph("Gemm", features, params["kernel"], params["bias"])


def probabilities(graph: Graph, logits: str, temperature: float, outputs: int) -> None:
    """Logits [B, C] to probabilities [B, classes]; C = 1 holds the logit of class 1 of two."""
    scaled = graph("Div", logits, np.float32(temperature))
    if outputs == 1:
        both = graph("Concat", graph("Neg", scaled), scaled, axis=-1)
        graph("Sigmoid", both, result="probabilities")
    else:
        graph("Softmax", scaled, axis=-1, result="probabilities")
