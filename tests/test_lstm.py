"""The recurrence: every implementation against the oracle, every argument's gradient included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import lstm_jax
from lstm_jax import Bidirectional, LSTMParams, LSTMState, bidirectional_lstm, init_lstm, lstm
from lstm_jax.kernels import scan, xla

IMPLEMENTATIONS = [
    name
    for name, state in lstm_jax.implementations().items()
    if state == "available" and (name != "cpu" or jax.default_backend() == "cpu")
]
# B, T, D, H: ordinary, single, empty and odd ones.
SHAPES = [
    *[(4, 9, 5, 7), (1, 1, 1, 1), (5, 2, 3, 33), (3, 0, 2, 4), (0, 3, 2, 4), (2, 17, 1, 3)],
    (64, 5, 3, 4),  # so many that XLA sums the gradients of the kernels in its loop
]

implementations = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])


def problem(B, T, D, H, seed=0):
    """Parameters, inputs, lengths (0 and T among them where there is room) and a first state."""
    rng = np.random.default_rng(seed)
    params = init_lstm(jax.random.key(seed), D, H)
    params = params._replace(bias=jnp.asarray(rng.normal(size=4 * H), jnp.float32))
    inputs = jnp.asarray(rng.normal(size=(B, T, D)), jnp.float32)
    lengths = rng.integers(0, T + 1, B)
    lengths[: min(B, 2)] = [T, 0][: min(B, 2)]
    state = LSTMState(*jnp.asarray(rng.normal(size=(2, B, H)), jnp.float32))
    return params, inputs, jnp.asarray(lengths, jnp.int32), state


def weighted_sum(outputs, state, rng):
    """A loss that depends on each number of the results in a way of its own."""
    weights = [rng.normal(size=array.shape) for array in (outputs, *state)]
    pairs = zip(weights, (outputs, *state), strict=True)
    return sum((weight * array).sum() for weight, array in pairs)


def results_of(arguments, reverse, implementation):
    """Outputs and last state of `lstm`, for what `problem` gives."""
    params, inputs, lengths, state = arguments
    return lstm(
        params,
        inputs,
        lengths=lengths,
        initial_state=state,
        reverse=reverse,
        implementation=implementation,
    )


def gradients_and_results(arguments, reverse, implementation):
    """Those of `weighted_sum` to parameters, inputs and first state; and what it sums."""
    params, inputs, lengths, state = arguments

    def loss(params, inputs, state):
        results = results_of((params, inputs, lengths, state), reverse, implementation)
        return weighted_sum(*results, np.random.default_rng(1)), results

    return jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(params, inputs, state)


@implementations
@directions
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_and_state_equal_the_reference(implementation, reverse, shape):
    params, inputs, lengths, state = problem(*shape)
    outputs, final = results_of((params, inputs, lengths, state), reverse, implementation)
    expected = reference.lstm(*params, inputs, np.asarray(lengths), *state, reverse=reverse)
    for array, wanted in zip((outputs, *final), expected, strict=True):
        np.testing.assert_allclose(array, wanted, atol=2e-6)


@implementations
@directions
def test_gradients_of_every_argument_equal_finite_differences(implementation, reverse):
    params, inputs, lengths, state = problem(3, 4, 2, 3)
    lengths = jnp.asarray([4, 0, 2], jnp.int32)
    found, _ = gradients_and_results((params, inputs, lengths, state), reverse, implementation)
    gradients = jax.tree.leaves(found)
    arrays = [np.asarray(array, np.float64) for array in (*params, inputs, *state)]

    def reference_loss(*arrays):
        W, U, b, inputs, hidden, cell = arrays
        outputs, *final = reference.lstm(
            W, U, b, inputs, np.asarray(lengths), hidden, cell, reverse
        )
        return weighted_sum(outputs, final, np.random.default_rng(1))

    for n, gradient in enumerate(gradients):
        numerical = reference.numerical_gradient(
            lambda array, n=n: reference_loss(*arrays[:n], array, *arrays[n + 1 :]), arrays[n]
        )
        np.testing.assert_allclose(gradient, numerical, atol=2e-5, rtol=1e-4)


@implementations
@directions
def test_pytorch_agrees(implementation, reverse, rng):
    torch = pytest.importorskip("torch")
    B, T, D, H = 3, 8, 4, 6
    module = torch.nn.LSTM(D, H, batch_first=True)
    weights = [p.detach().numpy() for p in module.parameters()]
    params = LSTMParams(weights[0].T, weights[1].T, weights[2] + weights[3])
    inputs = rng.normal(size=(B, T, D)).astype(np.float32)
    tensor = torch.tensor(inputs, requires_grad=True)
    expected, (hidden, cell) = module(torch.flip(tensor, [1]) if reverse else tensor)
    expected = torch.flip(expected, [1]) if reverse else expected
    cotangent = rng.normal(size=(B, T, H)).astype(np.float32)
    expected.backward(torch.tensor(cotangent))

    def run(params, inputs):
        outputs, state = lstm(params, inputs, reverse=reverse, implementation=implementation)
        return outputs, state

    (outputs, state), pullback = jax.vjp(run, LSTMParams(*map(jnp.asarray, params)), inputs)
    d_params, d_inputs = pullback((cotangent, jax.tree.map(jnp.zeros_like, state)))
    np.testing.assert_allclose(outputs, expected.detach(), atol=1e-6)
    np.testing.assert_allclose(state.hidden, hidden.detach()[0], atol=1e-6)
    np.testing.assert_allclose(state.cell, cell.detach()[0], atol=1e-6)
    np.testing.assert_allclose(d_inputs, tensor.grad, atol=1e-5)
    torch_gradients = [p.grad.numpy() for p in module.parameters()]
    np.testing.assert_allclose(d_params.input_kernel, torch_gradients[0].T, atol=1e-5)
    np.testing.assert_allclose(d_params.recurrent_kernel, torch_gradients[1].T, atol=1e-5)
    np.testing.assert_allclose(d_params.bias, torch_gradients[2], atol=1e-5)


@implementations
@directions
def test_nan_in_the_padding_changes_nothing(implementation, reverse):
    params, inputs, lengths, state = problem(4, 9, 5, 7)
    padding = np.arange(9) >= np.asarray(lengths)[:, None]
    poisoned = jnp.where(padding[..., None], jnp.nan, inputs)
    clean, found = (
        gradients_and_results((params, given, lengths, state), reverse, implementation)
        for given in (inputs, poisoned)
    )
    jax.tree.map(np.testing.assert_array_equal, clean, found)
    gradients, (outputs, _) = found
    np.testing.assert_array_equal(np.asarray(gradients[1])[padding], 0)
    np.testing.assert_array_equal(np.asarray(outputs)[padding], 0)


@implementations
@pytest.mark.parametrize("cut", [0, 1, 5, 9])
def test_two_chunks_with_the_state_carried_equal_one_run(implementation, cut):
    params, inputs, _, state = problem(4, 9, 5, 7)
    whole, final = lstm(params, inputs, initial_state=state, implementation=implementation)
    first, carried = lstm(
        params, inputs[:, :cut], initial_state=state, implementation=implementation
    )
    second, last = lstm(
        params, inputs[:, cut:], initial_state=carried, implementation=implementation
    )
    np.testing.assert_allclose(np.concatenate([first, second], 1), whole, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), last, final)


@implementations
def test_backward_equals_forward_over_each_flipped_sequence(implementation):
    params, inputs, lengths, _ = problem(4, 9, 5, 7)
    outputs, final = lstm(
        params, inputs, lengths=lengths, reverse=True, implementation=implementation
    )
    for n, length in enumerate(np.asarray(lengths)):
        flipped = inputs[n : n + 1, :length][:, ::-1]
        expected, state = lstm(params, flipped, implementation=implementation)
        np.testing.assert_allclose(outputs[n, :length], expected[0, ::-1], atol=1e-6)
        np.testing.assert_allclose(final.hidden[n], state.hidden[0], atol=1e-6)


@implementations
def test_vmap_equals_a_loop(implementation):
    params, inputs, lengths, _ = problem(4, 9, 5, 7)
    stacked = jnp.stack([inputs, 2 * inputs])

    def run(inputs):
        return lstm(params, inputs, lengths=lengths, implementation=implementation)[0]

    expected = [run(one) for one in stacked]
    np.testing.assert_allclose(jax.vmap(run)(stacked), expected, atol=1e-6)
    gradient = jax.vmap(jax.grad(lambda x: (run(x) ** 2).sum()))(stacked)
    expected = [jax.grad(lambda x: (run(x) ** 2).sum())(one) for one in stacked]
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


@implementations
def test_bidirectional_is_both_directions(implementation):
    params, inputs, lengths, state = problem(4, 9, 5, 7)
    backward_params = init_lstm(jax.random.key(9), 5, 7)
    both, states = bidirectional_lstm(
        Bidirectional(params, backward_params),
        inputs,
        lengths=lengths,
        initial_state=Bidirectional(state, state),
        implementation=implementation,
    )
    for direction, parameters, reverse in (
        ("forward", params, False),
        ("backward", backward_params, True),
    ):
        outputs, final = lstm(
            parameters,
            inputs,
            lengths=lengths,
            initial_state=state,
            reverse=reverse,
            implementation=implementation,
        )
        np.testing.assert_array_equal(getattr(both, direction), outputs)
        np.testing.assert_array_equal(getattr(states, direction).hidden, final.hidden)
        np.testing.assert_array_equal(getattr(states, direction).cell, final.cell)


def test_scan_has_forward_mode_and_second_derivatives():
    params, inputs, lengths, state = problem(3, 5, 2, 3)

    def loss(inputs):
        return lstm(params, inputs, lengths=lengths, initial_state=state, implementation="scan")[
            0
        ].sum()

    with jax.enable_x64(True):
        inputs = jnp.asarray(inputs, jnp.float64)
        tangent = jnp.ones_like(inputs)
        _, forward = jax.jvp(loss, (inputs,), (tangent,))
        np.testing.assert_allclose(forward, jax.grad(loss)(inputs).sum(), rtol=1e-9)
        hessian_product = jax.jvp(jax.grad(loss), (inputs,), (tangent,))[1]
        step = 1e-5
        numerical = (
            jax.grad(loss)(inputs + step * tangent) - jax.grad(loss)(inputs - step * tangent)
        ) / (2 * step)
        np.testing.assert_allclose(hessian_product, numerical, atol=1e-8)


@pytest.mark.parametrize("implementation", [name for name in IMPLEMENTATIONS if name != "gpu"])
def test_float64_is_computed_in_float64(implementation):
    with jax.enable_x64(True):
        arguments = problem(4, 9, 5, 7)
        params, inputs, lengths, state = jax.tree.map(
            lambda a: jnp.asarray(a, jnp.float64) if a.dtype == jnp.float32 else a, arguments
        )
        outputs, final = lstm(
            params,
            inputs,
            lengths=lengths,
            initial_state=state,
            implementation=implementation,
        )
        W, U, b = params
        expected = reference.lstm(W, U, b, inputs, np.asarray(lengths), *state)
        for array, wanted in zip((outputs, *final), expected, strict=True):
            assert array.dtype == jnp.float64
            np.testing.assert_allclose(array, wanted, atol=1e-13)


def test_compiled_size_does_not_grow_with_time():
    def size(time):
        params, inputs, lengths, _ = problem(2, time, 3, 4)
        gradient = jax.jit(jax.grad(lambda p: lstm(p, inputs, lengths=lengths)[0].sum()))
        return len(gradient.lower(params).as_text())

    assert (
        size(1000) < 1.5 * size(10) + 1000 * 2 * 3 * 8 * 2
    )  # the second term: the constant inputs


BAD = {
    "inputs must have shape": lambda p, x, n, s: lstm(p, x[..., :2]),
    "inputs must be floating": lambda p, x, n, s: lstm(p, x.astype(jnp.int32)),
    "params.recurrent_kernel must have shape": lambda p, x, n, s: lstm(
        p._replace(recurrent_kernel=p.recurrent_kernel[:, :5]), x
    ),
    "lengths must have shape": lambda p, x, n, s: lstm(p, x, lengths=n[:2]),
    "lengths must be integers": lambda p, x, n, s: lstm(p, x, lengths=n.astype(jnp.float32)),
    "lengths must be between 0 and T = 9, got 10": lambda p, x, n, s: lstm(
        p, x, lengths=jnp.array([1, 10, 2, 3])
    ),
    "lengths must be between 0 and T = 9, got -1": lambda p, x, n, s: lstm(
        p, x, lengths=jnp.array([1, -1, 2, 3])
    ),
    "initial_state.hidden must have shape": lambda p, x, n, s: lstm(
        p, x, initial_state=LSTMState(s.hidden[:1], s.cell)
    ),
    "implementation must be one of": lambda p, x, n, s: lstm(p, x, implementation="cudnn"),
}


@pytest.mark.wrong_arrays
@pytest.mark.parametrize("message", BAD)
def test_bad_arguments_are_named(message):
    with pytest.raises(ValueError) as caught:
        BAD[message](*problem(4, 9, 5, 7))
    assert str(caught.value).startswith(message)


def test_the_choice_of_auto_can_be_asked_for():
    chosen = lstm_jax.choose_implementation("auto")
    assert chosen == IMPLEMENTATIONS[0], "the first of those that run here"
    assert lstm_jax.choose_implementation("scan") == "scan"
    with pytest.raises(ValueError, match=r"implementation must be one of .*got 'cudnn'"):
        lstm_jax.choose_implementation("cudnn")


@implementations
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((4, 9, 5, 7), 1),
        ((4, 9, 5, 7), 4),
        ((3, 9, 2, 4), 100),
        ((3, 0, 2, 4), 4),
        ((0, 3, 2, 4), 2),
    ],
    ids=str,
)
def test_chunks_change_neither_results_nor_gradients(implementation, shape, size, rng):
    params, inputs, lengths, state = problem(*shape)
    both = Bidirectional(params, jax.tree.map(lambda array: 0.5 * array, params))
    B, T, _, H = shape
    weights = [rng.normal(size=(B, T, H)), rng.normal(size=(B, H))]

    def loss(both, inputs, state, chunk_size):
        outputs, final = bidirectional_lstm(
            both,
            inputs,
            lengths=lengths,
            initial_state=Bidirectional(state, state),
            implementation=implementation,
            chunk_size=chunk_size,
        )
        values = [*outputs, final.forward.cell, final.backward.hidden]
        return sum((weights[v.ndim == 2] * v).sum() for v in values), values

    gradient = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True), static_argnums=3)
    found = gradient(both, inputs, state, size)
    expected = gradient(both, inputs, state, None)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@implementations
def test_chunks_take_less_memory(implementation):
    params, inputs, _, _ = problem(4, 400, 5, 7)

    def temporary(chunk_size):
        def loss(params):
            settings = {"implementation": implementation, "chunk_size": chunk_size}
            return lstm(params, inputs, **settings)[1].hidden.sum()

        compiled = jax.jit(jax.grad(loss)).lower(params).compile()
        memory = compiled.memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    assert temporary(20) < temporary(None) / 3


def test_a_chunk_without_steps_is_refused():
    params, inputs, _, _ = problem(4, 9, 5, 7)
    with pytest.raises(ValueError, match="chunk_size must be at least 1, got 0"):
        lstm(params, inputs, chunk_size=0)


@pytest.mark.parametrize("reverse", [(False, True), (True,)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_directions_in_one_loop_equal_each_in_its_own(reverse, shape):
    """What accelerators run, here too: results, and gradients of every argument."""
    params, inputs, lengths, state = problem(*shape)
    other, _, _, other_state = problem(*shape, seed=1)
    every_params, states = (params, other)[: len(reverse)], (state, other_state)[: len(reverse)]

    def loss(run, every_params, inputs, states):
        results = run(every_params, inputs, lengths, states, reverse=reverse)
        rng = np.random.default_rng(2)
        return sum(weighted_sum(outputs, final, rng) for outputs, final in results), results

    def gradients(run):
        gradient = jax.jit(jax.grad(loss, (1, 2, 3), has_aux=True), static_argnums=0)
        return gradient(run, every_params, inputs, states)

    found, wanted = gradients(xla.at_once), gradients(scan.run)
    for array, expected in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=2e-5)
