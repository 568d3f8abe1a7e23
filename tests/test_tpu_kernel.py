"""The kernels for a TPU: the contract of `test_lstm.py` in JAX's interpreter of TPU kernels.

The interpreter starts its memory with NaN, gives the tiles of a batch to two cores in no order, and
detects races between them and with the copies: a test fails if there is one.
"""

from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax._src.pallas.mosaic.interpret import interpret_pallas_call, race_detection_state
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from test_lstm import gradients_and_results, problem, results_of

import lstm_jax
from lstm_jax import Bidirectional, LSTMState, bidirectional_lstm, lstm
from lstm_jax.kernels import tpu, tpu_loops, tpu_sizes

SETTINGS = {"detect_races": True, "num_cores_or_threads": 2}
# B, T, D, H and the directions of reading.
CASES = [
    ((4, 9, 5, 7), True),  # ragged, a length of 0 and chunks that do not fill the last one
    ((1, 1, 1, 1), False),
    ((19, 6, 3, 130), False),  # three tiles of sequences, two of lanes
]
OF_THREE_STEPS = ((2, 3, 2, 3), False)


@contextmanager
def race_detection(monkeypatch):
    """Runs kernels in the interpreter; gives what it knows of each of them, when it has run.

    No public function of JAX tells whether it found a race.
    """
    states = []

    class Recorded(race_detection_state.RaceDetectionState):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            states.append(self)

    monkeypatch.setattr(interpret_pallas_call, "RaceDetectionState", Recorded)
    with tpu.interpreted(**SETTINGS):
        yield states
    pltpu.reset_tpu_interpret_mode_state()


@pytest.fixture
def kernels_run(monkeypatch):
    """In small tiles and chunks; how many kernels were to run is up to the test."""
    for module in (tpu_sizes, tpu_loops):
        monkeypatch.setattr(module, "ROWS", 8)
    monkeypatch.setattr(tpu_loops, "STEPS", 4)
    with race_detection(monkeypatch) as states:
        yield states
    assert states
    assert not any(state.races_found for state in states)


@pytest.mark.parametrize(("shape", "reverse"), CASES, ids=str)
def test_results_and_every_gradient_are_those_of_the_plain_equations(kernels_run, shape, reverse):
    arguments = problem(*shape)
    found = gradients_and_results(arguments, reverse, "tpu")
    assert len(kernels_run) == 2, "one forward in time, one backward"
    expected = gradients_and_results(arguments, reverse, "scan")
    for array, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(array, wanted, atol=2e-5, rtol=1e-5)
    params, inputs, lengths, state = arguments
    oracle = reference.lstm(*params, inputs, np.asarray(lengths), *state, reverse=reverse)
    _, (outputs, final) = found
    for array, wanted in zip((outputs, *final), oracle, strict=True):
        np.testing.assert_allclose(array, wanted, atol=2e-6)


def test_results_without_gradients_are_the_same(kernels_run):
    arguments = problem(4, 9, 5, 7)
    outputs, final = results_of(arguments, False, "tpu")
    assert len(kernels_run) == 1
    params, inputs, lengths, state = arguments
    expected = reference.lstm(*params, inputs, np.asarray(lengths), *state)
    for array, wanted in zip((outputs, *final), expected, strict=True):
        np.testing.assert_allclose(array, wanted, atol=2e-6)


def test_nan_in_the_padding_and_lengths_out_of_range_change_nothing(kernels_run):
    params, inputs, lengths, state = problem(4, 9, 5, 7)
    lengths = jnp.asarray([9, 0, 4, 7], jnp.int32)
    padding = np.arange(9) >= np.asarray(lengths)[:, None]
    poisoned = jnp.where(padding[..., None], jnp.nan, inputs)
    beyond = jnp.asarray([1000, -5, 4, 7], jnp.int32)  # traced, so that nothing checks them
    gradient = jax.jit(lambda *arguments: gradients_and_results(arguments, False, "tpu"))
    clean = gradient(params, inputs, lengths, state)
    found = gradient(params, poisoned, beyond, state)
    jax.tree.map(np.testing.assert_array_equal, clean, found)
    gradients, (outputs, _) = found
    np.testing.assert_array_equal(np.asarray(gradients[1])[padding], 0)
    np.testing.assert_array_equal(np.asarray(outputs)[padding], 0)


def test_both_directions_are_each_of_them(kernels_run):
    params, inputs, lengths, state = problem(3, 5, 2, 3)
    arguments = {"lengths": lengths, "initial_state": Bidirectional(state, state)}
    both = Bidirectional(params, jax.tree.map(lambda array: 0.5 * array, params))
    found = bidirectional_lstm(both, inputs, implementation="tpu", **arguments)
    expected = bidirectional_lstm(both, inputs, implementation="scan", **arguments)
    for array, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(array, wanted, atol=1e-6)


