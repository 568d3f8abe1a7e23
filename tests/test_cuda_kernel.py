"""The kernel for GPUs without one: its source runs on a CPU, and is compiled and lowered for GPUs.

The host build is a library of the same phases with the same indices, made here by the C++ compiler.
The tests of the contract run on it in a process of their own, which has it from the start.
"""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from test_cpu_kernel import assert_close, problem, run_program, scan, value_and_gradients
from test_derivatives import gradient_of_a_gradient, jvp, loss_by
from test_sharding import SHARDED

import lstm_jax
from benchmarks.gpu_ptxas import LIMITS, RECORD, build_for_cpu, compile_kernels, unavailable
from lstm_jax import Bidirectional, bidirectional_lstm, init_lstm, lstm
from lstm_jax.kernels import gpu

TESTS = Path(__file__).parent
CONTRACT = ("lstm", "precision", "empty", "conformance", "promotion")
H100 = (LIMITS[90], 132)  # bytes of shared memory of a block, and processors
ONE_PROCESSOR = (LIMITS[90], 1)  # so blocks take as many sequences as fit

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs a C++ compiler"
)
needs_nvcc = pytest.mark.skipif(bool(unavailable()), reason=f"no CUDA compiler: {unavailable()}")
needs_library = pytest.mark.skipif(
    bool(gpu.UNAVAILABLE), reason=f"no CUDA compiler: {gpu.UNAVAILABLE}"
)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])


@pytest.fixture(scope="session")
def host_path(tmp_path_factory):
    """The kernel's source as a library for the CPU."""
    path = tmp_path_factory.mktemp("host") / "lstm_gpu_host.so"
    build_for_cpu(path)
    return path


