"""The weights of ONNX's LSTM operator, as cells of `lstm_jax.variants` and back.

Its gates stand in the order i, o, f, c, where c is our candidate g. Its kernels are transposed ones
of ours, its two biases are always summed, and directions stand along the first axis.

    W [N, 4H, D]    R [N, 4H, H]    B [N, 8H]    P [N, 3H]    for N directions

Its `clip` bounds what enters the gates and the candidate, as onnxruntime has it.

Source: https://onnx.ai/onnx/operators/onnx__LSTM.html; onnxruntime,
core/providers/cpu/rnn/uni_directional_lstm.cc, `GateComputations`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax import Array
from onnx import AttributeProto

from lstm_jax.interop.onnx_constants import constant, load_model
from lstm_jax.interop.weights import checked, summed
from lstm_jax.variants import Activation, Variant, VariantParams

GATES = ("input", "output", "forget", "candidate")  # the order i, o, f, c of W, R and B
SEEING = GATES[:3]  # the order of the peepholes P
REVERSED = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
ATTRIBUTES = {
    "activations": "STRINGS",
    "activation_alpha": "FLOATS",
    "activation_beta": "FLOATS",
    "clip": "FLOAT",
    "direction": "STRING",
    "input_forget": "INT",
}
SHAPES = {"W": ("N", "4H", "D"), "R": ("N", "4H", "H"), "B": ("N", "8H"), "P": ("N", "3H")}

ACTIVATIONS: dict[str, Activation] = {
    "Relu": jax.nn.relu,
    "Sigmoid": jax.nn.sigmoid,
    "Softplus": jax.nn.softplus,
    "Softsign": jax.nn.soft_sign,
    "Tanh": jnp.tanh,
}


def _thresholded_relu(x: Array, alpha: float) -> Array:
    return jnp.where(x > alpha, x, 0)


def _affine(x: Array, alpha: float, beta: float) -> Array:
    return alpha * x + beta


def _scaled_tanh(x: Array, alpha: float, beta: float) -> Array:
    return alpha * jnp.tanh(beta * x)


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return jnp.clip(alpha * x + beta, 0, 1)


# Those with an alpha, or an alpha and a beta, and the defaults of these. None where the standard
# has no default, or onnxruntime another.
PARAMETRIC: dict[str, tuple[Any, tuple[float | None, ...]]] = {
    "Affine": (_affine, (None, None)),
    "Elu": (jax.nn.elu, (1.0,)),
    "HardSigmoid": (_hard_sigmoid, (0.2, 0.5)),
    "LeakyRelu": (jax.nn.leaky_relu, (0.01,)),
    "ScaledTanh": (_scaled_tanh, (None, None)),
    "ThresholdedRelu": (_thresholded_relu, (None,)),
}


class DirectedCell(NamedTuple):
    """A cell, its weights, and which way it reads; a plain LSTM is the cell `Variant()`.

    `scan_cell(cell, params, inputs, cell.initial_state(params, batch_size), reverse=reverse)` runs
    it; a plain LSTM is run faster by `lstm(LSTMParams(*params[:3]), inputs, reverse=reverse)`.
    """

    cell: Variant
    params: VariantParams
    reverse: bool


def read_onnx(
    model: onnx.ModelProto | str | Path, name: str | None = None
) -> tuple[DirectedCell, ...]:
    """The LSTM in an ONNX model: `from_onnx` of a node and its weights.

    Args:
        model: the model, or the path of its file.
        name: the node's name; None for the only LSTM that there is.

    Returns:
        One direction, or the forward and the backward one.

    Raises:
        ValueError: if the file is damaged, there is no such node, its weights depend on an input of
            the model, or as `from_onnx`; naming the file.
        OSError: if the file cannot be read.
    """
    if isinstance(model, onnx.ModelProto):
        return _read(model, name)
    try:
        return _read(load_model(model), name)
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from error


def _read(model: onnx.ModelProto, name: str | None) -> tuple[DirectedCell, ...]:
    nodes = [node for node in model.graph.node if node.op_type == "LSTM"]
    chosen = [node for node in nodes if name in (None, node.name)]
    if len(chosen) != 1:
        raise ValueError(
            f"name must be that of one LSTM among {[node.name for node in nodes]}, got {name!r}"
        )
    sources = dict(zip(INPUTS, chosen[0].input, strict=False))
    wanted = {kind: source for kind, source in sources.items() if kind in SHAPES and source}
    arrays = {kind: constant(model, source, kind) for kind, source in wanted.items()}
    return from_onnx(chosen[0], arrays)


def from_onnx(node: onnx.NodeProto, arrays: Mapping[str, Any]) -> tuple[DirectedCell, ...]:
    """An ONNX LSTM's weights and equations as ours.

    Sequence lengths and the first state are not the weights': whoever runs the cells gives them.

    Args:
        node: the LSTM; its attributes are read: activations, clip, direction and input_forget.
        arrays: W and R, and B and P if the node has them.

    Returns:
        One direction, or the forward and the backward one, each with a bias, of zeros if there is
        no B.

    Raises:
        ValueError: if shapes do not fit or an activation is unknown.
    """
    attributes = _attributes(node)
    direction = attributes.get("direction", "forward")
    if direction not in REVERSED:
        raise ValueError(f"direction must be one of {', '.join(REVERSED)}, got {direction!r}")
    reverses = REVERSED[direction]
    count = len(reverses)
    there = {name: axes for name, axes in SHAPES.items() if name in arrays or name in ("W", "R")}
    own = {name: arrays[name] for name in there if name in arrays}
    own = checked(own, there, "an ONNX LSTM")
    W, R, P = own["W"], own["R"], own.get("P")
    if len(W) != count:
        raise ValueError(f"W must be of {count} directions, as the node says, got {len(W)}")
    B = own.get("B", np.zeros((count, 2 * W.shape[1]), W.dtype))
    names = attributes.get("activations") or ["Sigmoid", "Tanh", "Tanh"] * count
    alphas, betas = (iter(attributes.get(f"activation_{each}", ())) for each in ("alpha", "beta"))
    activations = [_activation(each, alphas, betas) for each in names]
    if len(activations) != 3 * count:
        raise ValueError(f"activations must be {3 * count}, got {names}")
    directions = []
    for n, reverse in enumerate(reverses):
        gate, candidate, of_cell = activations[3 * n : 3 * n + 3]
        cell = Variant(
            peepholes=P is not None,
            coupled=bool(attributes.get("input_forget", 0)),
            gate_activation=gate,
            candidate_activation=candidate,
            cell_activation=of_cell,
            clip_gates=attributes.get("clip"),
        )
        seeing = [gate for gate in cell.gates if gate in SEEING]
        of_inputs, of_hidden = np.split(B[n], 2)
        params = VariantParams(
            input_kernel=_ours(W[n], GATES, cell.gates).T,
            recurrent_kernel=_ours(R[n], GATES, cell.gates).T,
            bias=_ours(summed(of_inputs, of_hidden), GATES, cell.gates),
            peepholes=None if P is None else _ours(P[n], SEEING, seeing).reshape(len(seeing), -1),
        )
        directions.append(DirectedCell(cell, params, reverse))
    return tuple(directions)


def has_operator(cell: Variant) -> bool:
    """Whether ONNX's LSTM computes what a cell does."""
    return cell == Variant(cell.peepholes, cell.coupled, cell.bias, forget_bias=cell.forget_bias)


