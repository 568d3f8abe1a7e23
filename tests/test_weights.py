"""Weights to and from other libraries: each runs them itself, and must compute what we do."""

import os
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_jax import Bidirectional, LSTMParams, lstm, scan_cell
from lstm_jax.interop import (
    from_flax,
    from_keras,
    from_torch,
    read_safetensors,
    stack_layers,
    stack_params,
    to_flax,
    to_keras,
    to_torch,
    write_safetensors,
)
from lstm_jax.nn.layer import LSTMLayer
from lstm_jax.nn.stack import LSTMStack
from lstm_jax.variants import Variant, VariantParams

SIZES = st.fixed_dictionaries({name: st.integers(1, 6) for name in ("B", "T", "D", "H")})
SEEDS = st.integers(0, 1000)
few = settings(max_examples=8, deadline=None, database=None)


def assert_equal(found, wanted):
    """The same trees of the same bits."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for array, expected in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def assert_close(found, wanted):
    """The same numbers to 1e-5, wherever they stand in a tree."""
    for array, expected in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert array.shape == expected.shape
        np.testing.assert_allclose(array, expected, atol=1e-5, rtol=0)


def random_params(rng, D, H, R=None):
    """The weights of one direction, biases included, all different."""
    arrays = {"input_kernel": (D, 4 * H), "recurrent_kernel": (R or H, 4 * H), "bias": (4 * H,)}
    if R is not None:
        arrays["projection"] = (H, R)
    drawn = {k: rng.normal(scale=0.5, size=s).astype(np.float32) for k, s in arrays.items()}
    return LSTMParams(**drawn) if R is None else VariantParams(**drawn)


def random_layers(rng, layers, bidirectional, D, H, R=None):
    """A stack of them."""
    stack, features = [], D
    for _ in range(layers):
        each = [random_params(rng, features, H, R) for _ in range(1 + bidirectional)]
        stack.append(Bidirectional(*each) if bidirectional else each[0])
        features = (R or H) * (1 + bidirectional)
    return tuple(stack)


def random_batch(rng, B, T, D):
    """Inputs, and lengths from 1: PyTorch packs no empty sequence."""
    return rng.normal(size=(B, T, D)).astype(np.float32), rng.integers(1, T + 1, B)


def run_ours(layers, inputs, lengths):
    """Outputs of the last layer, and the final hidden and cell states of all, as PyTorch's."""
    hidden, cell = [], []
    for layer in layers:
        outputs = []
        each = layer if isinstance(layer, Bidirectional) else (layer,)
        for params, reverse in zip(each, (False, True), strict=False):
            how = {"lengths": jnp.asarray(lengths), "reverse": reverse}
            if isinstance(params, LSTMParams):
                output, state = lstm(params, inputs, **how)
            else:
                variant = Variant(projection_size=params.projection.shape[1])
                start = variant.initial_state(params, len(inputs))
                output, state = scan_cell(variant, params, inputs, start, **how)
            outputs.append(output)
            hidden.append(state.hidden)
            cell.append(state.cell)
        inputs = jnp.concatenate(outputs, axis=-1)
    return inputs, jnp.stack(hidden), jnp.stack(cell)


def learned(run, arguments, seed):
    """Results, and the gradients of a sum in which each of their numbers has its own weight."""

    @jax.jit
    def both(arguments):
        rng = np.random.default_rng(seed)
        results, pullback = jax.vjp(run, *arguments)
        weights = tuple(jnp.asarray(rng.normal(size=a.shape), a.dtype) for a in results)
        return results, pullback(weights), weights

    return both(arguments)


def assert_learns_the_same(run, ours, inputs, lengths, seed):
    """Outputs, final states and the gradient of the inputs are ours."""
    expected, wanted, _ = learned(run, (inputs,), seed)
    found, gradient, _ = learned(lambda x: run_ours((ours,), x, lengths), (inputs,), seed)
    assert_close(found, expected)
    assert_close(gradient, wanted)


# PyTorch


