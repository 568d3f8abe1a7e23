"""The compiled CPU kernel: what `tests/test_lstm.py` does not ask of every implementation.

Odd sizes, bits, threads, instruction sets, precision, devices and exports.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax import export

import lstm_jax
from lstm_jax import Bidirectional, LSTMParams, LSTMState, bidirectional_lstm, kernels, lstm
from lstm_jax.kernels import cpu, gpu

TESTS = Path(__file__).parent
pytestmark = pytest.mark.skipif(bool(cpu.UNAVAILABLE), reason=f"the kernel: {cpu.UNAVAILABLE}")

# Sizes around the kernel's own: vectors (16, 8, 4), rows of a block (8), of a tile (16), of a
# block of steps (64), steps summed at once (128). The first have every pair of B, T and H.
SHAPES = [
    *(
        ((1, 5, 33)[(T + n) % 3], T, 7, H)
        for T in (0, 1, 2)
        for n, H in enumerate((1, 3, 100, 129))
    ),
    *[(3, 150, 1, 5), (1, 70, 40, 17), (17, 9, 16, 16), (40, 3, 33, 8), (2, 5, 260, 64)],
    *[(1, 70, 5, 100), (1, 130, 3, 129)],  # two threads for one sequence
]
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])


@pytest.fixture(autouse=True)
def _on_the_cpu():
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        yield


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def problem(B, T, D, H, dtype=jnp.float32, seed=0):
    """Parameters, inputs (NaN in the padding), lengths (0 and T among them) and a first state."""
    rng = np.random.default_rng(seed)

    def draw(*shape, scale=1.0):  # the same numbers in every dtype
        return jnp.asarray((scale * rng.normal(size=shape)).astype(np.float32), dtype)

    params = LSTMParams(draw(D, 4 * H, scale=D**-0.5), draw(H, 4 * H, scale=H**-0.5), draw(4 * H))
    lengths = rng.integers(0, T + 1, B)
    lengths[: min(B, 2)] = [T, 0][: min(B, 2)]
    padding = np.arange(T) >= lengths[:, None]
    inputs = jnp.where(padding[..., None], jnp.nan, draw(B, T, D))
    return params, inputs, jnp.asarray(lengths, jnp.int32), LSTMState(draw(B, H), draw(B, H))


def value_and_gradients(run, params, inputs, lengths, state, reverse, seed=1):
    """Results and gradients of every argument, of a loss that weighs each result its own way."""
    rng = np.random.default_rng(seed)
    B, T, _ = inputs.shape
    H = params.hidden_size
    weights = [rng.normal(size=s).astype(np.float32) for s in ((B, T, H), (B, H), (B, H))]
    weights = [jnp.asarray(weight, inputs.dtype) for weight in weights]

    def loss(params, inputs, state):
        results = jax.tree.leaves(run(params, inputs, lengths, state, reverse))
        return sum(jnp.vdot(w, r) for w, r in zip(weights, results, strict=True)), results

    gradient = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))
    (_, results), gradients = gradient(params, inputs, state)
    return results, gradients


def compiled(params, inputs, lengths, state, reverse):
    """The kernel itself, without the zeroing of the padding ahead of it."""
    return cpu.run((params,), inputs, lengths, (state,), reverse=(reverse,))


def scan(params, inputs, lengths, state, reverse):
    return lstm(
        params,
        inputs,
        lengths=lengths,
        initial_state=state,
        reverse=reverse,
        implementation="scan",
    )


def assert_close(actual, expected, tolerance):
    """Each array within `tolerance` of the other's largest number."""
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, np.abs(b).max(initial=0)))


@directions
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_results_equal_the_reference_and_padding_may_hold_nan(x64, reverse, shape):
    for dtype, tolerance in ((jnp.float64, 1e-13), (jnp.float32, 2e-6)):
        params, inputs, lengths, state = problem(*shape, dtype=dtype)
        ((outputs, final),) = compiled(params, inputs, lengths, state, reverse)
        W, U, b = params
        expected = reference.lstm(W, U, b, inputs, np.asarray(lengths), *state, reverse=reverse)
        assert_close((outputs, *final), expected, tolerance)