@pytest.fixture(scope="session")
def registered(host_path):
    """The library in this process, once: XLA refuses to register another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "HOST_LIBRARY", str(host_path))
        library, reason = gpu._load("cpu")
    assert library is not None, reason
    return library


@pytest.fixture
def host(registered, monkeypatch):
    """The library, in use; `claim` says what GPU it is to be like."""
    monkeypatch.setattr(gpu, "HOST_LIBRARY", "in use")
    monkeypatch.setattr(gpu, "_HOST", registered)
    monkeypatch.setattr(gpu, "_HOST_UNAVAILABLE", "")
    gpu._shared_memory.cache_clear()
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        yield registered
    claim(registered, *H100)
    gpu._shared_memory.cache_clear()


def claim(library, limit, processors, backward_order=False):
    """What GPU the CPU is to be like, and whether the threads of a phase run last to first."""
    given = (ctypes.c_int64(limit), ctypes.c_int64(processors), ctypes.c_bool(backward_order))
    library.lstm_gpu_claim(*given)


def plan(library, hidden, batch=64, *, forward=True, bfloat16=False):
    """Sequences of a block, threads of a unit, and bytes of shared memory."""
    found = (ctypes.c_int64 * 3)()
    given = (ctypes.c_bool(forward), ctypes.c_bool(bfloat16), ctypes.c_int64(batch))
    library.lstm_gpu_plan(*given, ctypes.c_int(hidden), ctypes.c_int(1), found)
    return tuple(found)


def compiled(params, inputs, lengths, state, reverse, precision=None):
    """The kernel itself."""
    return gpu.run((params,), inputs, lengths, (state,), reverse=(reverse,), precision=precision)


# ------------------------------------------------------------------------------------------------
# The host build
# ------------------------------------------------------------------------------------------------


@needs_compiler
def test_the_contract_holds_on_the_host_build(host_path):
    """The tests that every implementation passes, as they are, and no other implementation's."""
    files = [str(TESTS / f"test_{name}.py") for name in CONTRACT]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-k", "gpu", *files],
        cwd=TESTS.parent,
        env={**os.environ, "LSTM_JAX_GPU_HOST_LIBRARY": str(host_path), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count(".") >= 70


SHAPES = [(1, 5, 3, 1), (5, 9, 7, 33), (9, 4, 2, 100), (3, 3, 2, 120), (2, 2, 3, 64), (7, 3, 1, 3)]


@needs_compiler
@directions
@pytest.mark.parametrize("device", [H100, ONE_PROCESSOR], ids=["small blocks", "large blocks"])
def test_results_and_gradients_equal_those_of_scan_in_float64(host, device, reverse):
    claim(host, *device)
    for shape in SHAPES:
        with jax.enable_x64(True):
            exact = problem(*shape, dtype=jnp.float64)
            expected = value_and_gradients(scan, *exact, reverse=reverse)
        found = value_and_gradients(compiled, *problem(*shape), reverse=reverse)
        assert_close(found, expected, 5e-6)


@needs_compiler
def test_the_order_of_the_threads_of_a_phase_changes_no_bit(host):
    for device in (H100, ONE_PROCESSOR):
        for precision in (None, "bfloat16"):
            found = []
            for backward_order in (False, True):
                claim(host, *device, backward_order)

                def run(*arguments, precision=precision):
                    return compiled(*arguments, precision=precision)

                found.append(value_and_gradients(run, *problem(6, 7, 3, 50), True))
            jax.tree.map(np.testing.assert_array_equal, *found)


@needs_compiler
def test_a_sequence_has_the_same_bits_alone_and_in_a_batch(host):
    """In the kernel: XLA's product ahead of it may be computed in another order."""
    params, projected, lengths, state = problem(9, 12, 200, 50)
    claim(host, *ONE_PROCESSOR)

    def outputs(projected, lengths, *state):
        operands = (projected, params.recurrent_kernel, *state)
        how = gpu.How((False,), False)
        return gpu.invoke(gpu._CALLS["predict"], how, (lengths,), [operands])[0][0]

    together = outputs(projected, lengths, *state)
    for n in range(9):
        alone = outputs(*(array[n : n + 1] for array in (projected, lengths, *state)))
        np.testing.assert_array_equal(alone[0], together[n])


@needs_compiler
@directions
def test_all_that_leaves_the_kernel_is_zero_in_the_padding(host, reverse):
    params, inputs, lengths, state = problem(6, 20, 3, 5)
    padding = np.arange(20) >= np.asarray(lengths)[:, None]
    how, arrays = gpu.How((reverse,), False), ((params,), jnp.nan_to_num(inputs), (state,))
    jax.block_until_ready([jnp.full((6, 20, n), jnp.nan) for n in (5, 20) for _ in range(4)])
    results, saved = gpu._forward(how, arrays, lengths)
    ((_, gates, cells),) = saved
    operands = (gates, params.recurrent_kernel, state.cell, cells, results[0][0], *state)
    ((dz, *_),) = gpu.invoke(gpu._CALLS["backward"], how, (lengths,), [operands])
    for array in (results[0][0], gates, cells, dz):
        np.testing.assert_array_equal(np.asarray(array)[padding], 0)
        assert np.isfinite(array).all()


@needs_compiler
@directions
def test_traced_lengths_out_of_range_mean_none_and_all(host, reverse):
    params, inputs, _, state = problem(3, 6, 4, 5)
    inputs = jnp.nan_to_num(inputs)

    @jax.jit
    def gradients(params, inputs, state, lengths):
        def loss(*arrays):
            params, inputs, state = arrays
            options = {"initial_state": state, "reverse": reverse, "implementation": "gpu"}
            return sum((a**2).sum() for a in jax.tree.leaves(lstm(params, inputs, **options)))

        return jax.value_and_grad(loss, (0, 1, 2))(params, inputs, state)

    def by(*lengths):
        return gradients(params, inputs, state, jnp.array(lengths, jnp.int32))

    jax.tree.map(np.testing.assert_array_equal, by(-7, 2**31 - 1, 3), by(0, 6, 3))


@needs_compiler
def test_vmap_is_a_larger_batch(host):
    params, inputs, _, _ = problem(12, 6, 5, 7)
    inputs = jnp.nan_to_num(inputs).reshape(3, 4, 6, 5)

    def outputs(params, inputs):
        return lstm(params, inputs, implementation="gpu")[0]

    mapped = jax.jit(jax.vmap(outputs, (None, 0)))
    assert_close(mapped(params, inputs)[1], outputs(params, inputs[1]), 1e-6)
    assert "while" not in mapped.lower(params, inputs).as_text()


@needs_compiler
@pytest.mark.parametrize("derivative", [jvp, gradient_of_a_gradient])
def test_derivatives_of_any_kind_are_those_of_plain_scan(host, derivative):
    found, expected = (jax.jit(lambda n=name: derivative(loss_by(n)))() for name in ("gpu", "scan"))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected
    )


@needs_compiler
def test_a_sharded_batch_stays_where_it_is(host_path):
    program = SHARDED.replace('implementation="cpu"', 'implementation="gpu"').replace(
        "t.problem(8, 12, 5, 7)", "jax.tree.map(jnp.nan_to_num, t.problem(8, 12, 5, 7))"
    )
    two = "--xla_force_host_platform_device_count=2"
    found = run_program(program, XLA_FLAGS=two, LSTM_JAX_GPU_HOST_LIBRARY=str(host_path))
    assert found["devices"] == 2
    assert found["difference"] < 1e-5
    assert found["d_inputs"] == str(PartitionSpec("data"))
    assert found["calls"] == 2  # forward, backward
    assert found["moved"] == []


# ------------------------------------------------------------------------------------------------
# What fits, and what is said if it does not
# ------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(
    ("architecture", "bfloat16", "largest"),
    [(80, False, 101), (80, True, 143), (90, False, 120), (90, True, 169)],
)
def test_every_plan_fits_up_to_the_largest_layer(registered, architecture, bfloat16, largest):
    claim(registered, LIMITS[architecture], 108)
    for hidden in range(1, largest + 1):
        for forward in (False, True):
            threads = set()
            for batch in (1, 64, 10_000):
                found = plan(registered, hidden, batch, forward=forward, bfloat16=bfloat16)
                rows, slices, shared = found
                assert rows in (1, 2, 4)
                assert 0 < shared <= LIMITS[architecture]
                assert slices * hidden <= 512
                threads.add(slices)
            assert len(threads) == 1, "the bits of a sequence do not depend on the batch"
    assert plan(registered, largest + 1, forward=False, bfloat16=bfloat16)[0] == 0
    claim(registered, *H100)


