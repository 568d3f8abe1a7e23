"""Lengths of any integer type mean the same, in chunks too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_jax import Variant, bidirectional_lstm, init_lstm, lstm, recompute_gates, scan_cell
from lstm_jax.lstm import Bidirectional
from lstm_jax.nn.layer import LSTMLayer, last_output
from lstm_jax.nn.pooling import Pool
from lstm_jax.nn.stack import LSTMStack
from lstm_jax.recurrence import valid_steps, zero_padding

T = 300
LENGTHS = (100, 0, 1, 127)  # what an int8 can hold, of more steps than it can
PARAMS = init_lstm(jax.random.key(0), 2, 3)
INPUTS = jax.random.normal(jax.random.key(1), (len(LENGTHS), T, 2))
CELL = Variant(peepholes=True)


def scanned(lengths, reverse):
    params = CELL.init(jax.random.key(2), 2, 3)
    state = CELL.initial_state(params, len(LENGTHS))
    options = {"reverse": reverse, "chunk_size": 8}
    return scan_cell(CELL, params, INPUTS, state, lengths=lengths, **options)


def layer_of_peepholes(lengths):
    layer = LSTMLayer(3, "bidirectional", cell="peephole", chunk_size=8)
    return layer.init_with_output(jax.random.key(3), INPUTS, lengths)[0]


def pooled_stack(lengths):
    stack = LSTMStack(2, lambda name: LSTMLayer(3, chunk_size=8, name=name))
    encoding, _ = stack.init_with_output(jax.random.key(3), INPUTS, lengths)
    pool = Pool("max_mean")
    return pool.apply({}, encoding, lengths)


def gates(lengths):
    outputs, _ = lstm(PARAMS, INPUTS, lengths=lengths)
    return recompute_gates(PARAMS, INPUTS, outputs, lengths=lengths, reverse=True)


FUNCTIONS = {
    "scan_cell": lambda lengths: scanned(lengths, False),
    "scan_cell, backward": lambda lengths: scanned(lengths, True),
    "LSTMLayer": layer_of_peepholes,
    "LSTMStack, Pool": pooled_stack,
    "lstm": lambda lengths: lstm(PARAMS, INPUTS, lengths=lengths, chunk_size=7),
    "bidirectional_lstm": lambda lengths: bidirectional_lstm(
        Bidirectional(PARAMS, PARAMS), INPUTS, lengths=lengths
    ),
    "recompute_gates": gates,
    "last_output": lambda lengths: last_output(INPUTS, lengths, reverse=False),
    "zero_padding": lambda lengths: zero_padding(INPUTS, lengths),
    "valid_steps": lambda lengths: valid_steps(lengths, T),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lengths_of_every_integer_type_give_the_bits_of_int32(name):
    function = jax.jit(FUNCTIONS[name])
    expected = function(jnp.array(LENGTHS, jnp.int32))
    for dtype in ("uint8", "uint16", "uint32", "int8", "int16"):
        found = function(jnp.array(LENGTHS, dtype))
        jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "int8"])
def test_a_cell_in_chunks_ends_with_the_state_of_each_last_step(dtype):
    """Without chunks as the right value: a step behind the length would change it."""
    params = CELL.init(jax.random.key(2), 2, 3)
    state = CELL.initial_state(params, len(LENGTHS))
    lengths = jnp.array(LENGTHS, dtype)
    found = scan_cell(CELL, params, INPUTS, state, lengths=lengths, chunk_size=8)
    for n, length in enumerate(LENGTHS):
        one = jax.tree.map(lambda array, n=n: array[n : n + 1], state)
        _, expected = scan_cell(CELL, params, INPUTS[n : n + 1, :length], one)
        np.testing.assert_allclose(found[1].cell[n], expected.cell[0], atol=1e-6)