@directions
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_of_every_argument_equal_those_of_scan_in_float64(x64, reverse, shape):
    exact = problem(*shape, dtype=jnp.float64)
    expected = value_and_gradients(scan, *exact, reverse=reverse)
    for dtype, tolerance in ((jnp.float64, 1e-13), (jnp.float32, 5e-6)):
        found = value_and_gradients(compiled, *problem(*shape, dtype=dtype), reverse=reverse)
        assert_close(found, expected, tolerance)


def test_gradients_equal_finite_differences(x64):
    params, inputs, lengths, state = problem(3, 4, 2, 3, jnp.float64)
    inputs = jnp.nan_to_num(inputs)

    def loss(*arrays):
        W, U, b, x, h, c = arrays
        ((outputs, final),) = compiled(params._make((W, U, b)), x, lengths, LSTMState(h, c), False)
        return (outputs**2).sum() + (final.hidden * final.cell).sum()

    arrays = (*params, inputs, *state)
    gradients = jax.grad(loss, range(len(arrays)))(*arrays)
    for place, gradient in enumerate(gradients):

        def of_one(array, place=place):
            return loss(*arrays[:place], jnp.asarray(array), *arrays[place + 1 :])

        expected = reference.numerical_gradient(of_one, np.asarray(arrays[place]))
        np.testing.assert_allclose(gradient, expected, atol=1e-8)


def test_both_directions_in_one_call_have_the_bits_of_two():
    params, inputs, lengths, state = problem(9, 21, 6, 20)
    other, *_ = problem(9, 21, 6, 20, seed=3)
    outputs, final = bidirectional_lstm(
        Bidirectional(params, other),
        inputs,
        lengths=lengths,
        initial_state=Bidirectional(state, state),
        implementation="cpu",
    )
    for one, reverse, out, last in zip((params, other), (False, True), outputs, final, strict=True):
        ((expected, expected_last),) = compiled(one, inputs, lengths, state, reverse)
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(last.cell, expected_last.cell)


def test_a_sequence_has_the_same_bits_alone_and_in_a_batch():
    params, inputs, lengths, state = problem(37, 40, 6, 50)
    ((together, _),) = compiled(params, inputs, lengths, state, False)
    for n in range(37):
        of_one = LSTMState(state.hidden[n : n + 1], state.cell[n : n + 1])
        ((alone, _),) = compiled(params, inputs[n : n + 1], lengths[n : n + 1], of_one, False)
        np.testing.assert_array_equal(alone[0], together[n])


# Run in processes of their own, below: prints a digest of all bits, the number of threads, and,
# where ERROR is set, the error against float64.
PROGRAM = """
import hashlib, json, os
import jax, numpy as np, jax.numpy as jnp
import test_cpu_kernel as t
from lstm_jax.kernels import cpu, gpu
jax.config.update("jax_enable_x64", True)
digest, errors = hashlib.sha256(), []
SHAPES = [(33, 40, 7, 100), (1, 200, 5, 33), (6, 30, 40, 20), (1, 150, 5, 100), (2, 70, 9, 65)]
for shape in SHAPES:
    for reverse in (False, True):
        wanted = None
        if "ERROR" in os.environ:
            wanted = t.value_and_gradients(t.scan, *t.problem(*shape, jnp.float64), reverse)
        for dtype in (jnp.float32, jnp.float64):
            got = t.value_and_gradients(t.compiled, *t.problem(*shape, dtype), reverse)
            for a in jax.tree.leaves(got):
                digest.update(np.asarray(a).tobytes())
            for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted)) if wanted else ():
                scale = max(1, np.abs(b).max())
                errors.append(float(np.abs(a - b).max() / scale) / jnp.finfo(dtype).eps)
threads = sum(
    open(f"/proc/self/task/{task}/comm").read().startswith("tf_XLAEigen")
    for task in os.listdir("/proc/self/task")
)
print(json.dumps({"bits": digest.hexdigest(), "error": max(errors, default=0), "threads": threads,
                  "set": cpu.INSTRUCTION_SET}))
"""


def run_program(program: str, **environment: str) -> dict:
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = os.environ | {"PYTHONPATH": path} | environment
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout
    return json.loads(output.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="counts its threads in /proc")
