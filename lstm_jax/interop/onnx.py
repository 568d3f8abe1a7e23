"""The classifier as an ONNX model, in the standard's own operators: embed | encode | pool | logits.

    tokens [B, T] int32, lengths [B] int32 -> probabilities [B, classes] float32

B and T are free; a length may be anything from 0 to T. Within, time comes first, [T, B, F], as
ONNX's LSTM has it. All that a prediction needs is in the file but the tokenizer: n-grams, the
temperature, the names of the classes and how texts are cut.

Source: https://onnx.ai/onnx/operators.
"""

import json
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lstm_jax.interop.onnx_lstm import DirectedCell, has_operator, to_onnx
from lstm_jax.lstm import Bidirectional
from lstm_jax.models.config import ModelConfig
from lstm_jax.predictor import Predictor
from lstm_jax.text import PADDING, NGrams
from lstm_jax.variants import VARIANTS, VariantParams

# The oldest with every operator as it is used here. onnxruntime 1.15, of 2023, gives the same.
OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 8

LOWEST = np.finfo(np.float32).min
REDUCTIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "mul": "ReduceProd"}


def classifier_to_onnx(run: Predictor) -> onnx.ModelProto:
    """A trained run as an ONNX model, checked.

    Args:
        run: any run but those whose cells ONNX's LSTM does not have.

    Returns:
        The model. Its metadata are `class_names` (a JSON list), `max_length`, `truncate` and `pad`.

    Raises:
        ValueError: if the run has layer normalisation.
    """
    config, text = run.config.model, run.config.text
    possible = [name for name, cell in VARIANTS.items() if has_operator(cell)]
    if config.cell not in possible:
        raise ValueError(
            f"cell must be one of {', '.join(possible)} in an ONNX model, got {config.cell!r}, "
            f"{VARIANTS[config.cell]}; a StableHLO program may have any"
        )
    params: Any = jax.device_get(run.params)
    graph = _Graph()
    steps = _Steps(graph)
    ngrams = _ngram_ids(graph.part("ngrams"), run.model.ngrams, steps)
    embeddings = _embed(graph.part("embed"), params["embedding"], ngrams, steps)
    outputs, last = _encode(graph.part("encode"), params["stack"], config, embeddings)
    features = _pool(graph.part("pool"), params, config, outputs, last, steps)
    logits = _logits(graph.part("logits"), params["head"], features)
    if config.linear:
        linear = _linear(graph.part("linear"), params["linear"], ngrams, steps)
        logits = graph("Add", logits, linear)
    _probabilities(graph.part("probabilities"), logits, run.temperature, run.model.outputs)
    described = {
        "class_names": json.dumps(run.class_names),
        "max_length": str(text.max_length),
        "truncate": text.truncate,
        "pad": text.pad,
    }
    model = graph.model(classes=len(run.class_names), described=described)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._part = "steps"

    def part(self, name: str) -> "_Graph":
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

    def model(self, classes: int, described: dict[str, str]) -> onnx.ModelProto:
        """The whole, with its metadata."""
        inputs = {"tokens": ["B", "T"], "lengths": ["B"]}
        graph = helper.make_graph(
            self._nodes,
            "classifier",
            [
                helper.make_tensor_value_info(name, TensorProto.INT32, shape)
                for name, shape in inputs.items()
            ],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", classes])],
            self._constants,
        )
        opsets = [helper.make_opsetid(*each) for each in OPSETS.items()]
        model = helper.make_model(
            graph, producer_name="lstm_jax", opset_imports=opsets, ir_version=IR_VERSION
        )
        helper.set_model_props(model, described)
        return model


class _Steps:
    """The steps that a batch has, and which are valid.

    Attributes:
        tokens: [T, B] int32.
        valid: [T, B, 1] bool.
        some: whether a text has a valid step, [B, 1] bool.
        count: how many it has, but at least 1, [B, 1] float32.
    """

    def __init__(self, graph: _Graph) -> None:
        self.tokens = graph("Transpose", "tokens", perm=[1, 0])
        time = graph("Squeeze", graph("Shape", "tokens", start=1, end=2))
        times = graph("Cast", graph("Range", np.int64(0), time, np.int64(1)), to=TensorProto.INT32)
        lengths = graph("Unsqueeze", "lengths", np.array([1]))
        self.valid = graph("Less", graph("Unsqueeze", times, np.array([1, 2])), lengths)
        self.some = graph("Greater", lengths, np.int32(0))
        self.count = graph("Cast", graph("Max", lengths, np.int32(1)), to=TensorProto.FLOAT)


