"""ONNX's LSTM operator as our cells: the standard's own cases, and onnxruntime as the oracle."""

import io
import warnings
from functools import partial
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_jax import LSTMParams, LSTMState, lstm
from lstm_jax.recurrence import scan_cell
from lstm_jax.variants import Variant, VariantParams

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from lstm_jax.interop.onnx_lstm import (  # noqa: E402 - it imports onnx
    INPUTS,
    REVERSED,
    DirectedCell,
    from_onnx,
    read_onnx,
    to_onnx,
)


def cases():
    """The standard's cases of this operator, by name; importing the module makes them."""
    import_module("onnx.backend.test.case.node.lstm")
    from onnx.backend.test.case import node

    found = {case.name: case for case in node._NodeTestCases if "lstm" in case.name}
    assert len(found) >= 6
    return found


def run(directions, inputs, lengths=None, states=None):
    """Y [T, directions, B, H], and Y_h and Y_c [directions, B, H], of inputs [T, B, D]."""
    every, hidden, cell_state = [], [], []
    for n, (cell, params, reverse) in enumerate(directions):
        state = cell.initial_state(params, inputs.shape[1])
        if states is not None:
            state = LSTMState(*(jnp.asarray(each[n]) for each in states))
        inputs_by_row = jnp.swapaxes(jnp.asarray(inputs), 0, 1)
        outputs, state = scan_cell(
            cell, params, inputs_by_row, state, lengths=lengths, reverse=reverse
        )
        every.append(np.swapaxes(outputs, 0, 1))
        hidden.append(state.hidden)
        cell_state.append(state.cell)
    return np.stack(every, axis=1), np.stack(hidden), np.stack(cell_state)


@pytest.mark.parametrize("name", cases())
def test_the_standards_own_case(name):
    case = cases()[name]
    (node,), ((given_inputs, expected),) = case.model.graph.node, case.data_sets
    present = [kind for kind, source in zip(INPUTS, node.input, strict=False) if source]
    arrays = dict(zip(present, given_inputs, strict=True))
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    batch_first = attributes.get("layout", 0) == 1
    inputs = np.swapaxes(arrays["X"], 0, 1) if batch_first else arrays["X"]
    states = [arrays[each] for each in ("initial_h", "initial_c") if each in arrays] or None
    found = run(from_onnx(node, arrays), inputs, arrays.get("sequence_lens"), states)
    wanted = [n for n, output in enumerate(node.output) if output]
    for n, array in zip(wanted, expected, strict=True):
        if batch_first:
            array = np.moveaxis(array, 0, -2)
        np.testing.assert_allclose(found[n], array, atol=1e-6)


# By name, how many alphas and betas it takes; "" for the three defaults.
ACTIVATIONS = {
    **dict.fromkeys(("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus"), (0, 0)),
    **dict.fromkeys(("LeakyRelu", "ThresholdedRelu", "Elu"), (1, 0)),
    **dict.fromkeys(("Affine", "ScaledTanh", "HardSigmoid"), (1, 1)),
}


