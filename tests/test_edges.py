"""What stands at the edge of the contract: other integer types, no steps, meshes, remat, forks."""

import os
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_jax import Variant, init_lstm, lstm, lstm_cell, scan_cell, zero_state
from lstm_jax.classifier import ModelConfig, TextClassifier
from lstm_jax.layers import LSTMLayer, LSTMStack
from lstm_jax.pooling import Pool

ROOT = Path(__file__).parents[1]
LENGTHS = jnp.array([7, 0, 3])


def inputs(time: int = 7) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (3, time, 4))


def run_program(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in a process of its own."""
    paths = {"PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **paths}
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int8"])
@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_of_any_integer_type_are_read_alike_in_chunks(dtype: str, reverse: bool):
    params, time = init_lstm(jax.random.key(0), 4, 5), 7
    options = {"reverse": reverse, "chunk_size": 3}
    narrow = LENGTHS.astype(dtype)
    states = zero_state(3, 5)
    expected = scan_cell(lstm_cell, params, inputs(time), states, lengths=LENGTHS, reverse=reverse)
    got = scan_cell(lstm_cell, params, inputs(time), states, lengths=narrow, **options)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, expected)


def test_lengths_of_one_byte_are_read_in_more_steps_than_a_byte_counts():
    layer = LSTMLayer(5, cell="peephole", chunk_size=8)
    long, lengths = jnp.ones((2, 300, 4)), jnp.array([127, 5])
    params = layer.init(jax.random.key(0), long, lengths)
    expected = layer.apply(params, long, lengths)
    got = layer.apply(params, long, lengths.astype(jnp.int8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, expected)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from functools import partial
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from lstm_jax import init_lstm, lstm
params = init_lstm(jax.random.key(0), 3, 4)
inputs = jax.random.normal(jax.random.key(1), (4, 5, 3))
lengths = jnp.array([5, 0, 2, 4])
def check(got, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, expected)
for implementation in ("auto", "xla", "scan"):
    def run(params, inputs, lengths):
        return lstm(params, inputs, lengths=lengths, implementation=implementation)
    def loss(params, inputs, lengths, run=run):
        return sum((array**2).sum() for array in jax.tree.leaves(run(params, inputs, lengths)))
    expected = run(params, inputs, lengths)
    gradient = jax.grad(loss, (0, 1))(params, inputs, lengths)
    mesh = jax.make_mesh((2,), ("b",), axis_types=(AxisType.Auto,))
    mapped = jax.shard_map(run, mesh=mesh, in_specs=(P(), P("b"), P("b")), out_specs=P("b"))
    check(jax.jit(mapped)(params, inputs, lengths), expected)
    mapped_loss = partial(loss, run=mapped)
    check(jax.jit(jax.grad(mapped_loss, (0, 1)))(params, inputs, lengths), gradient)
    with jax.set_mesh(jax.make_mesh((2,), ("b",), axis_types=(AxisType.Explicit,))) as mesh:
        by_row, whole = NamedSharding(mesh, P("b")), NamedSharding(mesh, P())
        placed = jax.device_put((params, inputs, lengths), (whole, by_row, by_row))
        check(jax.jit(run)(*placed), expected)
        check(jax.jit(jax.grad(loss, (0, 1)))(*placed), gradient)
print("equal")
"""


def test_shard_map_with_its_checks_and_explicit_meshes_give_the_results_of_one_device():
    flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    done = run_program(SHARDED, XLA_FLAGS=flags)
    assert done.stdout.strip() == "equal", done.stderr[-2000:]


def test_no_operation_promotes_the_rank_of_an_array():
    with jax.numpy_rank_promotion("raise"):
        params = init_lstm(jax.random.key(0), 4, 5)
        lstm_cell(params, zero_state(3, 5), inputs()[:, 0])
        for implementation in ("auto", "xla", "scan"):
            outputs, _ = lstm(params, inputs(), lengths=LENGTHS, implementation=implementation)
            assert outputs.shape == (3, 7, 5)
        for pooling in ("last", "max_mean", "attention"):
            model = TextClassifier(ModelConfig(4, hidden_size=5, pooling=pooling), 9)
            tokens = jnp.ones((3, 7), jnp.int32)
            logits = model.apply(model.init(jax.random.key(0), tokens, LENGTHS), tokens, LENGTHS)
            assert np.isfinite(np.asarray(logits)).all()


@pytest.mark.parametrize("pooling", ["last", "max", "mean", "max_mean", "attention"])
def test_texts_without_a_step_have_the_logits_of_empty_texts(pooling: str):
    model = TextClassifier(ModelConfig(4, hidden_size=5, layers=2, pooling=pooling), 9)
    params = model.init(jax.random.key(0), jnp.ones((3, 7), jnp.int32), LENGTHS)
    none = jnp.zeros(3, jnp.int32)
    got = model.apply(params, jnp.zeros((3, 0), jnp.int32), none)
    expected = model.apply(params, jnp.zeros((3, 7), jnp.int32), none)
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), atol=1e-6)