def _ngram_ids(graph: _Graph, ngrams: NGrams | None, steps: _Steps) -> list[str]:
    """The ids of the n-grams that end at each token, [T, B] for each length.

    They are those of `NGrams.ids`. A LabelEncoder is a table from keys to ids: 0.2 ms for 128 texts
    of 400 tokens and 30,000 n-grams, where a binary search in plain operators took 25 (2 cores,
    onnxruntime 1.32).
    """
    ids: list[str] = []
    if ngrams is None:
        return ids
    tokens = first = graph("Cast", steps.tokens, to=TensorProto.INT64)
    none = PADDING
    for keys in ngrams.keys:
        one_later = graph("Pad", first, np.array([1, 0, -1, 0]), np.int64(none))
        key = graph("Add", graph("Mul", one_later, np.int64(ngrams.vocabulary_size)), tokens)
        none = len(keys)
        first = graph(
            "LabelEncoder",
            key,
            domain="ai.onnx.ml",
            keys_int64s=keys.tolist(),
            values_int64s=list(range(none)),
            default_int64=none,
        )
        ids.append(first)
    return ids


def _embed(graph: _Graph, params: Any, ngrams: Sequence[str], steps: _Steps) -> str:
    """Tokens [T, B] to embeddings [T, B, E], with those of the n-grams that end there added."""
    embeddings = graph("Gather", params["table"], steps.tokens)
    for length, ids in enumerate(ngrams, 2):
        vectors = _with_zeros(params[f"ngrams_of_{length}"])
        embeddings = graph("Add", embeddings, graph("Gather", vectors, ids))
    return embeddings


def _linear(graph: _Graph, params: Any, ngrams: Sequence[str], steps: _Steps) -> str:
    """Tokens [T, B] to the logits [B, C] of `lstm_jax.nn.linear.LinearNGrams`."""
    sums = []
    for name in ("weights", "squares"):
        total = ""
        for length, ids in enumerate([steps.tokens, *ngrams], 1):
            table = params[f"{name}_of_{length}"]
            table = _with_zeros(table.reshape(len(table), -1))
            rows = graph("Where", steps.valid, graph("Gather", table, ids), np.float32(0))
            summed = graph("ReduceSum", rows, np.array([0]), keepdims=0)
            total = graph("Add", total, summed) if total else summed
        sums.append(total)
    weighted, squares = sums
    some = graph("Greater", squares, np.float32(0))
    length = graph("Sqrt", graph("Where", some, squares, np.float32(1)))
    return graph("Add", graph("Div", weighted, length), params["bias"])


def _with_zeros(table: Any) -> Any:
    """A table with a row of zeros behind its last, for no n-gram."""
    return np.pad(table, ((0, 1), (0, 0)))


def _encode(graph: _Graph, params: Any, config: ModelConfig, embeddings: str) -> tuple[str, str]:
    """Embeddings [T, B, E] to the last layer's outputs [T, B, F] and last state [B, F]."""
    outputs, last = embeddings, ""
    for layer in range(config.layers):
        attributes, weights = to_onnx(_directions(params[f"layer_{layer}"], config.cell))
        inputs = [outputs, weights["W"], weights["R"], weights["B"], "lengths"]
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


def _merge(graph: _Graph, config: ModelConfig, states: str, axis: int) -> str:
    """The directions, which stand along an axis, as one."""
    if config.direction != "bidirectional":
        return graph("Squeeze", states, np.array([axis]))
    if config.merge != "concat":
        return graph(REDUCTIONS[config.merge], states, np.array([axis]), keepdims=0)
    side_by_side = graph("Transpose", states, perm=[0, 2, 1, 3] if axis else [1, 0, 2])
    kept = [0] * (axis + 1)  # a 0 keeps that axis
    return graph("Reshape", side_by_side, np.array([*kept, 2 * config.hidden_size]))


def _pool(
    graph: _Graph, params: Any, config: ModelConfig, outputs: str, last: str, steps: _Steps
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


def _attend(graph: _Graph, params: Any, outputs: str, steps: _Steps) -> str:
    """Outputs [T, B, F], zero where invalid, to their mean weighted by attention [B, F]."""
    keys = graph("MatMul", outputs, params["keys"]["kernel"])
    keys = graph("Tanh", graph("Add", keys, params["keys"]["bias"]))
    scores = graph("MatMul", keys, params["query"]["kernel"])
    weights = graph("Softmax", graph("Where", steps.valid, scores, LOWEST), axis=0)
    return graph("ReduceSum", graph("Mul", weights, outputs), np.array([0]), keepdims=0)


def _logits(graph: _Graph, params: Any, features: str) -> str:
    """Features [B, F] to logits [B, C]."""
    return graph("Gemm", features, params["kernel"], params["bias"])


def _probabilities(graph: _Graph, logits: str, temperature: float, outputs: int) -> None:
    """Logits [B, C] to probabilities [B, classes]; C = 1 holds the logit of class 1 of two."""
    scaled = graph("Div", logits, np.float32(temperature))
    if outputs == 1:
        both = graph("Concat", graph("Neg", scaled), scaled, axis=-1)
        graph("Sigmoid", both, result="probabilities")
    else:
        graph("Softmax", scaled, axis=-1, result="probabilities")
