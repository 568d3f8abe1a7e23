"""Regularisation inside the recurrence."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import lstm_jax
from lstm_jax import LSTMState, init_lstm, lstm, lstm_cell, scan_cell, zero_state
from lstm_jax.nn.recurrent_dropout import RecurrentDropout, Zoneout, drop_weights

B, T, D, H = 4, 6, 3, 50
LENGTHS = jnp.array([6, 0, 3, 1])
KEY = jax.random.key(7)
CELL: Any = lstm_cell  # draws no parameters here, so that a function will do


@pytest.fixture
def problem(rng):
    params = init_lstm(jax.random.key(0), D, H)
    return params, jnp.asarray(rng.normal(size=(B, T, D)), jnp.float32)


@pytest.fixture
def exact(problem):
    return [np.asarray(array, np.float64) for array in problem[0]]


def test_recurrent_dropout_is_the_lstm_behind_one_mask_a_sequence(problem, exact):
    params, inputs = problem
    cell = RecurrentDropout(CELL, 0.4)
    state = cell.with_noise(KEY, zero_state(B, H))
    mask = np.asarray(state.mask, np.float64)
    assert set(np.unique(mask.round(5))) == {0.0, round(1 / 0.6, 5)}
    assert 0.25 < (mask == 0).mean() < 0.55
    assert (mask[0] != mask[1]).any()
    outputs, (final, _) = scan_cell(cell, params, inputs, state, lengths=LENGTHS)
    W, U, b = exact
    h0, c0 = np.zeros((2, 1, H))
    for n, length in enumerate(np.asarray(LENGTHS)):
        expected = reference.run(
            lambda x, h, c, n=n: reference.lstm_step(W, U, b, x, h * mask[n], c),
            inputs[n : n + 1],
            [length],
            h0,
            c0,
        )
        np.testing.assert_allclose(outputs[n], expected[0][0], atol=1e-6)
        np.testing.assert_allclose(final.cell[n], expected[2][0], atol=1e-6)


def test_zoneout_of_nothing_is_the_cell_and_of_a_mean_is_its_equation(problem, exact):
    params, inputs = problem
    plain, _ = scan_cell(lstm_cell, params, inputs, zero_state(B, H))
    nothing = Zoneout(CELL, 0.0, 0.0)
    for state in (zero_state(B, H), nothing.with_noise(KEY, zero_state(B, H))):
        np.testing.assert_allclose(scan_cell(nothing, params, inputs, state)[0], plain, atol=1e-6)

    W, U, b = exact

    def step(x, h, c):
        new_h, new_c = reference.lstm_step(W, U, b, x, h, c)
        return 0.3 * h + 0.7 * new_h, 0.6 * c + 0.4 * new_c

    mixed = Zoneout(CELL, 0.3, 0.6)
    found, _ = scan_cell(mixed, params, inputs, zero_state(B, H), lengths=LENGTHS, reverse=True)
    zeros = np.zeros((2, B, H))
    expected, *_ = reference.run(step, inputs, np.asarray(LENGTHS), *zeros, reverse=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_zoneout_keeps_each_unit_as_often_as_asked_and_else_takes_the_new_one(problem):
    params, inputs = problem
    cell: Any = Zoneout(CELL, 0.3, 0.6)
    old = LSTMState(*jax.random.normal(KEY, (2, B, H)))
    state, kept = cell.with_noise(KEY, old), []
    for t in range(T):
        fresh, _ = lstm_cell(params, state.state, inputs[:, t])
        after, output = cell(params, state, inputs[:, t])
        for was, new, now in zip(state.state, fresh, after.state, strict=True):
            assert np.asarray((now == was) | (now == new)).all()
        kept.append([np.asarray(n == w) for n, w in zip(after.state, state.state, strict=True)])
        np.testing.assert_array_equal(output, after.state.hidden)
        state = after
    hidden, memory = np.asarray(kept, float).mean((0, 2, 3))
    assert hidden == pytest.approx(0.3, abs=0.05)
    assert memory == pytest.approx(0.6, abs=0.05)
    assert (kept[0][0] != kept[1][0]).any(), "each step draws anew"
    assert (kept[0][0][0] != kept[0][0][1]).any(), "so does each sequence"


@pytest.mark.parametrize(
    "wrap", [lambda c: RecurrentDropout(c, 0.4), lambda c: Zoneout(c, 0.3, 0.2)]
)
def test_noise_is_the_same_in_chunks_and_for_a_sequence_by_itself(problem, wrap):
    params, inputs = problem
    cell = wrap(lstm_cell)
    state = cell.with_noise(KEY, zero_state(B, H))
    whole, final = scan_cell(cell, params, inputs, state, lengths=LENGTHS)
    chunks, ended = scan_cell(cell, params, inputs, state, lengths=LENGTHS, chunk_size=4)
    np.testing.assert_allclose(chunks, whole, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), ended, final)
    alone, _ = scan_cell(cell, params, inputs[2:3, :3], jax.tree.map(lambda a: a[2:3], state))
    np.testing.assert_allclose(alone[0], whole[2, :3], atol=1e-6)


@pytest.mark.parametrize(
    "implementation",
    [name for name, state in lstm_jax.implementations().items() if state == "available"],
)
def test_dropped_weights_run_everywhere_and_get_no_gradient(problem, implementation):
    params, inputs = problem
    dropped = drop_weights(KEY, params, 0.5)
    kernel, whole = np.asarray(dropped.recurrent_kernel), np.asarray(params.recurrent_kernel)
    zero = kernel == 0
    assert zero.mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(kernel[~zero], 2 * whole[~zero], rtol=1e-6)
    np.testing.assert_array_equal(dropped.input_kernel, params.input_kernel)

    def loss(params):
        thinned = drop_weights(KEY, params, 0.5)
        return (lstm(thinned, inputs, lengths=LENGTHS, implementation=implementation)[0] ** 2).sum()

    gradient = np.asarray(jax.grad(loss)(params).recurrent_kernel)
    assert (gradient[zero] == 0).all()
    assert (gradient[~zero] != 0).mean() > 0.99
    expected, _ = scan_cell(lstm_cell, dropped, inputs, zero_state(B, H), lengths=LENGTHS)
    found, _ = lstm(dropped, inputs, lengths=LENGTHS, implementation=implementation)
    np.testing.assert_allclose(found, expected, atol=1e-6)