@pytest.mark.parametrize("projected", [False, True])
def test_an_lstm_of_pytorch_computes_and_learns_the_same(projected):
    torch = pytest.importorskip("torch")

    @few
    @given(SIZES, st.integers(1, 3), st.booleans(), st.booleans(), SEEDS)
    def check(sizes, layers, bidirectional, bias, seed):
        rng = np.random.default_rng(seed)
        B, T, D = (sizes[name] for name in "BTD")
        H = sizes["H"] + projected
        how = {"num_layers": layers, "bidirectional": bidirectional, "bias": bias}
        module = torch.nn.LSTM(D, H, proj_size=H - 1 if projected else 0, batch_first=True, **how)
        for parameter in module.parameters():
            parameter.data = torch.from_numpy(rng.normal(scale=0.5, size=parameter.shape)).float()
        ours = from_torch(module.state_dict())
        inputs, lengths = random_batch(rng, B, T, D)
        results, (d_ours, d_inputs), weights = learned(
            lambda layers, inputs: run_ours(layers, inputs, lengths), (ours, inputs), seed
        )
        gradients = to_torch(d_ours)

        def assert_torch_agrees():
            module.zero_grad()
            tensor = torch.tensor(inputs, requires_grad=True)
            packed = torch.nn.utils.rnn.pack_padded_sequence(
                tensor, torch.tensor(lengths), batch_first=True, enforce_sorted=False
            )
            outputs, states = module(packed)
            outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(
                outputs, batch_first=True, total_length=T
            )
            expected = (outputs, *states)
            pairs = zip(weights, expected, strict=True)
            total: Any = sum((torch.tensor(np.array(w)) * array).sum() for w, array in pairs)
            total.backward()
            assert_close(results, [array.detach().numpy() for array in expected])
            assert_close(d_inputs, tensor.grad.numpy())
            for name, parameter in module.named_parameters():
                # Both biases of PyTorch are added: each has the gradient of the sum.
                gradient = gradients[name.replace("bias_hh", "bias_ih")]
                assert_close(gradient, parameter.grad.numpy())

        assert_torch_agrees()
        state = {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}
        theirs = to_torch(ours, bias=bias)
        module.load_state_dict({name: torch.from_numpy(a) for name, a in theirs.items()})
        assert_torch_agrees()
        assert_equal(from_torch(theirs), ours)
        for name in [name for name in state if name.startswith("bias_hh")]:
            first = name.replace("hh", "ih")
            state[first], state[name] = state[first] + state[name], np.zeros_like(state[name])
        assert_equal(theirs, state)

    check()


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")  # PyTorch's, on speed
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("projection_size", [None, 2])
def test_our_stack_runs_pytorchs_weights_and_gives_its_own(bidirectional, projection_size, rng):
    torch = pytest.importorskip("torch")
    how = {"num_layers": 2, "bidirectional": bidirectional, "batch_first": True}
    module = torch.nn.LSTM(3, 5, proj_size=projection_size or 0, **how)
    inputs = rng.normal(size=(4, 7, 3)).astype(np.float32)
    cell = Variant(projection_size=projection_size) if projection_size else "lstm"
    direction = "bidirectional" if bidirectional else "forward"
    stack: Any = LSTMStack(2, partial(LSTMLayer, 5, direction, cell=cell))
    layers = from_torch(module.state_dict())
    encoding = stack.apply({"params": stack_params(layers)}, inputs)
    assert_close(encoding.outputs, module(torch.tensor(inputs))[0].detach().numpy())
    assert_equal(stack_layers(stack_params(layers)), layers)
    params = stack.init(jax.random.key(0), inputs)["params"]
    assert_equal(stack_params(stack_layers(params)), params)
    arrays = to_torch(stack_layers(params))
    module.load_state_dict({name: torch.from_numpy(a) for name, a in arrays.items()})
    wanted = module(torch.tensor(inputs))[0].detach().numpy()
    assert_close(stack.apply({"params": params}, inputs).outputs, wanted)


