"""The compiled CPU kernel and memory: what leaves it is written, what it asks for is checked."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_cpu_kernel import problem, run_program

from lstm_jax import lstm
from lstm_jax.kernels import cpu

pytestmark = pytest.mark.skipif(bool(cpu.UNAVAILABLE), reason=f"the kernel: {cpu.UNAVAILABLE}")


@pytest.fixture(autouse=True)
def _on_the_cpu():
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        yield


def leave_nan_behind(*shapes):
    """Fills memory with NaN and gives it back: the next arrays of these sizes get it."""
    arrays = [jnp.full(shape, jnp.nan) for shape in shapes for _ in range(4)]
    jax.block_until_ready(arrays)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(
    ("lengths", "H"),
    # The last two: a sequence on two threads, where there are two.
    [((200, 150, 100, 50, 20, 3, 1, 0), 32), ((0, 0), 32), ((70,), 100), ((0,), 100)],
    ids=str,
)
def test_all_that_leaves_the_kernel_is_defined_whatever_was_in_the_memory(reverse, lengths, H):
    B, T, D = len(lengths), 200, 6
    params, inputs, _, state = problem(B, T, D, H)
    lengths = jnp.asarray(lengths, jnp.int32)
    padding = np.arange(T) >= np.asarray(lengths)[:, None]
    how = cpu.How((reverse,), False)

    @jax.jit
    def saved(params, inputs, state):
        return cpu._forward(how, ((params,), inputs, (state,)), lengths)

    @jax.jit
    def pulled_back(residuals, cotangents):
        ((_, gates, cells),) = residuals
        d_outputs, d_state = cotangents
        kernels = (params.input_kernel, params.recurrent_kernel)
        operands = (*kernels, state.cell, gates, cells, d_outputs, *d_state)
        return cpu.invoke(cpu._CALLS["backward"], how, (inputs, lengths), [operands])[0]

    inputs = jnp.nan_to_num(inputs)
    for _ in range(3):
        leave_nan_behind((B, T, 4 * H), (B, T, H), (B, T, D))
        ((outputs, final),), residuals = saved(params, inputs, state)
        ((_, gates, cells),) = residuals
        leave_nan_behind((B, T, 4 * H), (B, T, H), (B, T, D))
        cotangents = jnp.ones_like(outputs), jax.tree.map(jnp.ones_like, final)
        d_inputs, *d_state, dz = pulled_back(residuals, cotangents)
        for array in (outputs, gates, cells, d_inputs, dz):
            np.testing.assert_array_equal(np.asarray(array)[padding], 0)
        for array in (outputs, *final, gates, cells, d_inputs, *d_state, dz):
            assert np.isfinite(array).all()


def test_debug_nans_lets_healthy_ragged_batches_pass():
    params, inputs, _, _ = problem(8, 200, 16, 32)
    inputs = jnp.nan_to_num(inputs)
    lengths = jnp.array([200, 150, 100, 50, 20, 3, 1, 0])

    @jax.jit
    def run(params, inputs):
        return jax.vjp(lambda *given: lstm(*given, lengths=lengths), params, inputs)

    run(params, inputs)
    for _ in range(5):
        leave_nan_behind((8, 200, 128), (8, 200, 32))
        with jax.debug_nans(True):
            results, pull = run(params, inputs)
            jax.block_until_ready(pull(jax.tree.map(jnp.ones_like, results)))


# Run in a process of its own: under limits of address space from too little for anything to enough
# for all. Prints how each run ended.
LIMITED = """
import json, resource
import jax, jax.numpy as jnp, numpy as np
from lstm_jax import LSTMParams, lstm

def mapped():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

def ending(function, *arguments):
    try:
        return jax.block_until_ready(function(*arguments))
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        return str(error)

ends = {}
for B, T, D, H in ((2, 2, 300, 1600), (1, 64, 8, 1600)):  # the second: two threads for a sequence
    params = LSTMParams(jnp.full((D, 4 * H), 1e-3), jnp.full((H, 4 * H), 1e-3), jnp.zeros(4 * H))
    inputs = jnp.ones((B, T, D))
    def loss(params, inputs):
        return lstm(params, inputs, implementation="cpu")[0].sum()
    for name, function in (("loss", jax.jit(loss)), ("gradient", jax.jit(jax.grad(loss)))):
        expected = jax.block_until_ready(function(params, inputs))
        for mib in (4, 10, 20, 30, 40, 60, 80, 100, 120, 140, 600):
            limit = mapped() + (mib << 20)
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            end = ending(function, params, inputs)
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
            if not isinstance(end, str):
                pairs = zip(jax.tree.leaves(end), jax.tree.leaves(expected))
                end = "right" if all(np.array_equal(a, b) for a, b in pairs) else "wrong"
            ends.setdefault(f"{name} {B}", []).append(end)
print(json.dumps(ends))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads its size in /proc")
def test_memory_that_cannot_be_had_is_an_error_of_xla_and_no_crash():
    # Large arrays are given back to the system at once, so that each is asked for anew.
    ends = run_program(LIMITED, PJRT_NPROC="4", MALLOC_MMAP_THRESHOLD_=str(1 << 17))
    ours = "RESOURCE_EXHAUSTED: the compiled LSTM could not allocate the memory that it works in"
    for found in ends.values():
        assert found[-1] == "right"
        assert all(end == "right" or end.startswith("RESOURCE_EXHAUSTED: ") for end in found)
        assert any(end.startswith(ours) for end in found)