def to_onnx(directions: Sequence[DirectedCell]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Our cells as an ONNX LSTM: `from_onnx` undone.

    Args:
        directions: one, or a forward and a backward one of the same cell.

    Returns:
        The node's attributes, and W, R, B and, with peepholes, P.

    Raises:
        ValueError: if ONNX's LSTM has no such cell: no layer normalisation, projection, clipping
            of the cell state.
    """
    cell = directions[0].cell
    if not has_operator(cell):
        raise ValueError(f"cell must be one that ONNX's LSTM has, got {cell}")
    reverses = tuple(direction.reverse for direction in directions)
    hidden_size = directions[0].params.recurrent_kernel.shape[0]
    attributes: dict[str, Any] = {
        "direction": next(name for name, each in REVERSED.items() if each == reverses),
        "hidden_size": hidden_size,
    }
    if cell.coupled:
        attributes["input_forget"] = 1
    stacked: dict[str, list[np.ndarray]] = {}
    for _, params, _ in directions:
        W, R = (_theirs(np.asarray(kernel).T, cell.gates) for kernel in params[:2])
        bias = np.zeros(W.shape[0], W.dtype)
        if params.bias is not None:
            bias = _theirs(np.asarray(params.bias), cell.gates)
        arrays = {"W": W, "R": R, "B": np.concatenate([bias, np.zeros_like(bias)])}
        if params.peepholes is not None:
            seeing = [gate for gate in cell.gates if gate in SEEING]
            arrays["P"] = _theirs(np.asarray(params.peepholes).reshape(-1), seeing, SEEING)
        for name, array in arrays.items():
            stacked.setdefault(name, []).append(array)
    return attributes, {name: np.stack(arrays) for name, arrays in stacked.items()}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes that decide what an LSTM computes, text as `str`."""
    found = {}
    for each in node.attribute:
        if each.name not in ATTRIBUTES:
            continue
        wanted, came = ATTRIBUTES[each.name], AttributeProto.AttributeType.Name(each.type)
        if came != wanted:
            raise ValueError(f"{each.name} of an ONNX LSTM must be of type {wanted}, got {came}")
        value = onnx.helper.get_attribute_value(each)
        if wanted == "STRINGS":
            value = [text.decode(errors="replace") for text in value]
        elif wanted == "STRING":
            value = value.decode(errors="replace")
        found[each.name] = value
    return found


def _activation(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    """An activation with the next alpha, or alpha and beta, if it needs them."""
    known = {each.lower(): each for each in (*ACTIVATIONS, *PARAMETRIC)}
    found = known.get(name.lower())
    if found is None:
        raise ValueError(f"activations must be among {sorted(known.values())}, got {name!r}")
    if found in ACTIVATIONS:
        return ACTIVATIONS[found]
    function, defaults = PARAMETRIC[found]
    given = [next(n, default) for n, default in zip((alphas, betas), defaults, strict=False)]
    if None in given:
        raise ValueError(f"{found} must have activation_alpha and _beta of its own, got {given}")

    def activation(x: Array) -> Array:
        return function(x, *given)

    activation.__name__ = f"{found}({', '.join(map(str, given))})"
    return activation


def _ours(rows: np.ndarray, theirs: Sequence[str], ours: Sequence[str]) -> Any:
    """Rows of gates, in the order that we have them."""
    by_gate = dict(zip(theirs, np.split(rows, len(theirs)), strict=True))
    return np.concatenate([by_gate[gate] for gate in ours])


def _theirs(rows: np.ndarray, ours: Sequence[str], theirs: Sequence[str] = GATES) -> np.ndarray:
    """Rows of gates, in the order that ONNX has them; zeros for a gate that is coupled."""
    by_gate = dict(zip(ours, np.split(rows, len(ours)), strict=True))
    zeros = np.zeros_like(by_gate["input"])
    return np.concatenate([by_gate.get(gate, zeros) for gate in theirs])