@pytest.mark.parametrize("prefix", ["", "encoder.lstm."])
def test_safetensors_files_are_pytorchs(prefix, rng, tmp_path):
    torch = pytest.importorskip("torch")
    files = pytest.importorskip("safetensors.torch")
    module = torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True)
    tensors = {prefix + name: tensor for name, tensor in module.state_dict().items()}
    other = {"head.weight": torch.ones(2, dtype=torch.int32)} if prefix else {}
    files.save_file(tensors | other, tmp_path / "theirs.safetensors")
    layers = read_safetensors(tmp_path / "theirs.safetensors", prefix)
    assert_equal(layers, from_torch(module.state_dict()))
    layers = random_layers(rng, 2, True, 3, 5)
    write_safetensors(tmp_path / "ours.safetensors", layers, prefix)
    loaded = files.load_file(tmp_path / "ours.safetensors")
    module.load_state_dict({n.removeprefix(prefix): tensor for n, tensor in loaded.items()})
    assert_equal(from_torch(module.state_dict()), layers)
    assert_equal(read_safetensors(str(tmp_path / "ours.safetensors"), prefix), layers)


def test_bfloat16_survives_a_file(rng, tmp_path):
    files = pytest.importorskip("safetensors.torch")
    layers = jax.tree.map(lambda a: a.astype(jnp.bfloat16), random_layers(rng, 2, False, 3, 5))
    write_safetensors(tmp_path / "half.safetensors", layers)
    for name, tensor in files.load_file(tmp_path / "half.safetensors").items():
        np.testing.assert_array_equal(tensor.float(), to_torch(layers)[name].astype(np.float32))
    assert_equal(read_safetensors(tmp_path / "half.safetensors"), layers)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_a_pickle_is_refused_with_the_two_lines_that_convert_it(suffix, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors.torch")
    module = torch.nn.LSTM(3, 5, num_layers=2)
    path = tmp_path / f"it's a model{suffix}"
    torch.save(module.state_dict(), path)
    with pytest.raises(ValueError, match="can run code") as refused:
        read_safetensors(path)
    with pytest.raises(ValueError, match="can run code"):
        write_safetensors(path, from_torch(module.state_dict()))
    code = str(refused.value).splitlines()[1:]
    assert len(code) == 2
    exec("\n".join(code), {})
    layers = read_safetensors(path.with_suffix(".safetensors"))
    assert_equal(layers, from_torch(module.state_dict()))


def test_no_other_framework_is_imported():
    code = (
        "import sys\n"
        "for name in ('torch', 'keras', 'tensorflow', 'safetensors'): sys.modules[name] = None\n"
        "import numpy as np\n"
        "from lstm_jax.interop import *\n"
        "params = from_keras([np.ones((2, 12)), np.ones((3, 12))])\n"
        "assert from_torch(to_torch((params,)))[0].bias.shape == (12,)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


# Keras


@pytest.fixture(scope="module")
def keras():
    """Keras on JAX, unless this process has it on something else."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("keras")
    if module.backend.backend() != "jax":
        pytest.skip("Keras runs on another backend")
    return module


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
@pytest.mark.parametrize("bidirectional", [False, True], ids=["LSTM", "Bidirectional"])
def test_an_lstm_of_keras_computes_and_learns_the_same(keras, bidirectional):
    @few
    @given(SIZES, st.booleans(), st.booleans(), SEEDS)
    def check(sizes, bias, ragged, seed):
        rng = np.random.default_rng(seed)
        B, T, D, H = (sizes[name] for name in "BTDH")
        inputs, lengths = random_batch(rng, B, T, D)
        lengths = lengths if ragged else np.full(B, T)
        valid = np.arange(T) < lengths[:, None]
        layer = keras.layers.LSTM(H, use_bias=bias, return_sequences=True, return_state=True)
        if bidirectional:
            layer = keras.layers.Bidirectional(layer, merge_mode="concat")
        layer.build((B, T, D))
        layer.set_weights([rng.normal(scale=0.5, size=w.shape) for w in layer.weights])
        ours = from_keras(layer.get_weights())
        variables, others = (
            [variable.value for variable in each]
            for each in (layer.trainable_variables, layer.non_trainable_variables)
        )

        def run(inputs):
            mask = jnp.asarray(valid) if ragged else None
            (outputs, *states), _ = layer.stateless_call(variables, others, inputs, mask=mask)
            # Past a length Keras repeats the last output where it reads one way.
            return outputs * valid[..., None], jnp.stack(states[::2]), jnp.stack(states[1::2])

        assert_learns_the_same(run, ours, inputs, lengths, seed)
        assert_equal(to_keras(ours, bias=bias), layer.get_weights())
        (ours,) = random_layers(rng, 1, bidirectional, D, H)
        layer = type(layer).from_config(layer.get_config() | {"name": "other"})
        ours = ours if bias else jax.tree.map(lambda array: array * (array.ndim > 1), ours)
        layer.build((B, T, D))
        layer.set_weights(to_keras(ours, bias=bias))
        assert_equal(from_keras(layer.get_weights()), ours)

    check()


# Flax


@pytest.mark.parametrize("bidirectional", [False, True], ids=["RNN", "Bidirectional"])
def test_an_lstm_of_flax_computes_and_learns_the_same(bidirectional):
    @few
    @given(SIZES, st.sampled_from([nn.LSTMCell, nn.OptimizedLSTMCell]), SEEDS)
    def check(sizes, cell, seed):
        rng = np.random.default_rng(seed)
        B, T, D, H = (sizes[name] for name in "BTDH")
        inputs, lengths = random_batch(rng, B, T, D)
        valid = np.arange(T) < lengths[:, None]
        layers: Any = [nn.RNN(cell(H), return_carry=True) for _ in range(1 + bidirectional)]
        module = nn.Bidirectional(*layers, return_carry=True) if bidirectional else layers[0]
        theirs = jax.tree.map(
            lambda like: rng.normal(scale=0.5, size=like.shape).astype(like.dtype),
            jax.eval_shape(module.init, jax.random.key(0), inputs)["params"],
        )

        def run(inputs):
            carries, outputs = module.apply(
                {"params": theirs}, inputs, seq_lengths=jnp.asarray(lengths)
            )
            cells, hidden = zip(*(carries if bidirectional else (carries,)), strict=True)
            # What Flax gives past a length is no output.
            return outputs * valid[..., None], jnp.stack(hidden), jnp.stack(cells)

        ours = from_flax(theirs)
        assert_learns_the_same(run, ours, inputs, lengths, seed)
        back = to_flax(ours)
        assert_equal(back if bidirectional else {"cell": back}, theirs)
        (ours,) = random_layers(rng, 1, bidirectional, D, H)
        assert_equal(from_flax(to_flax(ours)), ours)

    check()


# All of them


@pytest.mark.parametrize("dtype", [np.float16, np.float64, jnp.bfloat16], ids=str)
def test_floats_keep_their_dtype_and_other_numbers_are_refused(dtype):
    arrays: Any = random_params(np.random.default_rng(0), 3, 5)
    params = LSTMParams(*(array.astype(dtype) for array in arrays))
    whole = jax.tree.map(lambda array: array.astype(np.int32), params)
    conversions: Any = (
        (lambda params: to_torch((params,)), lambda arrays: from_torch(arrays)[0]),
        (to_keras, from_keras),
        (to_flax, from_flax),
        (lambda params: stack_params((params,)), lambda params: stack_layers(params)[0]),
    )
    for there, back in conversions:
        theirs = there(params)
        assert {array.dtype for array in jax.tree.leaves(theirs)} == {np.dtype(dtype)}
        assert_equal(back(theirs), params)
        assert {array.dtype for array in back(theirs)} == {np.dtype(dtype)}
        with pytest.raises(ValueError, match="must be floating, got int32"):
            back(jax.tree.map(lambda array: array.astype(np.int32), theirs))
        with pytest.raises(ValueError, match="must be floating, got int32"):
            there(whole)


def test_converted_weights_are_copies(rng):
    (params,) = random_layers(rng, 1, False, 1, 1)  # so thin that a transpose needs no copy
    conversions: Any = (
        (to_torch((params,)), from_torch),
        (to_keras(params), from_keras),
        (to_flax(params), from_flax),
        (stack_params((params,)), stack_layers),
    )
    for theirs, back in conversions:
        ours = back(theirs)
        kept = jax.tree.map(np.array, (params, ours))
        for array in jax.tree.leaves(theirs):
            array += 1
        assert_equal((params, ours), kept)