def test_bits_are_the_same_with_one_two_and_five_threads():
    results = [run_program(PROGRAM, PJRT_NPROC=str(n)) for n in (1, 2, 5)]
    assert [result["threads"] for result in results] == [1, 2, 5]
    assert len({result["bits"] for result in results}) == 1


# Others keep the processor busy, so that the second thread of a sequence comes late, is held up, or
# never comes: prints the digests of the results, forward alone and with what the gradient needs.
CROWDED = """
import hashlib, json, subprocess, sys
import jax, numpy as np
import test_cpu_kernel as t
from lstm_jax.kernels import cpu, gpu

def digests(precision):
    params, inputs, lengths, state = t.problem(1, 300, 8, 100)
    run = lambda params, inputs: cpu.run(
        (params,), inputs, lengths, (state,), reverse=(False,), precision=precision)[0]
    once = jax.jit(run)
    saving = jax.jit(lambda params, inputs: jax.vjp(run, params, inputs)[0])
    for _ in range(200):
        for function in (once, saving):
            results = jax.tree.leaves(function(params, inputs))
            bits = b"".join(np.asarray(result).tobytes() for result in results)
            yield hashlib.sha256(bits).hexdigest()

others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
try:
    precisions = [None] + ["bfloat16"] * (cpu.INSTRUCTION_SET == "avx512bf16")
    print(json.dumps({str(precision): sorted(set(digests(precision))) for precision in precisions}))
finally:
    for other in others:
        other.kill()
"""


def test_a_sequence_on_two_threads_has_its_bits_however_they_are_held_up():
    alone = run_program(CROWDED, PJRT_NPROC="1")
    assert run_program(CROWDED, PJRT_NPROC="4") == alone
    assert all(len(digests) == 1 for digests in alone.values())


@pytest.mark.parametrize("name", ["plain", "avx2", "avx512", "neon"])
def test_each_instruction_set_is_exact(name):
    result = run_program(PROGRAM, LSTM_JAX_CPU_ISA=name, ERROR="1")
    if result["set"] != name:
        pytest.skip(f"this processor has no {name}")
    assert 0 < result["error"] < 50  # units of the dtype's rounding error


def test_activations_are_as_exact_as_those_of_xla():
    x = np.concatenate([np.linspace(-30, 30, 200_001), np.geomspace(1e-30, 1, 20_000)])
    x = np.concatenate([x, -x, [-200, 200, 0]]).astype(np.float32)
    zeros, ones, wide = np.zeros_like(x), np.ones_like(x), np.full_like(x, 100)

    def cell(gates, before):
        """The cell state after one step; each number is a sequence of one hidden unit."""
        pass_on = LSTMParams(jnp.eye(4), jnp.zeros((1, 4)), jnp.zeros(4))
        state = LSTMState(jnp.zeros((len(x), 1)), jnp.asarray(before)[:, None])
        inputs = jnp.asarray(np.stack(gates, axis=-1))[:, None]
        _, final = lstm(pass_on, inputs, initial_state=state, implementation="cpu")
        return np.asarray(final.cell[:, 0], np.float64)

    sigmoid = cell((zeros, x, zeros, zeros), ones)  # σ(x) 1 + σ(0) tanh 0
    tanh = cell((wide, zeros, x, zeros), zeros)  # σ(0) 0 + σ(100) tanh x
    exact = x.astype(np.float64)
    for ours, theirs, wanted in (
        (sigmoid, jax.nn.sigmoid(jnp.asarray(x)), 1 / (1 + np.exp(-exact))),
        (tanh, jnp.tanh(jnp.asarray(x)), np.tanh(exact)),
    ):
        theirs = np.asarray(theirs, np.float64)
        large = np.abs(wanted) > 1e-30
        assert np.abs(ours - wanted).max() <= np.abs(theirs - wanted).max()
        relative = np.abs(ours - wanted)[large] / np.abs(wanted)[large]
        relative_theirs = np.abs(theirs - wanted)[large] / np.abs(wanted)[large]
        assert relative.max() <= relative_theirs.max()