def test_a_stack_over_no_steps_gives_no_outputs():
    stack = LSTMStack(2, lambda name: LSTMLayer(5, "bidirectional", name=name))
    encoding, _ = stack.init_with_output(jax.random.key(0), inputs(0), jnp.zeros(3, jnp.int32))
    assert encoding.outputs.shape == (3, 0, 10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LSTMLayer(5, direction="sideways"),
            r"direction must be one of .*, got 'sideways'",
        ),  # pyright: ignore[reportArgumentType]
        (lambda: LSTMLayer(5, "bidirectional", merge="no"), r"merge must be one of .*, got 'no'"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_a_setting_that_is_unknown_is_refused_by_name(make, message: str):
    with pytest.raises(ValueError, match=message):
        make().init(jax.random.key(0), inputs(), LENGTHS)


def test_an_unknown_pooling_is_refused_by_name():
    encoding, _ = LSTMLayer(5).init_with_output(jax.random.key(0), inputs(), LENGTHS)
    with pytest.raises(ValueError, match=r"pooling must be one of .*, got 'first'"):
        Pool("first").init(jax.random.key(0), encoding, LENGTHS)  # pyright: ignore[reportArgumentType]


def test_a_rematerialised_layer_trains_as_the_layer_does():
    layer, again = LSTMLayer(5), nn.remat(LSTMLayer, static_argnums=(4, 5))(5)
    params = layer.init(jax.random.key(0), inputs(), LENGTHS)

    def loss(params, model):
        return (model.apply(params, inputs(), LENGTHS, None, False, True).outputs ** 2).sum()

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        jax.grad(loss)(params, again),
        jax.grad(loss)(params, layer),
    )


def test_a_traced_train_is_refused_with_what_to_write():
    layer = nn.remat(LSTMLayer)(5, weight_dropout=0.5)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    with pytest.raises(ValueError, match=r"train must be .*, got a traced value.*static"):
        layer.init(keys, inputs(), LENGTHS, None, False, True)


def test_a_platform_that_is_not_there_is_one_line(tmp_path: Path):
    rows = [f"a {'good' if n % 2 else 'bad'} film {n},{n % 2}" for n in range(40)]
    (tmp_path / "x.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    program = f"""
import os, sys
os.chdir({str(tmp_path)!r})
sys.argv = ["lstm_jax", "train", "x.csv", "run"]
from lstm_jax.cli import main
main()
"""
    done = run_program(program, JAX_PLATFORMS="cuda")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "JAX_PLATFORMS must name platforms that this machine has, got 'cuda'" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_using_the_lstm_after_a_fork_is_an_error_and_no_hang():
    program = """
import os, warnings
warnings.simplefilter("ignore")
import jax, jax.numpy as jnp
from lstm_jax import init_lstm, lstm
params = init_lstm(jax.random.key(0), 3, 4)
lstm(params, jnp.ones((2, 5, 3)))[0].block_until_ready()
if os.fork() == 0:
    try:
        lstm(params, jnp.ones((2, 5, 3)))
    except RuntimeError as error:
        print("spawn" in str(error), flush=True)
    os._exit(0)
os.wait()
"""
    assert run_program(program).stdout.strip() == "True"


def test_initial_weights_have_the_same_bits_on_one_and_two_processors():
    program = """
import hashlib, jax, numpy as np
from lstm_jax import init_lstm
for size in (100, 160, 256):
    leaves = init_lstm(jax.random.key(0), 4, size)
    print(hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest())
"""
    one = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})" + program
    assert run_program(one).stdout == run_program(program).stdout != ""


@pytest.mark.parametrize("size", [100, 160])
def test_a_recurrent_kernel_is_orthogonal_at_every_size(size: int):
    kernel = np.asarray(init_lstm(jax.random.key(0), 4, size).recurrent_kernel, np.float64)
    for gate in np.split(kernel, 4, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(size), atol=1e-5)


def test_the_cell_of_a_variant_takes_narrow_lengths():
    cell = Variant(peepholes=True)
    params = cell.init(jax.random.key(0), features=4, hidden_size=5)
    state = cell.initial_state(params, batch_size=3)
    expected = scan_cell(cell, params, inputs(), state, lengths=LENGTHS)
    got = scan_cell(cell, params, inputs(), state, lengths=LENGTHS.astype("uint8"), chunk_size=2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, expected)
