"""Derivatives by every implementation are those of plain `lax.scan`, and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import lstm_jax
from lstm_jax import Bidirectional, LSTMState, bidirectional_lstm, init_lstm, lstm
from lstm_jax.kernels import xla

IMPLEMENTATIONS = ["auto"] + [
    name
    for name, state in lstm_jax.implementations().items()
    if state == "available" and (name != "cpu" or jax.default_backend() == "cpu")
]
implementations = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
each_alone = pytest.mark.parametrize("implementation", IMPLEMENTATIONS[1:-1])
B, T, D, H = 2, 3, 2, 3
LENGTHS = jnp.array([T, 1])


def problem():
    """Parameters, inputs and a first state."""
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(B, T, D)), jnp.float32)
    state = LSTMState(*jnp.asarray(rng.normal(size=(2, B, H)), jnp.float32))
    return init_lstm(jax.random.key(0), D, H), inputs, state


def directions_like(arguments):
    """A tangent of each argument, none of them zero."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), a.dtype), arguments)


def loss_by(implementation, **options):
    """A number of parameters, inputs and first state that is linear in none of them."""

    def loss(params, inputs, state):
        outputs, final = lstm(
            params,
            inputs,
            lengths=LENGTHS,
            initial_state=state,
            implementation=implementation,
            **options,
        )
        return (outputs**2).sum() + final.hidden.sum() + (final.cell**3).sum()

    return loss


def jvp(loss):
    return jax.jvp(loss, problem(), directions_like(problem()))


def linearize(loss):
    return jax.linearize(loss, *problem())[1](*directions_like(problem()))


def jacobian_by_forward_mode(loss):
    return jax.jacfwd(loss, (0, 1, 2))(*problem())


def hessian(loss):
    return jax.hessian(loss, 1)(*problem())


def hessian_by_forward_mode_alone(loss):
    return jax.jacfwd(jax.jacfwd(loss, 1), 1)(*problem())


def gradient_of_a_gradient(loss):
    return jax.grad(lambda *a: (jax.grad(loss, 1)(*a) ** 2).sum(), (0, 1, 2))(*problem())


def hessian_vector_product(loss):
    gradient = jax.grad(loss, (0, 1, 2))
    return jax.jvp(gradient, problem(), directions_like(problem()))[1]


def third_derivative(loss):
    def second(inputs):
        params, _, state = problem()
        gradient = jax.grad(loss, 1)
        return jax.grad(lambda x: (gradient(params, x, state) ** 2).sum())(inputs)

    return jax.grad(lambda inputs: second(inputs).sum())(problem()[1])


def mapped_gradient_of_a_gradient(loss):
    params, inputs, state = problem()

    def penalty(inputs):
        return (jax.grad(loss)(params, inputs, state).bias ** 2).sum()

    return jax.vmap(jax.grad(penalty))(jnp.stack([inputs, 2 * inputs]))


def mapped_jvp_of_parameters(loss):
    params, inputs, state = problem()

    def derivative(scale):
        scaled = jax.tree.map(lambda array: scale * array, params)
        return jax.jvp(loss, (scaled, inputs, state), directions_like(problem()))[1]

    return jax.vmap(jax.value_and_grad(derivative))(jnp.array([0.5, 1.0]))


DERIVATIVES = [
    jvp,
    linearize,
    jacobian_by_forward_mode,
    hessian,
    hessian_by_forward_mode_alone,
    gradient_of_a_gradient,
    hessian_vector_product,
    third_derivative,
    mapped_gradient_of_a_gradient,
    mapped_jvp_of_parameters,
]


def close(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


# Compiling is nearly all of the time: "auto" compiles what the others do once more.
FEW = (jvp, hessian, gradient_of_a_gradient)


@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_every_derivative_is_that_of_plain_scan(derivative):
    """One test for all implementations: the expected values are computed once."""
    expected = jax.jit(lambda: derivative(loss_by("scan")))()
    left_out = {"scan"} if derivative in FEW else {"scan", "auto"}
    left_out |= {"xla"} if derivative is third_derivative and "cpu" in IMPLEMENTATIONS else set()
    for implementation in set(IMPLEMENTATIONS) - left_out:
        close(jax.jit(lambda i=implementation: derivative(loss_by(i)))(), expected)


@implementations
def test_a_gradient_of_a_gradient_equals_finite_differences(implementation):
    params, inputs, state = problem()
    direction = np.random.default_rng(2).normal(size=inputs.shape)

    def reference_slope(values):
        """The derivative along `direction` of the sum of squared outputs, at float64."""

        def outputs(step):
            moved = values + step * direction
            found = reference.lstm(*params, moved, np.asarray(LENGTHS), *state)[0]
            return (found**2).sum()

        return (outputs(1e-4) - outputs(-1e-4)) / 2e-4

    def slope(inputs):
        def squares(inputs):
            options = {"initial_state": state, "implementation": implementation}
            return (lstm(params, inputs, lengths=LENGTHS, **options)[0] ** 2).sum()

        return (jax.grad(squares)(inputs) * direction).sum()

    numerical = reference.numerical_gradient(reference_slope, np.asarray(inputs, np.float64))
    np.testing.assert_allclose(jax.jit(jax.grad(slope))(inputs), numerical, atol=1e-4)


@each_alone
def test_derivatives_go_through_chunks(implementation):
    expected = jax.jit(lambda: gradient_of_a_gradient(loss_by("scan")))()
    loss = loss_by(implementation, chunk_size=2)
    close(jax.jit(lambda: gradient_of_a_gradient(loss))(), expected)
    close(jax.jit(lambda: jvp(loss))(), jvp(loss_by("scan")))


@each_alone
def test_derivatives_go_through_two_directions_read_at_once(implementation):
    params, inputs, state = problem()

    def loss(params, inputs, implementation):
        outputs, _ = bidirectional_lstm(
            Bidirectional(params, params),
            inputs,
            lengths=LENGTHS,
            initial_state=Bidirectional(state, state),
            implementation=implementation,
        )
        return (outputs.forward * outputs.backward).sum()

    def second(params, inputs, implementation):
        def slope(params):
            return jax.jvp(lambda x: loss(params, x, implementation), (inputs,), (inputs,))[1]

        return slope(params), jax.grad(slope)(params)

    compiled = jax.jit(second, static_argnums=2)
    close(compiled(params, inputs, implementation), compiled(params, inputs, "scan"))


def test_derivatives_of_what_accelerators_run_are_those_of_plain_scan():
    def loss(params, inputs, state):
        results = xla.at_once(
            (params,), inputs, LENGTHS.astype(jnp.int32), (state,), reverse=(False,)
        )
        ((outputs, final),) = results
        return (outputs**2).sum() + final.hidden.sum() + (final.cell**3).sum()

    for derivative in (jvp, gradient_of_a_gradient):
        expected = jax.jit(lambda d=derivative: d(loss_by("scan")))()
        close(jax.jit(lambda d=derivative: d(loss))(), expected)


@pytest.mark.skipif("cpu" not in IMPLEMENTATIONS, reason="no compiled implementation")
@pytest.mark.parametrize("argnums", [0, (0, 1, 2)])
def test_a_first_gradient_runs_the_compiled_passes_and_no_loop(argnums):
    gradient = jax.jit(jax.grad(loss_by("auto"), argnums))
    program = gradient.lower(*problem()).as_text()
    for call in ("forward", "backward", "gradient"):
        assert program.count(f"@lstm_cpu_{call}(") == 1, call
    assert "stablehlo.while" not in program