def test_vmap_folds_into_the_batch_and_equals_a_loop():
    params, inputs, _, _ = problem(12, 6, 5, 7)
    inputs = jnp.nan_to_num(inputs).reshape(3, 4, 6, 5)
    many = jax.tree.map(lambda a: jnp.stack([a, 2 * a, 3 * a]), params)

    def outputs(params, inputs):
        return lstm(params, inputs, implementation="cpu")[0]

    def loss(params, inputs):
        return (outputs(params, inputs) ** 2).sum()

    for function in (outputs, jax.grad(loss, (0, 1))):
        for axes in ((None, 0), (0, 0), (0, None)):
            arguments = many if axes[0] == 0 else params, inputs if axes[1] == 0 else inputs[0]
            mapped = jax.jit(jax.vmap(function, axes))(*arguments)
            for n in range(3):
                one = [
                    jax.tree.map(lambda a, n=n: a[n], argument) if axis == 0 else argument
                    for argument, axis in zip(arguments, axes, strict=True)
                ]
                assert_close(jax.tree.map(lambda a, n=n: a[n], mapped), function(*one), 1e-6)
    text = jax.jit(jax.vmap(outputs, (None, 0))).lower(params, inputs).as_text()
    assert "while" not in text
    twice = jax.vmap(jax.vmap(outputs, (None, 0)), (None, 0))(params, inputs[None])
    assert_close(twice[0], jax.vmap(outputs, (None, 0))(params, inputs), 1e-6)


@pytest.mark.parametrize("platform", ["tpu", "cuda", "cpu"])
def test_auto_is_decided_for_the_platform_of_the_program(platform):
    params, inputs, _, _ = problem(4, 6, 5, 7)
    gradient = jax.jit(jax.grad(lambda params: lstm(params, jnp.nan_to_num(inputs))[0].sum()))
    names = ("cpu_forward", "cpu_backward", "cpu_gradient", "gpu_forward", "gpu_backward")
    allowed = [export.DisabledSafetyCheck.custom_call(f"lstm_{name}") for name in names]
    exported = export.export(gradient, platforms=[platform], disabled_checks=allowed)(params)
    assert ("lstm_cpu" in exported.mlir_module()) == (platform == "cpu")
    compiled = platform == "cuda" and not gpu.UNAVAILABLE
    assert ("lstm_gpu" in exported.mlir_module()) == compiled


@pytest.mark.skipif(cpu.INSTRUCTION_SET != "avx512bf16", reason="no AVX512-BF16 here")
@directions
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bfloat16_products_are_as_exact_as_their_rounding(x64, reverse, shape):
    def rounded(params, inputs, lengths, state, reverse):
        return cpu.run(
            (params,), inputs, lengths, (state,), reverse=(reverse,), precision="bfloat16"
        )

    expected = value_and_gradients(scan, *problem(*shape, dtype=jnp.float64), reverse=reverse)
    actual = value_and_gradients(rounded, *problem(*shape), reverse)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == jnp.float32
        if a.size:
            error = np.linalg.norm(np.asarray(a, np.float64) - b)
            assert error <= 0.02 * np.linalg.norm(b) + 1e-6


def test_requests_that_cannot_run_say_why(monkeypatch):
    params, inputs, _, _ = problem(2, 3, 4, 5)
    halves = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (params, inputs))
    with pytest.raises(ValueError, match="float32 and float64, not in bfloat16"):
        lstm(*halves, implementation="cpu")
    monkeypatch.setattr(cpu, "INSTRUCTION_SET", "avx2")
    with pytest.raises(ValueError, match="AVX512-BF16"):
        lstm(params, inputs, precision="bfloat16", implementation="cpu")
    monkeypatch.setattr(cpu, "UNAVAILABLE", "it was not compiled")
    with pytest.raises(ValueError, match="it was not compiled"):
        lstm(params, inputs, implementation="cpu")
    assert lstm_jax.implementations()["cpu"] == "it was not compiled"
    lstm(params, jnp.nan_to_num(inputs))  # "auto" does without


def test_the_same_program_gives_the_same_bits_again():
    params, inputs, lengths, state = problem(20, 50, 6, 40)
    digests = set()
    for _ in range(3):
        results = value_and_gradients(compiled, params, inputs, lengths, state, False)
        arrays = [np.asarray(array).tobytes() for array in jax.tree.leaves(results)]
        digests.add(hashlib.sha256(b"".join(arrays)).hexdigest())
    assert len(digests) == 1
    assert "cpu" in kernels.IMPLEMENTATIONS
