"""A batch spread over devices: `shard_map` with its checks, and meshes with explicit axes."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from jax.sharding import PartitionSpec
from test_cpu_kernel import run_program

TESTS = Path(__file__).parent

BEGIN = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import lstm_jax
from lstm_jax import Variant, init_lstm, lstm, recompute_gates, scan_cell
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.models.config import ModelConfig
from lstm_jax.nn import LSTMLayer, Pool

assert len(jax.devices()) == 2
params = init_lstm(jax.random.key(0), 3, 4)
inputs = jax.random.normal(jax.random.key(1), (4, 5, 3))
lengths = jnp.array([5, 2, 0, 3])
tokens = jax.random.randint(jax.random.key(2), (4, 5), 0, 20)
implementations = ["auto", *(n for n, s in lstm_jax.implementations().items() if s == "available")]

def close(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)

def squares(results):
    return sum((array**2).sum() for array in jax.tree.leaves(results))

def by(implementation, chunk_size=None):
    def run(params, inputs, lengths):
        options = {"implementation": implementation, "chunk_size": chunk_size}
        return lstm(params, inputs, lengths=lengths, **options)
    return run

def peephole(params, inputs, lengths):
    state = CELL.initial_state(params, len(inputs))
    return scan_cell(CELL, params, inputs, state, lengths=lengths, chunk_size=2)

def gates(params, inputs, lengths):
    outputs, _ = lstm(params, inputs, lengths=lengths)
    return recompute_gates(params, inputs, outputs, lengths=lengths)

CELL = Variant(peepholes=True, normalise=True)
functions = {f"lstm by {name}": (by(name), params) for name in implementations}
functions["lstm in chunks"] = (by("auto", 2), params)
functions["recompute_gates"] = (gates, params)
functions["scan_cell"] = (peephole, CELL.init(jax.random.key(3), 3, 4))

def classifier(**settings):
    model = TextClassifier(ModelConfig(embedding_size=4, hidden_size=4, **settings), 20)
    def run(variables, tokens, lengths):
        return model.apply(variables, tokens, lengths)
    return run, model.init(jax.random.key(0), tokens, lengths)

classifiers = {
    f"{pooling}, {settings}": classifier(pooling=pooling, **settings)
    for pooling, settings in (
        ("last", {"cell": "coupled", "layers": 2}),
        ("max_mean", {}),
        ("attention", {"direction": "backward"}),
    )
}

def zoned_out():
    layer, pool = LSTMLayer(4, "bidirectional", zoneout=(0.1, 0.1)), Pool("max_mean")
    def run(variables, inputs, lengths):
        return pool.apply({}, layer.apply(variables, inputs, lengths), lengths)
    return run, layer.init(jax.random.key(0), inputs, lengths)

cases = [(name, *case, inputs) for name, case in functions.items()]
cases += [(name, *case, tokens) for name, case in classifiers.items()]
cases += [("max_mean of a layer with zoneout", *zoned_out(), inputs)]
"""

SHARD_MAP = """
mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
split = {"mesh": mesh, "in_specs": (P(), P("batch"), P("batch"))}
for name, run, weights, given in cases:
    print(name)
    loss = lambda weights, given, lengths: squares(run(weights, given, lengths))
    expected = [jax.jit(each)(weights, given, lengths) for each in (run, jax.grad(loss))]
    spread = jax.shard_map(run, out_specs=P("batch"), **split)
    close(jax.jit(spread)(weights, given, lengths), expected[0])
    # The gradient inside is that of all devices' sequences, and outside too.
    inside = jax.shard_map(jax.grad(loss), out_specs=P(), **split)
    close(jax.jit(inside)(weights, given, lengths), expected[1])
    outside = jax.grad(lambda weights: squares(spread(weights, given, lengths)))
    close(jax.jit(outside)(weights), expected[1])
without = jax.shard_map(lambda p, x: lstm(p, x)[0], mesh=mesh, in_specs=(P(), P("batch")),
                        out_specs=P("batch"))
close(without(params, inputs), lstm(params, inputs)[0])
second = lambda run: jax.grad(lambda x: (jax.grad(lambda x: squares(run(params, x)))(x)**2).sum())
close(jax.jit(second(without))(inputs), second(lambda p, x: lstm(p, x)[0])(inputs))
"""

