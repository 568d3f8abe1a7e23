"""The cell: its equations, its gates, its initial weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import lstm_step, sigmoid

from lstm_jax import (
    LSTMState,
    init_lstm,
    lstm,
    lstm_cell,
    lstm_gates,
    recompute_gates,
    zero_state,
)


@pytest.fixture
def step(rng):
    params = init_lstm(jax.random.key(0), 3, 5)
    state = LSTMState(*jnp.asarray(rng.normal(size=(2, 4, 5)), jnp.float32))
    return params, state, jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)


def test_cell_equals_float64_reference(step):
    params, state, inputs = step
    new_state, output = lstm_cell(params, state, inputs)
    W, U, b = (np.asarray(p, np.float64) for p in params)
    for n in range(4):
        hidden, cell = lstm_step(
            W,
            U,
            b,
            np.asarray(inputs[n], np.float64),
            np.asarray(state.hidden[n], np.float64),
            np.asarray(state.cell[n], np.float64),
        )
        np.testing.assert_allclose(new_state.hidden[n], hidden, atol=1e-6)
        np.testing.assert_allclose(new_state.cell[n], cell, atol=1e-6)
    np.testing.assert_array_equal(output, new_state.hidden)


def test_gates_rebuild_the_cell(step):
    params, state, inputs = step
    gates = lstm_gates(params, state, inputs)
    new_state, _ = lstm_cell(params, state, inputs)
    cell = gates.forget * state.cell + gates.input * gates.candidate
    np.testing.assert_allclose(cell, new_state.cell, atol=1e-6)
    np.testing.assert_allclose(gates.output * np.tanh(cell), new_state.hidden, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
def test_gates_of_every_step_are_recomputed_from_the_outputs(rng, reverse):
    params = init_lstm(jax.random.key(0), 3, 5)
    lengths: Any = np.array([6, 0, 3, 1])
    inputs = jnp.asarray(rng.normal(size=(4, 6, 3)), jnp.float32)
    initial = LSTMState(*jnp.asarray(rng.normal(size=(2, 4, 5)), jnp.float32))
    outputs, _ = lstm(params, inputs, lengths=lengths, initial_state=initial, reverse=reverse)
    found = recompute_gates(
        params,
        inputs,
        outputs,
        lengths=lengths,
        initial_hidden=initial.hidden,
        reverse=reverse,
    )
    for n, length in enumerate(lengths):
        state = LSTMState(*(array[n : n + 1] for array in initial))
        for t in range(length)[:: -1 if reverse else 1]:
            expected = lstm_gates(params, state, inputs[n, t][None])
            for gate, wanted in zip(found, expected, strict=True):
                np.testing.assert_allclose(gate[n, t], wanted[0], atol=1e-6)
            state, _ = lstm_cell(params, state, inputs[n, t][None])
        for gate in found:
            np.testing.assert_array_equal(gate[n, length:], 0)


def test_constant_weights_give_the_value_worked_out_by_hand():
    # One unit, all weights and the input 1, no bias: every gate sees z = 1 at the first step.
    params = init_lstm(jax.random.key(0), 1, 1)
    params = jax.tree.map(jnp.ones_like, params)._replace(bias=jnp.zeros(4))
    state, _ = lstm_cell(params, zero_state(1, 1), jnp.ones((1, 1)))
    cell = sigmoid(1.0) * np.tanh(1.0)
    np.testing.assert_allclose(state.cell, [[cell]], rtol=1e-6)
    np.testing.assert_allclose(state.hidden, [[sigmoid(1.0) * np.tanh(cell)]], rtol=1e-6)


def test_recurrent_kernel_is_orthogonal_gate_by_gate():
    kernel = init_lstm(jax.random.key(1), 3, 16).recurrent_kernel
    for gate in np.split(np.asarray(kernel, np.float64), 4, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(16), atol=1e-5)
    gates = np.split(np.asarray(kernel), 4, axis=1)
    assert not np.allclose(gates[0], gates[1]), "every gate has a draw of its own"


def test_input_kernel_is_glorot_uniform():
    kernel = np.asarray(init_lstm(jax.random.key(1), 200, 50).input_kernel)
    limit = np.sqrt(6 / (200 + 200))
    assert np.abs(kernel).max() <= limit
    np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.02)


def test_only_the_forget_gate_starts_with_a_bias():
    bias = init_lstm(jax.random.key(0), 2, 3, forget_bias=0.5).bias
    np.testing.assert_array_equal(bias, [0] * 3 + [0.5] * 3 + [0] * 6)


@pytest.mark.parametrize(("features", "hidden_size"), [(0, 4), (3, 0), (-1, 4)])
def test_sizes_below_one_are_refused(features, hidden_size):
    with pytest.raises(ValueError, match="must be at least 1, got"):
        init_lstm(jax.random.key(0), features, hidden_size)
