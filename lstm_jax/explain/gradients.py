"""Attributions by gradients: gradient times input, and integrated gradients.

Both start at what the first LSTM reads. Integrated gradients go from zeros x' to the inputs x in a
straight line,

    A_i = (x_i - x'_i) ∫_0^1 ∂F(x' + a (x - x')) / ∂x_i da,

and add up to F(x) - F(x') but for the error of the sum that stands in the place of the integral.

Source: Sundararajan, Taly & Yan (2017), "Axiomatic Attribution for Deep Networks", eq. 1; the sum
    is Gauss-Legendre's.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lstm_jax.shapes import Inputs

Target = Callable[[Inputs], Array]

STEPS = 32


def gradient_x_input(target: Target, inputs: Inputs) -> Inputs:
    """Each number that is read, times the derivative of the target by it.

    Args:
        target: of what is read [B, T, E]: [B], each of its own text.
        inputs: [B, T, E].

    Returns:
        [B, T, E]; nothing says what they add up to.
    """
    return inputs * _gradient(target, inputs)


def integrated_gradients(target: Target, inputs: Inputs, *, steps: int = STEPS) -> Inputs:
    """What each number that is read changes between zeros and the text.

    Args:
        target, inputs: as for `gradient_x_input`.
        steps: points on the line, at least 1.

    Returns:
        [B, T, E], which add up to `target(inputs) - target(zeros)`, nearly.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    points, weights = np.polynomial.legendre.leggauss(steps)
    points, weights = jnp.asarray((points + 1) / 2), jnp.asarray(weights / 2)

    def add(total: Inputs, at: tuple[Array, Array]) -> tuple[Inputs, None]:
        point, weight = (each.astype(inputs.dtype) for each in at)
        return total + weight * _gradient(target, point * inputs), None

    total, _ = jax.lax.scan(add, jnp.zeros_like(inputs), (points, weights))
    return inputs * total


def _gradient(target: Target, inputs: Inputs) -> Inputs:
    return jax.grad(lambda inputs: target(inputs).sum())(inputs)