def test_vmap_equals_a_loop(kernels_run, monkeypatch):
    # The interpreter of JAX 0.10 does not know of the axis that vmap adds; the compiler does.
    monkeypatch.setattr(tpu_loops, "SEMANTICS", None)
    params, inputs, lengths, _ = problem(3, 5, 2, 3)
    stacked = jnp.stack([inputs, 2 * inputs])

    def gradient(implementation):
        def loss(inputs):
            outputs, _ = lstm(params, inputs, lengths=lengths, implementation=implementation)
            return (outputs**2).sum()

        return jax.jit(jax.vmap(jax.grad(loss)))(stacked)

    np.testing.assert_allclose(gradient("tpu"), gradient("scan"), atol=1e-5)
    assert len(kernels_run) == 2, "two members are one more axis of a kernel's grid"


def test_derivatives_beyond_the_first_are_those_of_the_plain_equations(kernels_run):
    params, inputs, _, state = problem(2, 3, 2, 3)
    tangent = jnp.ones_like(inputs)

    def second(implementation):
        def loss(inputs):
            outputs, _ = lstm(params, inputs, initial_state=state, implementation=implementation)
            return (outputs**2).sum()

        return jax.jit(lambda x: jax.jvp(jax.grad(loss), (x,), (tangent,)))(inputs)

    for array, wanted in zip(second("tpu"), second("scan"), strict=True):
        np.testing.assert_allclose(array, wanted, atol=1e-5)


def test_bfloat16_products_are_as_exact_as_their_rounding(kernels_run):
    params, inputs, lengths, state = problem(4, 6, 5, 7)

    def gradients(implementation, precision):
        def loss(params, inputs, state):
            outputs, final = lstm(
                params,
                inputs,
                lengths=lengths,
                initial_state=state,
                implementation=implementation,
                precision=precision,
            )
            return (outputs**2).sum() + final.cell.sum(), outputs

        return jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))(params, inputs, state)

    rounded, exact = gradients("tpu", "bfloat16"), gradients("scan", None)
    for array, wanted in zip(jax.tree.leaves(rounded), jax.tree.leaves(exact), strict=True):
        error = np.linalg.norm(array - wanted) / np.linalg.norm(wanted)
        assert 1e-6 < error < 0.02


@pytest.mark.parametrize("shape", [(3, 0, 2, 4), (0, 3, 2, 4)], ids=str)
def test_no_steps_and_no_sequences_need_no_kernel(shape):
    with tpu.interpreted():
        gradients, (outputs, final) = gradients_and_results(problem(*shape), True, "tpu")
    assert outputs.shape == (*shape[:2], shape[3])
    np.testing.assert_array_equal(final.cell, problem(*shape)[3].cell)
    assert all(np.isfinite(array).all() for array in jax.tree.leaves(gradients))


def test_a_race_would_be_seen(monkeypatch):
    """Two cores that write the same block, at least."""

    def kernel(result):
        result[...] = jnp.full_like(result, pl.program_id(0))

    with race_detection(monkeypatch) as states:
        run = pl.pallas_call(
            kernel,
            grid=(2,),
            out_specs=pl.BlockSpec((8, 128), lambda n: (0, 0)),
            out_shape=jax.ShapeDtypeStruct((8, 128), jnp.float32),
            compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),
        )
        run().block_until_ready()
    assert any(state.races_found for state in states)


@pytest.mark.skipif(jax.default_backend() == "tpu", reason="there is a TPU")
def test_elsewhere_it_says_what_it_needs():
    params, inputs, _, _ = problem(2, 3, 4, 5)
    reason = f"it needs a TPU; this is a {jax.default_backend()}"
    assert lstm_jax.implementations()["tpu"] == reason
    with pytest.raises(ValueError, match=f"implementation='tpu' cannot run: {reason}"):
        lstm(params, inputs, implementation="tpu")


def test_what_it_cannot_compute_is_refused_in_one_line():
    with tpu.interpreted():
        assert lstm_jax.implementations()["tpu"] == "available"
        params, inputs, _, _ = jax.tree.map(lambda a: a.astype("bfloat16"), problem(2, 3, 4, 5))
        with pytest.raises(ValueError, match="it computes in float32, not in bfloat16"):
            lstm(params, inputs, implementation="tpu")
        large = 3072

        def run(params):
            state = LSTMState(jnp.zeros((1, large)), jnp.zeros((1, large)))
            return tpu.run(
                (params,), jnp.zeros((1, 1, 1)), jnp.ones(1, int), (state,), reverse=(False,)
            )

        params = jax.eval_shape(lambda: lstm_jax.init_lstm(jax.random.key(0), 1, large))
        with pytest.raises(ValueError, match=r"must fit in .* vector memory.*with 3072 hidden"):
            jax.eval_shape(run, params)


def test_auto_never_chooses_it():
    with tpu.interpreted():
        assert lstm_jax.choose_implementation("auto") != "tpu"
