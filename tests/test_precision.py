"""How exact gradients are in float32, and with products of numbers rounded to bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_lstm import (
    SHAPES,
    directions,
    gradients_and_results,
    implementations,
    problem,
    weighted_sum,
)

from lstm_jax import kernels, lstm
from lstm_jax.kernels import cpu, gpu, scan, xla

WAYS = {
    "cpu": cpu.run,
    "gpu": gpu.run,
    "xla at_once": xla.at_once,
    "xla one_by_one": xla.one_by_one,
}
if cpu.INSTRUCTION_SET != "avx512bf16" or jax.default_backend() != "cpu":
    del WAYS["cpu"]
if gpu.unavailable():
    del WAYS["gpu"]


@implementations
@directions
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_equal_those_of_the_plain_scan_in_float64(implementation, reverse, shape):
    arguments = problem(*shape)
    found, _ = gradients_and_results(arguments, reverse, implementation)
    with jax.enable_x64(True):
        exact = jax.tree.map(
            lambda a: jnp.asarray(a, jnp.float64) if a.dtype == jnp.float32 else a, arguments
        )
        wanted, _ = gradients_and_results(exact, reverse, "scan")
    for array, expected in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        scale = max(np.abs(expected).max(initial=0), 1.0)
        np.testing.assert_allclose(array, expected, atol=3e-6 * scale)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if all(shape)], ids=str)
def test_what_enters_a_product_is_rounded_and_nothing_else(name, shape):
    """Results and gradients of every argument: off by no more than that, and off."""
    params, inputs, lengths, state = problem(*shape)

    def gradients(run, **how):
        def loss(params, inputs, state):
            pair = (params, params), inputs, lengths, (state, state)
            results = run(*pair, reverse=(False, True), **how)
            rng = np.random.default_rng(2)
            return sum(weighted_sum(outputs, final, rng) for outputs, final in results), results

        gradient = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))
        return jax.tree.leaves(gradient(params, inputs, state))

    rounded, exact = gradients(WAYS[name], precision="bfloat16"), gradients(scan.run)
    for array, expected in zip(rounded, exact, strict=True):
        assert array.dtype == jnp.float32
        error = np.linalg.norm(array - expected) / np.linalg.norm(expected)
        assert 1e-6 < error < 0.02


@pytest.mark.parametrize("implementation", ["auto", *kernels.IMPLEMENTATIONS])
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.bfloat16], ids=["float64", "bfloat16"])
def test_arrays_that_are_not_float32_are_refused(implementation, dtype):
    with jax.enable_x64(True):
        params, inputs, _, _ = problem(2, 3, 4, 5)
        given = jax.tree.map(lambda array: array.astype(dtype), (params, inputs))
        with pytest.raises(ValueError, match=f"arrays must be float32 .* got {jnp.dtype(dtype)}"):
            lstm(*given, precision="bfloat16", implementation=implementation)


def test_what_is_not_rounded_is_refused():
    params, inputs, _, _ = problem(2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"'scan' cannot run: .* precision must be None"):
        lstm(params, inputs, precision="bfloat16", implementation="scan")
    with pytest.raises(ValueError, match=r'must be None or "bfloat16", got \'float16\''):
        lstm(params, inputs, precision="float16")
