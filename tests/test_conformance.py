"""Figures that others' own tests hold their LSTMs to, and laws that any LSTM must obey.

Sources: keras/src/layers/rnn/lstm_test.py of Keras 3; test/cpp/api/rnn.cpp of PyTorch
("CheckOutputValuesMatchPyTorch"); tests/linen/linen_recurrent_test.py of Flax (reverse, sequence
lengths, flip).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.linen.recurrent import flip_sequences
from hypothesis import given, settings
from hypothesis import strategies as st

import lstm_jax
from lstm_jax import LSTMParams, LSTMState, init_lstm, lstm
from lstm_jax.interop.flax import from_flax

IMPLEMENTATIONS = [
    name
    for name, state in lstm_jax.implementations().items()
    if state == "available" and (name != "cpu" or jax.default_backend() == "cpu")
]
implementations = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])


def constant_params(features, hidden_size, bias=0.03, forget_bias=1.0):
    """What Keras's tests use: kernels of 0.01 and 0.02, and a forget bias of 1 unless told not."""
    biases = np.full((4, hidden_size), bias, np.float32)
    biases[1] = forget_bias
    return LSTMParams(
        jnp.full((features, 4 * hidden_size), 0.01),
        jnp.full((hidden_size, 4 * hidden_size), 0.02),
        jnp.asarray(biases.reshape(-1)),
    )


def counting(*shape):
    return jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape)


KERAS = {
    "defaults": ({}, {}, [0.6288687, 0.86899155, 0.9460773]),
    "go_backwards": ({}, {"reverse": True}, [0.35622165, 0.74789524, 0.8872726]),
    "no unit_forget_bias": ({"forget_bias": 0.03}, {}, [0.57019705, 0.8661914, 0.9459622]),
    "no bias": ({"bias": 0.0, "forget_bias": 0.0}, {}, [0.54986924, 0.86226785, 0.9443936]),
}


@implementations
@pytest.mark.parametrize("name", KERAS)
def test_keras_figures_for_constant_weights(implementation, name):
    weights, how, expected = KERAS[name]
    _, state = lstm(
        constant_params(4, 3, **weights), counting(3, 6, 4), implementation=implementation, **how
    )
    np.testing.assert_allclose(state.hidden, np.repeat(np.c_[expected], 3, 1), atol=1e-5)


@implementations
def test_keras_figures_for_a_state_carried_on(implementation):
    params, inputs = constant_params(4, 4), counting(2, 3, 4)
    _, state = lstm(params, inputs, implementation=implementation)
    _, state = lstm(params, inputs, initial_state=state, implementation=implementation)
    expected = np.repeat(np.c_[[0.3124785, 0.6863672]], 4, 1)
    np.testing.assert_allclose(state.hidden, expected, atol=1e-5)


@implementations
def test_keras_figures_for_a_state_given(implementation):
    given_state = LSTMState(counting(2, 2), counting(2, 2))
    for reverse, expected in (
        (False, [[0.20574439, 0.3558822], [0.64930826, 0.66276]]),
        (True, [[0.13281618, 0.2790356], [0.5839337, 0.5992567]]),
    ):
        _, state = lstm(
            constant_params(3, 2),
            counting(2, 4, 3),
            initial_state=given_state,
            reverse=reverse,
            implementation=implementation,
        )
        np.testing.assert_allclose(state.hidden, expected, atol=1e-5)


@implementations
def test_keras_figures_for_masks(implementation):
    params, inputs = constant_params(3, 2), counting(2, 4, 3)
    outputs, state = lstm(params, inputs, lengths=jnp.array([3, 2]), implementation=implementation)
    expected = [[0.01588910, 0.05552048, 0.11755939, 0.0], [0.14185596, 0.28556206, 0.0, 0.0]]
    np.testing.assert_allclose(outputs, np.repeat(np.array(expected)[..., None], 2, 2), atol=1e-5)
    np.testing.assert_allclose(state.hidden[:, 0], [0.11755939, 0.28556206], atol=1e-5)
    # A mask with its false steps first is the flipped sequence read forward: the valid steps last
    # to first.
    valid_first = jnp.stack([jnp.roll(inputs[0], -1, 0), jnp.roll(inputs[1], -2, 0)])
    _, state = lstm(
        params,
        valid_first,
        lengths=jnp.array([3, 2]),
        reverse=True,
        implementation=implementation,
    )
    np.testing.assert_allclose(state.hidden[:, 0], [0.15341201, 0.3844719], atol=1e-5)


@implementations
def test_pytorch_figures_for_counted_weights(implementation):
    W, U, b = (counting(8, 2) / 16, counting(8, 2) / 16, counting(8) / 8)
    inputs = ((24 - counting(3, 4, 2)) / 24).swapaxes(0, 1)  # theirs have time first
    outputs, state = lstm(LSTMParams(W.T, U.T, 2 * b), inputs, implementation=implementation)
    expected = (
        "0.4391 0.5402 0.4330 0.5324 0.4261 0.5239 0.4183 0.5147 0.6822 0.8064 0.6726 0.7968 "
        "0.6620 0.7860 0.6501 0.7741 0.7889 0.9003 0.7769 0.8905 0.7635 0.8794 0.7484 0.8666"
    )
    expected = np.array(expected.split(), float).reshape(3, 4, 2).swapaxes(0, 1)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)
    cells = [[1.1647, 1.6106], [1.1425, 1.5726], [1.1187, 1.5329], [1.0931, 1.4911]]
    np.testing.assert_allclose(state.cell, cells, atol=1e-4)