@st.composite
def models(draw):
    """A model of one LSTM of any kind, and what it is run on."""
    time, batch, features, hidden = (draw(st.integers(1, most)) for most in (6, 4, 3, 5))
    direction = draw(st.sampled_from(sorted(REVERSED)))
    count = len(REVERSED[direction])
    attributes = {"direction": direction, "hidden_size": hidden}
    if draw(st.booleans()):
        attributes["clip"] = draw(st.sampled_from([0.3, 1.5]))
    if draw(st.booleans()):
        attributes["input_forget"] = 1
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    if draw(st.booleans()):
        names = draw(st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=3, max_size=3))
        # Gates from 0 to 1 in half of the cases, so that what is unbounded may be seen beside them.
        names = [draw(st.sampled_from(["Sigmoid", names[0]])), *names[1:]]
        attributes["activations"] = names * count
        for place, name in enumerate(("activation_alpha", "activation_beta")):
            needed = count * sum(ACTIVATIONS[each][place] for each in names)
            if needed:
                attributes[name] = rng.uniform(0.1, 0.9, needed).round(2).tolist()
    shapes: dict[str, tuple[int, ...]] = {"W": (4 * hidden, features), "R": (4 * hidden, hidden)}
    if draw(st.booleans()):
        shapes["B"] = (8 * hidden,)
    if draw(st.booleans()):
        shapes["P"] = (3 * hidden,)
    weights = {
        name: rng.normal(0, 0.6, (count, *shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    state = rng.normal(0, 0.5, (2, count, batch, hidden)).astype(np.float32)
    return (
        attributes,
        weights,
        {
            "X": rng.normal(size=(time, batch, features)).astype(np.float32),
            "sequence_lens": rng.integers(0, time + 1, batch).astype(np.int32),
            "initial_h": state[0],
            "initial_c": state[1],
        },
    )


def one_node_model(attributes, weights, inputs, opset=18):
    """An LSTM whose weights are constants and whose other inputs are the model's."""
    there = [kind if kind in weights or kind in inputs else "" for kind in INPUTS]
    node = onnx.helper.make_node("LSTM", there, ["Y", "Y_h", "Y_c"], "the LSTM", **attributes)
    info, types = onnx.helper.make_tensor_value_info, onnx.TensorProto
    graph = onnx.helper.make_graph(
        [node],
        "one LSTM",
        [
            info(name, types.INT32 if array.dtype == np.int32 else types.FLOAT, array.shape)
            for name, array in inputs.items()
        ],
        [info(name, types.FLOAT, None) for name in node.output],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def by_onnxruntime(model, inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, inputs)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(models())
def test_any_lstm_gives_what_onnxruntime_gives(problem):
    attributes, weights, inputs = problem
    model = one_node_model(attributes, weights, inputs)
    expected = by_onnxruntime(model, inputs)
    lengths, states = inputs["sequence_lens"], (inputs["initial_h"], inputs["initial_c"])
    found = run(read_onnx(model), inputs["X"], lengths, states)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-5)
    # Of length 0, the final state is the first one here and zeros there.
    some = lengths > 0
    for mine, theirs in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(mine[:, some], theirs[:, some], rtol=1e-5, atol=1e-5)


def plain_model(rng, **attributes):
    weights = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in {"W": (1, 20, 3), "R": (1, 20, 5), "B": (1, 40)}.items()
    }
    inputs = {"X": rng.normal(size=(4, 2, 3)).astype(np.float32)}
    return one_node_model({"hidden_size": 5, **attributes}, weights, inputs), inputs


def with_weights_from_nodes(model):
    """The same model with weights that nodes compute: constants, cut, joined and renamed."""
    model, make = onnx.ModelProto.FromString(model.SerializeToString()), onnx.helper.make_node
    named = {each.name: each for each in model.graph.initializer}
    del model.graph.initializer[:]
    nodes = []
    if "B" in named:
        nodes.append(make("Constant", [], ["B"], value=named["B"]))
    if "P" in named:
        nodes.append(make("Identity", ["p"], ["P"]))
        named["P"].name = "p"
        model.graph.initializer.append(named["P"])
    for name in ("W", "R"):
        rows = named[name].dims[1]
        bounds = {"zero": [0], "half": [rows // 2], "end": [rows], "axis": [1]}
        for bound, value in bounds.items():
            value = onnx.numpy_helper.from_array(np.array(value), f"{name}_{bound}")
            nodes.append(make("Constant", [], [f"{name}_{bound}"], value=value))
        for part, (start, end) in enumerate((("zero", "half"), ("half", "end"))):
            inputs = [f"{name}_{each}" for each in ("all", start, end, "axis")]
            nodes.append(make("Slice", inputs, [f"{name}_{part}"]))
        nodes.append(make("Concat", [f"{name}_0", f"{name}_1"], [name], axis=1))
        named[name].name = f"{name}_all"
        model.graph.initializer.append(named[name])
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


@settings(max_examples=10, deadline=None, derandomize=True)
@given(models())
def test_weights_may_be_constants_or_computed_from_them(problem):
    attributes, weights, inputs = problem
    expected = read_onnx(one_node_model(attributes, weights, inputs))
    model = with_weights_from_nodes(one_node_model(attributes, weights, inputs))
    by_onnxruntime(model, inputs)
    for mine, theirs in zip(read_onnx(model), expected, strict=True):
        jax.tree.map(np.testing.assert_array_equal, mine.params, theirs.params)
        assert mine.reverse == theirs.reverse


@pytest.mark.parametrize("folded", [True, False])
def test_what_pytorch_exports_is_read_with_and_without_constant_folding(folded, rng):
    torch = pytest.importorskip("torch")
    model = torch.nn.LSTM(3, 5, bidirectional=True)
    inputs = rng.normal(size=(4, 2, 3)).astype(np.float32)
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is a newer exporter, which needs onnxscript
        torch.onnx.export(
            model, (torch.from_numpy(inputs),), written, dynamo=False, do_constant_folding=folded
        )
    directions = read_onnx(onnx.load_from_string(written.getvalue()))
    found = np.concatenate(np.moveaxis(run(directions, inputs)[0], 1, 0), axis=-1)
    expected = model(torch.from_numpy(inputs))[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weights_that_depend_on_an_input_are_refused_by_its_name(rng):
    model, _ = plain_model(rng)
    node = onnx.helper.make_node("Add", ["W", "X"], ["W_of_X"])
    model.graph.node.insert(0, node)
    model.graph.node[1].input[1] = "W_of_X"
    with pytest.raises(ValueError, match="W must be a constant of the model, got 'X'"):
        read_onnx(model)


def test_a_plain_lstm_is_one_for_the_fast_implementations(rng, tmp_path):
    model, inputs = plain_model(rng)
    onnx.save(model, tmp_path / "model.onnx")
    ((cell, params, reverse),) = read_onnx(tmp_path / "model.onnx", "the LSTM")
    assert (cell, reverse) == (Variant(), False)
    weights: Any = params[:3]
    outputs, _ = lstm(LSTMParams(*weights), np.swapaxes(inputs["X"], 0, 1))
    expected = by_onnxruntime(model, inputs)[0][:, 0]
    np.testing.assert_allclose(np.swapaxes(outputs, 0, 1), expected, atol=1e-5)


def test_defaults_of_activations_are_onnxruntimes(rng):
    names = ["HardSigmoid", "LeakyRelu", "Elu"]
    model, inputs = plain_model(rng, activations=names)
    found = run(read_onnx(model), inputs["X"])
    for mine, theirs in zip(found, by_onnxruntime(model, inputs), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", [Variant(), Variant(peepholes=True), Variant(coupled=True)])
@pytest.mark.parametrize("direction", REVERSED)
def test_there_and_back_gives_the_same_weights(cell, direction):
    directions = []
    for n, reverse in enumerate(REVERSED[direction]):
        params = cell.init(jax.random.key(n), 3, 5)
        drawn = partial(jax.random.normal, jax.random.key(n + 7))
        params = jax.tree.map(lambda array, drawn=drawn: drawn(array.shape), params)
        directions.append(DirectedCell(cell, params, reverse))
    attributes, arrays = to_onnx(directions)
    assert attributes["direction"] == direction
    node = onnx.helper.make_node("LSTM", [], [], **attributes)
    back = from_onnx(node, arrays)
    assert [(each.cell, each.reverse) for each in back] == [
        (each.cell, each.reverse) for each in directions
    ]
    jax.tree.map(
        np.testing.assert_array_equal,
        [each.params for each in back],
        [each.params for each in directions],
    )


def test_a_cell_that_onnx_does_not_have_is_refused():
    for cell in (Variant(normalise=True), Variant(projection_size=2), Variant(clip_cell=1.0)):
        params = cell.init(jax.random.key(0), 3, 5)
        with pytest.raises(ValueError, match="cell must be one that ONNX's LSTM has"):
            to_onnx([DirectedCell(cell, params, False)])


def test_a_refusal_names_what_the_cell_has_and_its_functions_by_their_names(rng):
    weights = read_onnx(plain_model(rng)[0])[0].params
    names = ["HardSigmoid", "Tanh", "Elu"]
    (read,) = read_onnx(plain_model(rng, activations=names)[0])
    for cell, shown in (
        (Variant(normalise=True), r"Variant\(normalise=True\)"),
        (Variant(gate_activation=jax.nn.relu), r"Variant\(gate_activation=relu\)"),
        (
            read.cell,
            r"Variant\(gate_activation=HardSigmoid\(0.2, 0.5\), cell_activation=Elu\(1.0\)\)",
        ),
    ):
        with pytest.raises(ValueError, match=f"cell must be one .* has, got {shown}$"):
            to_onnx([DirectedCell(cell, weights, False)])


def test_what_cannot_be_read_is_refused_by_name(rng):
    model, _ = plain_model(rng)
    with pytest.raises(ValueError, match=r"name must be that of one LSTM among \['the LSTM'\]"):
        read_onnx(model, "another")
    for activations, message in (
        (["Sigmoid", "Tanh"], "activations must be 3"),
        (["Sigmoid", "Tanh", "Sine"], "activations must be among .*'Sine'"),
        (["Sigmoid", "Tanh", "Affine"], "Affine must have activation_alpha"),
        ([1, 2, 3], "activations of an ONNX LSTM must be of type STRINGS, got INTS"),
    ):
        with pytest.raises(ValueError, match=message):
            read_onnx(plain_model(rng, activations=activations)[0])
    with pytest.raises(ValueError, match=r"direction must be one of forward, .*, got 'sideways'"):
        read_onnx(plain_model(rng, direction="sideways")[0])
    node, short = model.graph.node[0], np.zeros((1, 19, 3), np.float32)
    weights: VariantParams = read_onnx(model)[0].params
    recurrent = np.zeros((1, 20, weights.recurrent_kernel.shape[0]), np.float32)
    with pytest.raises(ValueError, match=r"W of an ONNX LSTM must have shape \(N, 4H, D\)"):
        from_onnx(node, {"W": short, "R": recurrent})
    with pytest.raises(ValueError, match="W must be of 1 directions"):
        from_onnx(node, {"W": np.zeros((2, 20, 3), np.float32), "R": recurrent.repeat(2, 0)})
    with pytest.raises(ValueError, match=r"missing: \['R'\]"):
        from_onnx(node, {"W": short})
    del model.graph.initializer[:]
    with pytest.raises(ValueError, match="W must be a constant of the model"):
        read_onnx(model)
