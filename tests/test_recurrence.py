"""Any cell over time."""

import jax
import jax.numpy as jnp
import numpy as np

from lstm_jax import LSTMState, init_lstm, lstm, lstm_cell, scan_cell, zero_state


def test_a_cell_of_ones_own_counts_its_valid_steps():
    def counter(params, state, inputs):
        del params
        return state + 1, state + inputs

    lengths = jnp.array([0, 2, 3])
    outputs, final = scan_cell(
        counter, None, jnp.zeros((3, 3, 1)), jnp.zeros((3, 1)), lengths=lengths
    )
    np.testing.assert_array_equal(final[:, 0], lengths)
    np.testing.assert_array_equal(outputs[..., 0], [[0, 0, 0], [0, 1, 0], [0, 1, 2]])
    backward, _ = scan_cell(
        counter, None, jnp.zeros((3, 3, 1)), jnp.zeros((3, 1)), lengths=lengths, reverse=True
    )
    np.testing.assert_array_equal(backward[..., 0], [[0, 0, 0], [1, 0, 0], [2, 1, 0]])


def test_scanning_the_cell_equals_stepping_it(rng):
    params = init_lstm(jax.random.key(0), 3, 4)
    inputs = jnp.asarray(rng.normal(size=(2, 6, 3)), jnp.float32)
    state, stepped = zero_state(2, 4), []
    for t in range(6):
        state, output = lstm_cell(params, state, inputs[:, t])
        stepped.append(output)
    outputs, final = scan_cell(lstm_cell, params, inputs, zero_state(2, 4))
    np.testing.assert_allclose(outputs, np.stack(stepped, 1), atol=1e-6)
    np.testing.assert_allclose(final.cell, state.cell, atol=1e-6)


def test_vmap_over_parameters_makes_an_ensemble(rng):
    members = [init_lstm(jax.random.key(seed), 3, 4) for seed in range(3)]
    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *members)
    inputs = jnp.asarray(rng.normal(size=(2, 6, 3)), jnp.float32)
    together = jax.vmap(lambda params: lstm(params, inputs)[0])(stacked)
    for member, outputs in zip(members, together, strict=True):
        np.testing.assert_allclose(outputs, lstm(member, inputs)[0], atol=1e-6)


def test_the_state_of_a_bfloat16_run_stays_bfloat16(rng):
    params = init_lstm(jax.random.key(0), 3, 4, dtype=jnp.bfloat16)
    inputs = jnp.asarray(rng.normal(size=(2, 6, 3)), jnp.bfloat16)
    outputs, state = lstm(params, inputs)
    assert outputs.dtype == state.cell.dtype == jnp.bfloat16
    exact, _ = lstm(jax.tree.map(lambda a: a.astype(jnp.float32), params), inputs.astype("float32"))
    np.testing.assert_allclose(outputs.astype(jnp.float32), exact, atol=0.03)


def test_parameters_and_inputs_of_two_types_are_promoted():
    params = init_lstm(jax.random.key(0), 3, 4)
    outputs, state = lstm(params, jnp.ones((2, 5, 3), jnp.bfloat16))
    assert outputs.dtype == jnp.float32
    assert isinstance(state, LSTMState)


def test_a_cell_of_ones_own_runs_in_chunks(rng):
    params = init_lstm(jax.random.key(0), 3, 4)
    inputs, state = jnp.asarray(rng.normal(size=(3, 7, 3)), jnp.float32), zero_state(3, 4)
    lengths = jnp.array([7, 0, 3])

    def run(params, chunk_size):
        settings = {"lengths": lengths, "reverse": True, "chunk_size": chunk_size}
        return scan_cell(lstm_cell, params, inputs, state, **settings)

    found, expected = run(params, 3), run(params, None)
    gradients = [jax.grad(lambda p, c=c: (run(p, c)[0] ** 2).sum())(params) for c in (3, None)]
    for pair in ((found, expected), gradients):
        for a, b in zip(*map(jax.tree.leaves, pair), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