@implementations
@directions
def test_flax_agrees_on_lengths_and_on_keeping_the_order(implementation, reverse, rng):
    module = nn.RNN(nn.OptimizedLSTMCell(6), return_carry=True, reverse=reverse, keep_order=True)
    inputs = jnp.asarray(rng.normal(size=(3, 4, 5)), jnp.float32)
    lengths = jnp.array([4, 1, 3])
    variables = module.init(jax.random.key(0), inputs)
    found: Any = module.apply(variables, inputs, seq_lengths=lengths)
    (cell, hidden), expected = found
    params: Any = from_flax(variables["params"]["cell"])
    outputs, state = lstm(
        params, inputs, lengths=lengths, reverse=reverse, implementation=implementation
    )
    np.testing.assert_allclose(state.hidden, hidden, atol=1e-6)
    np.testing.assert_allclose(state.cell, cell, atol=1e-6)
    for n, length in enumerate(lengths):
        np.testing.assert_allclose(outputs[n, :length], expected[n, :length], atol=1e-6)


@implementations
def test_reading_backward_is_reading_flax_flipped_sequences(implementation, rng):
    params = init_lstm(jax.random.key(0), 5, 6)
    inputs, lengths = jnp.asarray(rng.normal(size=(3, 4, 5)), jnp.float32), jnp.array([4, 1, 3])

    def flipped(sequences):
        return flip_sequences(sequences, lengths, num_batch_dims=1, time_major=False)

    expected, _ = lstm(params, flipped(inputs), lengths=lengths, implementation=implementation)
    outputs, _ = lstm(params, inputs, lengths=lengths, reverse=True, implementation=implementation)
    for n, length in enumerate(lengths):
        np.testing.assert_allclose(outputs[n, :length], flipped(expected)[n, :length], atol=1e-6)


# (B, T, D, H): few, since each is compiled for.
SHAPES = [(1, 1, 1, 1), (2, 3, 4, 9), (3, 2, 1, 5), (5, 7, 3, 8)]


@st.composite
def problems(draw):
    """A shape, the lengths of its sequences (zeros included) and a seed for all else.

    Arrays are made from them outside: what takes long in a draw is held against the test.
    """
    shape = draw(st.sampled_from(SHAPES))
    lengths = draw(st.lists(st.integers(0, shape[1]), min_size=shape[0], max_size=shape[0]))
    return shape, lengths, draw(st.integers(0, 2**16))


def arrays_of(shape, lengths, seed):
    """Parameters, inputs, lengths and a first state."""
    B, T, D, H = shape
    rng = np.random.default_rng(seed)
    params = init_lstm(jax.random.key(seed), D, H)
    inputs = jnp.asarray(rng.normal(size=(B, T, D)), jnp.float32)
    state = LSTMState(*jnp.asarray(rng.normal(size=(2, B, H)), jnp.float32))
    return params, inputs, jnp.asarray(lengths, jnp.int32), state


def law(test):
    """The law on random problems, by every implementation and in both directions."""

    def on_any(implementation, reverse, problem):
        test(implementation, reverse, arrays_of(*problem))

    on_any.__name__, on_any.__doc__ = test.__name__, test.__doc__
    tried = settings(max_examples=15, deadline=None, derandomize=True)(given(problems())(on_any))
    return implementations(directions(tried))


# Compiled once for each shape.
compiled = jax.jit(lstm, static_argnames=("reverse", "implementation"))


def run(problem, implementation, reverse, **changes):
    params, inputs, lengths, state = problem
    return compiled(
        params,
        changes.get("inputs", inputs),
        lengths=changes.get("lengths", lengths),
        initial_state=changes.get("state", state),
        reverse=reverse,
        implementation=implementation,
    )


def close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, expected)


@law
def test_wider_padding_changes_nothing(implementation, reverse, problem):
    outputs, state = run(problem, implementation, reverse)
    wider = jnp.pad(problem[1], ((0, 0), (0, 3), (0, 0)), constant_values=9.0)
    more, final = run(problem, implementation, reverse, inputs=wider)
    close(more[:, : outputs.shape[1]], outputs)
    close(final, state)
    np.testing.assert_array_equal(more[:, outputs.shape[1] :], 0)


@law
def test_the_order_of_the_batch_changes_nothing(implementation, reverse, problem):
    order = np.random.default_rng(0).permutation(len(problem[1]))
    shuffled = problem[0], *jax.tree.map(lambda a: a[order], problem[1:])
    expected = jax.tree.map(lambda a: a[order], run(problem, implementation, reverse))
    close(run(shuffled, implementation, reverse), expected)


@law
def test_two_parts_equal_the_whole_wherever_it_is_cut(implementation, reverse, problem):
    outputs, state = run(problem, implementation, reverse)
    _, inputs, lengths, carried = problem
    time, parts = inputs.shape[1], []
    cuts = [(0, time // 2), (time // 2, time)]
    for start, end in reversed(cuts) if reverse else cuts:
        part, carried = run(
            problem,
            implementation,
            reverse,
            inputs=inputs[:, start:end],
            lengths=jnp.clip(lengths - start, 0, end - start),
            state=carried,
        )
        parts.insert(0 if reverse else len(parts), part)
    close((jnp.concatenate(parts, 1), carried), (outputs, state))


@law
def test_padding_gets_no_gradient(implementation, reverse, problem):
    _, inputs, lengths, _ = problem

    def loss(inputs):
        outputs, final = run(problem, implementation, reverse, inputs=inputs)
        return (outputs**2).sum() + sum((part**3).sum() for part in final)

    gradient = np.asarray(jax.grad(loss)(inputs))
    padding = np.arange(inputs.shape[1]) >= np.asarray(lengths)[:, None]
    np.testing.assert_array_equal(gradient[padding], 0)
    assert (np.abs(gradient[~padding]).sum(-1) > 0).all()
