"""Random orthogonal matrices that have the same bits on any number of processors."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

# LAPACK factorises matrices up to this size a column at a time, and larger ones by blocks, in an
# order of sums that depends on its threads: from 160 on, one and two processors had other bits.
LARGEST_BY_LAPACK = 128


def orthogonal(key: Array, size: int, dtype: jax.typing.DTypeLike = jnp.float32) -> Array:
    """Draws an orthogonal matrix, each as likely as any other.

    Args:
        key: random key.
        size: rows and columns, at least 1.
        dtype: float32 or float64.

    Returns:
        [size, size].

    Source: Stewart (1980), "The Efficient Generation of Random Orthogonal Matrices", section 3.
    """
    if size <= LARGEST_BY_LAPACK:
        return jax.nn.initializers.orthogonal()(key, (size, size), dtype)
    return _product_of_reflections(key, size, dtype)


@partial(jax.jit, static_argnames=("size", "dtype"))
def _product_of_reflections(key: Array, size: int, dtype: jax.typing.DTypeLike) -> Array:
    """The Q of a normal matrix's factorisation, as if that were made: its reflections are drawn.

    Reflection k maps a normal vector x [size - k] to a multiple of the first axis. What it does to
    a matrix is written as sums over rows and not as products, which XLA would split by threads.
    """
    rows = jnp.arange(size)
    x = jnp.where(rows[None] >= rows[:, None], jax.random.normal(key, (size, size), dtype), 0)
    signs = jnp.where(jnp.diagonal(x) < 0, -1, 1).astype(dtype)
    norms = jnp.sqrt((x**2).sum(axis=1))
    vectors = x + jnp.diag(signs * norms)
    scales = 2 / (vectors**2).sum(axis=1)

    def reflect(step: Array, matrix: Array) -> Array:
        k = size - 1 - step
        vector = vectors[k][:, None]
        matrix -= vector * (scales[k] * (vector * matrix).sum(axis=0))[None]
        return matrix.at[k].multiply(-signs[k])

    return jax.lax.fori_loop(0, size, reflect, jnp.eye(size, dtype=dtype))
