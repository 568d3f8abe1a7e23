"""What an ONNX model computes from its constants alone, such as the weights of an operator.

An exporter writes a weight as an initializer, a `Constant`, or as nodes that cut and join others:
PyTorch does so without constant folding. All of these are computed by the standard's reference
implementation.

Source: https://onnx.ai/onnx/api/reference.html.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from lstm_jax.interop.weights import one_line


def load_model(path: str | Path) -> onnx.ModelProto:
    """Reads a file.

    Raises:
        ValueError: if it is not an ONNX model.
        OSError: if it cannot be read.
    """
    try:
        return onnx.load(str(path))
    except OSError:
        raise
    except Exception as error:  # protobuf's DecodeError, or one of external data
        raise ValueError(f"not a whole ONNX model: {one_line(error)}") from error


def constant(model: onnx.ModelProto, name: str, kind: str) -> np.ndarray:
    """The value of a result that depends on no input of the model.

    Args:
        model: where it is computed.
        name: the result's.
        kind: what it is, for the error.

    Raises:
        ValueError: if it depends on an input, or cannot be computed.
    """
    initializers = {each.name: each for each in model.graph.initializer}
    try:
        if name in initializers:
            return numpy_helper.to_array(initializers[name])
        nodes = _nodes_behind(model, name, kind)
        used = {source for node in nodes for source in node.input}
        graph = helper.make_graph(
            nodes,
            "constants",
            [],
            [helper.make_empty_tensor_value_info(name)],
            [each for each in model.graph.initializer if each.name in used],
        )
        alone = helper.make_model(
            graph, opset_imports=model.opset_import, functions=model.functions
        )
        (value,) = ReferenceEvaluator(alone).run(None, {})
        return np.asarray(value)
    except _NotConstantError as error:
        raise ValueError(str(error)) from error
    except Exception as error:  # whatever a damaged tensor or node makes NumPy raise
        raise ValueError(f"{kind} cannot be computed from {name!r}: {one_line(error)}") from error


class _NotConstantError(Exception):
    """A result depends on an input of the model."""


def _nodes_behind(model: onnx.ModelProto, name: str, kind: str) -> list[onnx.NodeProto]:
    """The nodes that a result depends on, in the model's order."""
    producers = {
        result: number for number, node in enumerate(model.graph.node) for result in node.output
    }
    constants = {each.name for each in model.graph.initializer}
    needed, sources = set(), [name]
    while sources:
        source = sources.pop()
        if source in constants or not source:
            continue
        if source not in producers:
            raise _NotConstantError(f"{kind} must be a constant of the model, got {source!r}")
        number = producers[source]
        if number not in needed:
            needed.add(number)
            sources += model.graph.node[number].input
    return [model.graph.node[number] for number in sorted(needed)]
