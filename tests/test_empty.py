"""Nothing to do is done right: no sequences, no steps, no members of a `vmap`, all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lstm_jax
from lstm_jax import LSTMState, init_lstm, lstm

D, H = 4, 3
IMPLEMENTATIONS = ["auto"] + [
    name
    for name, state in lstm_jax.implementations().items()
    if state == "available" and (name != "cpu" or jax.default_backend() == "cpu")
]
# Members of the vmap, sequences, steps.
EMPTY = [(0, 3, 5), (2, 0, 5), (2, 3, 0), (2, 0, 0), (0, 0, 0)]

# Which of parameters, inputs and initial state are mapped.
MAPPED = [(None, 0, None), (0, 0, 0)]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("mapped", MAPPED, ids=str)
@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_vmap_over_something_empty_gives_the_initial_state_and_gradients_of_zero(
    implementation, mapped, shape
):
    members, B, T = shape

    def of_all(array, axis):
        return array if axis is None else jnp.broadcast_to(array, (members, *array.shape))

    params = init_lstm(jax.random.key(0), D, H)
    state = LSTMState(jnp.full((B, H), 0.5), jnp.full((B, H), -0.5))
    arguments = tuple(
        jax.tree.map(lambda array, axis=axis: of_all(array, axis), argument)
        for argument, axis in zip((params, jnp.ones((B, T, D)), state), mapped, strict=True)
    )

    def loss(params, inputs, state):
        outputs, final = lstm(params, inputs, initial_state=state, implementation=implementation)
        return outputs.sum() + final.hidden.sum() + 3 * final.cell.sum(), (outputs, final)

    gradient = jax.jit(jax.vmap(jax.grad(loss, (0, 1, 2), has_aux=True), mapped))
    (d_params, d_inputs, d_state), (outputs, final) = gradient(*arguments)
    assert outputs.shape == (members, B, T, H)
    assert d_inputs.shape == (members, B, T, D)
    np.testing.assert_array_equal(final.hidden, np.full((members, B, H), 0.5))
    np.testing.assert_array_equal(final.cell, np.full((members, B, H), -0.5))
    np.testing.assert_array_equal(d_state.hidden, np.ones((members, B, H)))
    np.testing.assert_array_equal(d_state.cell, np.full((members, B, H), 3))
    for d_param, param in zip(d_params, params, strict=True):
        np.testing.assert_array_equal(d_param, np.zeros((members, *param.shape)))
    without = jax.vmap(lambda *given: loss(*given)[1], mapped)(*arguments)  # and without gradients
    assert jax.tree.map(jnp.shape, without) == jax.tree.map(jnp.shape, (outputs, final))
