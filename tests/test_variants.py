"""The other cells: each against its paper's equations in float64 NumPy, gradients included."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from lstm_jax import LSTMParams, LSTMState, init_lstm, lstm, scan_cell
from lstm_jax.variants import Variant, VariantParams

B, T, D, H, R = 4, 6, 3, 5, 2
LENGTHS = jnp.array([6, 0, 3, 1])


def of_peephole(p: VariantParams):
    return partial(reference.peephole_step, p.input_kernel, p.recurrent_kernel, p.bias, p.peepholes)


def of_coupled(p: VariantParams):
    return partial(reference.coupled_step, p.input_kernel, p.recurrent_kernel, p.bias)


def of_projected(p: VariantParams):
    weights = (p.input_kernel, p.recurrent_kernel, p.bias, p.projection)
    return lambda x, h, c: reference.projected_step(*weights, x, h, c, clip=0.3)


def of_layer_norm(p: VariantParams):
    return partial(
        reference.layer_norm_step, p.input_kernel, p.recurrent_kernel, p.bias, p.normalisation
    )


def of_no_bias(p: VariantParams):
    return partial(reference.lstm_step, p.input_kernel, p.recurrent_kernel, 0.0)


def of_plain(p: VariantParams):
    return partial(reference.lstm_step, p.input_kernel, p.recurrent_kernel, p.bias)


CASES = {
    "plain": (Variant(), of_plain),
    "peephole": (Variant(peepholes=True), of_peephole),
    "coupled": (Variant(coupled=True), of_coupled),
    "projected and clipped": (Variant(projection_size=R, clip_cell=0.3), of_projected),
    "layer_norm": (Variant(normalise=True), of_layer_norm),
    "no_bias": (Variant(bias=False), of_no_bias),
}
cases = pytest.mark.parametrize("name", CASES)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])


def problem(cell: Variant, dtype=jnp.float32):
    """Parameters in which nothing is zero or one, inputs, and a state to start from."""
    rng = np.random.default_rng(0)
    params = cell.init(jax.random.key(0), D, H)
    params = jax.tree.map(lambda a: jnp.asarray(a + 0.3 * rng.normal(size=a.shape), dtype), params)
    inputs = jnp.asarray(rng.normal(size=(B, T, D)), dtype)
    state = jax.tree.map(
        lambda a: jnp.asarray(0.5 * rng.normal(size=a.shape), dtype), cell.initial_state(params, B)
    )
    return params, inputs, state


def weighted_sum(outputs, state):
    rng = np.random.default_rng(1)
    return sum((rng.normal(size=array.shape) * array).sum() for array in (outputs, *state))


@cases
@directions
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 2e-5), (jnp.float64, 1e-13)], ids=["float32", "float64"]
)
def test_outputs_and_state_equal_the_reference(name, reverse, dtype, tolerance):
    cell, step = CASES[name]
    with jax.enable_x64(True):
        params, inputs, state = problem(cell, dtype)
        outputs, final = scan_cell(cell, params, inputs, state, lengths=LENGTHS, reverse=reverse)
    exact = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    expected = reference.run(step(exact), inputs, np.asarray(LENGTHS), *state, reverse=reverse)
    for found, wanted in zip((outputs, *final), expected, strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@cases
@directions
def test_gradients_of_every_argument_equal_finite_differences(name, reverse):
    cell, step = CASES[name]
    with jax.enable_x64(True):
        arguments = problem(cell, jnp.float64)

        def loss(params, inputs, state):
            found = scan_cell(cell, params, inputs, state, lengths=LENGTHS, reverse=reverse)
            return weighted_sum(*found)

        gradients = jax.tree.leaves(jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*arguments))
        leaves, structure = jax.tree.flatten(arguments)
        leaves = [np.asarray(leaf, np.float64) for leaf in leaves]

        def reference_loss(*leaves):
            params, inputs, state = jax.tree.unflatten(structure, leaves)
            outputs, *final = reference.run(
                step(params), inputs, np.asarray(LENGTHS), *state, reverse=reverse
            )
            return weighted_sum(outputs, final)

        for n, gradient in enumerate(gradients):
            numerical = reference.numerical_gradient(
                lambda array, n=n: reference_loss(*leaves[:n], array, *leaves[n + 1 :]), leaves[n]
            )
            np.testing.assert_allclose(gradient, numerical, atol=1e-7, rtol=1e-5)


@cases
def test_padding_changes_nothing_and_chunks_equal_the_whole(name):
    cell, _ = CASES[name]
    params, inputs, state = problem(cell)
    padding = np.arange(T) >= np.asarray(LENGTHS)[:, None]
    poisoned = jnp.where(padding[..., None], jnp.nan, inputs)

    def loss(params, inputs, chunk_size=None):
        results = scan_cell(cell, params, inputs, state, lengths=LENGTHS, chunk_size=chunk_size)
        return weighted_sum(*results), results

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True), static_argnums=2)
    clean = gradient(params, inputs)
    jax.tree.map(np.testing.assert_array_equal, clean, gradient(params, poisoned))
    in_chunks = gradient(params, inputs, 4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), clean, in_chunks)


def test_without_options_it_is_the_lstm_with_the_same_draw():
    cell, key = Variant(), jax.random.key(3)
    params = cell.init(key, D, H)
    _, inputs, state = problem(cell)
    weights: Any = params[:3]
    expected, final = lstm(LSTMParams(*weights), inputs, initial_state=state)
    outputs, ended = scan_cell(cell, params, inputs, state)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    np.testing.assert_allclose(ended.cell, final.cell, atol=1e-6)
    drawn = init_lstm(jax.random.split(key)[0], D, H)
    jax.tree.map(np.testing.assert_array_equal, tuple(params[:3]), tuple(drawn))


def test_coupling_draws_three_gates_and_has_no_forget_bias():
    params = Variant(coupled=True).init(jax.random.key(0), D, H)
    assert params.input_kernel.shape == (D, 3 * H)
    np.testing.assert_array_equal(params.bias, 0)


@pytest.mark.parametrize("clip", [0.2, 1.5])
def test_clipping_holds_back_the_cell_state_and_what_enters_the_gates(clip):
    params, inputs, state = problem(Variant())
    unbounded, _ = scan_cell(Variant(), params, 5 * inputs, state)
    cell = Variant(clip_cell=clip, clip_gates=clip)
    _, (_, ended) = scan_cell(cell, params, 5 * inputs, state)
    assert np.abs(ended).max() <= clip
    gates = Variant(clip_gates=clip)
    _, (hidden, _) = scan_cell(gates, params, 5 * inputs[:, :1], state)
    assert np.abs(hidden).max() < 1 / (1 + np.exp(-clip)), "the output gate opens no further"
    assert not np.allclose(unbounded, scan_cell(gates, params, 5 * inputs, state)[0])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
def test_activations_equal_keras():
    keras = pytest.importorskip("keras")
    layer = keras.layers.LSTM(
        H, activation="relu", recurrent_activation="hard_sigmoid", return_sequences=True
    )
    _, inputs, _ = problem(Variant())
    expected = np.asarray(layer(np.asarray(inputs)))
    weights: Any = (jnp.asarray(np.asarray(w)) for w in layer.get_weights())
    params = VariantParams(*weights)
    cell = Variant(
        gate_activation=jax.nn.hard_sigmoid,
        candidate_activation=jax.nn.relu,
        cell_activation=jax.nn.relu,
    )
    outputs, _ = scan_cell(cell, params, inputs, cell.initial_state(params, B))
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_projection_equals_pytorch():
    torch = pytest.importorskip("torch")
    module = torch.nn.LSTM(D, H, batch_first=True, proj_size=R)
    W, U, b1, b2, P = (p.detach().numpy() for p in module.parameters())
    params = VariantParams(W.T, U.T, b1 + b2, projection=P.T)
    cell = Variant(projection_size=R)
    _, inputs, state = problem(cell)
    given = tuple(torch.tensor(np.asarray(array))[None] for array in state)
    expected, (hidden, memory) = module(torch.tensor(np.asarray(inputs)), given)
    outputs, final = scan_cell(cell, params, inputs, state)
    np.testing.assert_allclose(outputs, expected.detach(), atol=1e-6)
    np.testing.assert_allclose(final.hidden, hidden[0].detach(), atol=1e-6)
    np.testing.assert_allclose(final.cell, memory[0].detach(), atol=1e-6)


@cases
def test_every_transform_works(name):
    cell, _ = CASES[name]
    with jax.enable_x64(True):
        params, inputs, state = problem(cell, jnp.float64)

        def loss(params):
            return weighted_sum(*scan_cell(cell, params, inputs, state, lengths=LENGTHS))

        slope = jax.jit(jax.grad(loss))
        tangent = jax.tree.map(jnp.ones_like, params)
        value, forward = jax.jit(lambda p: jax.jvp(loss, (p,), (tangent,)))(params)
        total = sum(leaf.sum() for leaf in jax.tree.leaves(slope(params)))
        np.testing.assert_allclose(forward, total, rtol=1e-9)
        product = jax.jit(lambda p: jax.jvp(slope, (p,), (tangent,))[1])(params)
        step = 1e-5
        up, down = (slope(jax.tree.map(lambda a, s=s: a + s * step, params)) for s in (1, -1))
        numerical = jax.tree.map(lambda a, b: (a - b) / (2 * step), up, down)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), product, numerical)
        stacked = jax.tree.map(lambda a: jnp.stack([a, 1.1 * a]), params)
        both = jax.jit(jax.vmap(loss))(stacked)
        np.testing.assert_allclose(both[0], value, rtol=1e-9)


@cases
def test_bfloat16_weights_with_a_float32_state_stay_near_float32(name):
    cell, _ = CASES[name]
    params, inputs, state = problem(cell)
    exact, _ = scan_cell(cell, params, inputs, state)
    rounded, small = (
        jax.tree.map(lambda a: a.astype(jnp.bfloat16), tree) for tree in (params, inputs)
    )
    outputs, final = scan_cell(cell, rounded, small, state)
    assert outputs.dtype == final.cell.dtype == jnp.float32
    np.testing.assert_allclose(outputs, exact, atol=0.05)


WRONG = {
    "params.peepholes must be an array": (Variant(peepholes=True), {"peepholes": None}),
    "params.projection must be None": (Variant(), {"projection": jnp.zeros((H, H))}),
    "params.bias must have shape": (Variant(), {"bias": jnp.zeros(3)}),
    "params.recurrent_kernel must have shape": (
        Variant(projection_size=R),
        {"recurrent_kernel": jnp.zeros((H, 4 * H))},
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_parameters_that_do_not_fit_are_named(message):
    cell, change = WRONG[message]
    params, inputs, state = problem(cell)
    with pytest.raises(ValueError, match=message):
        cell(params._replace(**change), state, inputs[:, 0])


@pytest.mark.parametrize(
    "wrong", [{"clip_cell": 0.0}, {"clip_gates": -1.0}, {"projection_size": 0}], ids=str
)
def test_sizes_below_zero_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Variant(**wrong)


def test_a_state_is_zero_at_the_start():
    cell = Variant(projection_size=R)
    state = cell.initial_state(cell.init(jax.random.key(0), D, H), 3)
    assert isinstance(state, LSTMState)
    assert state.hidden.shape == (3, R)
    assert state.cell.shape == (3, H)