EXPLICIT = """
mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Explicit,))
expected = {}
for name, run, weights, given in cases:
    loss = lambda weights, given, lengths: squares(run(weights, given, lengths))
    results = jax.jit(run)(weights, given, lengths)
    expected[name] = results, jax.jit(jax.grad(loss))(weights, given, lengths)
for context in (True, False):
    if context:
        jax.set_mesh(mesh)
    for name, run, weights, given in cases:
        if not context and name not in functions:
            continue
        print(name)
        weights = jax.device_put(weights, NamedSharding(mesh, P()))
        given, split_lengths = jax.device_put((given, lengths), NamedSharding(mesh, P("batch")))
        loss = lambda weights, given, lengths: squares(run(weights, given, lengths))
        found = jax.jit(run)(weights, given, split_lengths)
        for array in jax.tree.leaves(found):
            assert jax.typeof(array).sharding.spec[0] == "batch", name
        close(found, expected[name][0])
        # See `lstm_jax.kernels.cpu.NO_EXPLICIT_AXES`.
        if jax.__version_info__ < (0, 11) or name != "lstm by cpu":
            close(jax.jit(jax.grad(loss))(weights, given, split_lengths), expected[name][1])
        if name == "lstm by auto":
            close(run(weights, given, split_lengths), expected[name][0])  # without jit too
"""


def run_on_two_devices(program: str) -> None:
    """Runs a program that asserts, in a process that has two devices."""
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), *sys.path]),
    }
    command = [sys.executable, "-c", textwrap.dedent(BEGIN + program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{done.stdout[-300:]}\n{done.stderr[-3000:]}")


def test_shard_map_with_its_checks_gives_the_same_numbers():
    run_on_two_devices(SHARD_MAP)


def test_a_batch_split_over_an_explicit_mesh_gives_the_same_numbers_and_stays_split():
    run_on_two_devices(EXPLICIT)


SHARDED = """
import json, re
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import test_cpu_kernel as t
from lstm_jax import Bidirectional, bidirectional_lstm
mesh = Mesh(np.array(jax.devices()), ("data",))
params, inputs, lengths, _ = t.problem(8, 12, 5, 7)
def loss(params, inputs, lengths):
    both = Bidirectional(params, params)
    outputs, state = bidirectional_lstm(both, inputs, lengths=lengths, implementation="cpu")
    return (outputs.forward ** 2).sum() + outputs.backward[:, 0].sum() + state.forward.cell.sum()
step = jax.jit(jax.value_and_grad(loss, (0, 1)))
expected = step(params, inputs, lengths)
split, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
args = jax.device_put((params, inputs, lengths), (whole, split, split))
value, (d_params, d_inputs) = step(*args)
text = step.lower(*args).compile().as_text()
found = (value, (d_params, d_inputs))
difference = jax.tree.map(lambda a, b: float(abs(a - b).max()), found, expected)
print(json.dumps({
    "devices": len(jax.devices()),
    "difference": max(jax.tree.leaves(difference)),
    "d_inputs": str(d_inputs.sharding.spec),
    "calls": len(re.findall(r"custom-call\\(", text)),
    "moved": re.findall(r"(all-gather|all-to-all|collective-permute)\\(", text),
}))
"""


def test_a_sharded_batch_stays_where_it_is():
    result = run_program(SHARDED, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert result["devices"] == 2
    assert result["difference"] < 1e-5
    assert result["d_inputs"] == str(PartitionSpec("data"))
    assert result["calls"] == 3  # forward, backward, gradient
    assert result["moved"] == []
