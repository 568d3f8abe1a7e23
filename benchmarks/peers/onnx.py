"""ONNX Runtime: the operator LSTM, which has no backward pass."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.cases import Case, Problem
from benchmarks.worker import Run


def recurrence(case: dict[str, Any], train: bool) -> Run | None:
    """A model of one LSTM node; ONNX orders the gates i, o, f, g and the time before the batch."""
    if train:
        return None
    size = Case(**case)
    problem = Problem.of(size)

    def gates(array: np.ndarray) -> np.ndarray:  # [..., 4H] to [4H, ...] in ONNX's order
        i, f, g, o = np.split(array, 4, axis=-1)
        return np.concatenate([i, o, f, g], axis=-1).T

    names = ["X", "W", "R", "B"]
    biases = [np.concatenate([gates(b), np.zeros_like(b)]) for b in problem.biases]
    constants = {
        "W": np.stack([gates(w) for w in problem.input_kernels]),
        "R": np.stack([gates(w) for w in problem.recurrent_kernels]),
        "B": np.stack(biases),
    }
    if problem.lengths is not None:
        names.append("lengths")
        constants["lengths"] = problem.lengths
    node = helper.make_node(
        "LSTM",
        names,
        ["Y"],
        hidden_size=size.hidden,
        direction="bidirectional" if size.bidirectional else "forward",
    )
    batch, time, features = problem.inputs.shape
    shape = [time, size.directions, batch, size.hidden]
    graph = helper.make_graph(
        [node],
        "lstm",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [time, batch, features])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    inputs = np.ascontiguousarray(problem.inputs.transpose(1, 0, 2))

    def run() -> dict[str, np.ndarray]:
        outputs: Any
        (outputs,) = session.run(["Y"], {"X": inputs})  # [T, directions, B, H]
        return {"outputs": outputs.transpose(2, 0, 1, 3).reshape(batch, time, -1)}

    return run