@needs_compiler
def test_the_articles_layer_has_four_rows_and_all_processors_get_some(registered):
    claim(registered, *H100)
    assert plan(registered, 100, 1024)[:2] == (4, 4)
    assert plan(registered, 100, 132)[0] == 1
    assert 160_000 < plan(registered, 100)[2] <= LIMITS[90]


@needs_compiler
def test_a_layer_that_does_not_fit_is_refused_in_one_line(host):
    inputs = jnp.ones((2, 3, 4))
    with pytest.raises(ValueError, match=r"hidden_size must be at most 120 .* got 121") as caught:
        lstm(init_lstm(jax.random.key(0), 4, 121), inputs, implementation="gpu")
    assert "\n" not in str(caught.value)
    assert gpu.unsupported(jnp.dtype("float64"), 5) == "it computes in float32, not in float64"
    claim(host, LIMITS[80], 108)  # the GPU that it runs on has less
    with pytest.raises(
        jax.errors.JaxRuntimeError, match=r"H = 120 needs \d+ bytes .* this GPU has 166912"
    ):
        jax.block_until_ready(
            lstm(init_lstm(jax.random.key(0), 4, 120), inputs, implementation="gpu")
        )


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="needs a machine without a GPU")
def test_without_a_gpu_it_is_not_available_and_says_why():
    reason = lstm_jax.implementations()["gpu"]
    assert reason.startswith(
        ("it was not compiled: no working nvcc", "it was compiled, but no GPU")
    )
    with pytest.raises(ValueError, match=f"'gpu' cannot run: {reason}"):
        lstm(init_lstm(jax.random.key(0), 2, 3), jnp.ones((1, 2, 2)), implementation="gpu")


def test_a_driver_that_is_too_old_is_named():
    assert gpu._too_old(13000, 13010) == gpu._too_old(12080, 13000) == ""
    assert gpu._too_old(13000, 12080).endswith("this one knows CUDA 12.8")


# ------------------------------------------------------------------------------------------------
# For a GPU
# ------------------------------------------------------------------------------------------------


def lowered(hidden, place=lambda arrays: arrays, **options):
    """The gradient of two directions as a program for GPUs; `place` may spread its batch."""
    params = init_lstm(jax.random.key(0), 3, hidden)
    inputs, lengths = place((jnp.ones((8, 5, 3)), jnp.full(8, 5)))

    def loss(params, inputs, lengths):
        both = Bidirectional(params, params)
        outputs, _ = bidirectional_lstm(both, inputs, lengths=lengths, **options)
        return outputs.forward.sum() + outputs.backward.sum()

    traced = jax.jit(jax.grad(loss)).trace(params, inputs, lengths)
    return traced.lower(lowering_platforms=("cuda",)).as_text()


@needs_library
def test_auto_takes_it_for_cuda():
    program = lowered(16)
    for name in ("lstm_gpu_forward", "lstm_gpu_backward"):
        assert len(re.findall(rf"custom_call @{name}\b", program)) == 1, name
    assert "stablehlo.while" not in program
    assert "lstm_cpu" not in program


@needs_library
def test_auto_hands_over_to_xla_what_does_not_fit_or_is_asked_of_it():
    assert "lstm_gpu" not in lowered(128)  # more than an A100 has room for
    assert "lstm_gpu" in lowered(128, precision="bfloat16")
    assert "lstm_gpu" not in lowered(16, implementation="xla")


FOR_TWO_GPUS = """
import json, re
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import test_cuda_kernel as t
split = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), P("data"))
text = t.lowered(16, lambda arrays: jax.device_put(arrays, split))
print(json.dumps({
    "devices": len(jax.devices()),
    "calls": text.count("@CustomSPMDPartitioning("),
    "moved": re.findall(r"all_gather|all_to_all|collective_permute|stablehlo.while", text),
}))
"""


@needs_library
def test_for_two_gpus_the_calls_are_divided_by_the_batch():
    """XLA divides them when it compiles; the test of a sharded batch above has what it makes."""
    found = run_program(FOR_TWO_GPUS, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert found == {"devices": 2, "calls": 2, "moved": []}


@needs_nvcc
@pytest.mark.parametrize("architecture", LIMITS)
def test_no_function_spills_and_all_shared_memory_is_asked_for(architecture):
    found = compile_kernels(architecture)
    assert len(found) == 2 * 2 * 3  # passes, precisions, numbers of rows
    for of in found:
        assert of.spills == 0, of
        assert of.static_shared == 0, of
        assert of.registers <= 128, of


def test_the_record_has_every_function_without_spills():
    found = json.loads(RECORD.read_text(encoding="utf-8"))["functions"]
    assert {of["architecture"] for of in found} == set(LIMITS)
    assert len(found) == len(LIMITS) * 12
    assert all(of["spills"] == 0 and of["registers"] <= 128 for of in found)
