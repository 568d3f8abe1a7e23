"""Orthogonal draws: exact, and the same bits on any number of processors."""

import hashlib
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_jax import init_lstm
from lstm_jax.orthogonal import LARGEST_BY_LAPACK, orthogonal

DIGESTS = """
import os, sys
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: int(sys.argv[1])]))
import hashlib, jax, numpy as np
from lstm_jax import init_lstm
for size in (100, 128, 160, 300):
    params = init_lstm(jax.random.key(7), 3, size)
    print(size, hashlib.sha256(np.asarray(params.recurrent_kernel).tobytes()).hexdigest())
"""


@pytest.mark.parametrize("size", [1, LARGEST_BY_LAPACK, LARGEST_BY_LAPACK + 1, 160])
def test_a_draw_is_orthogonal(size):
    matrix = np.asarray(orthogonal(jax.random.key(0), size), np.float64)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-5)
    with jax.enable_x64(True):
        matrix = np.asarray(orthogonal(jax.random.key(0), size, jnp.float64))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-13)


def test_a_large_draw_is_the_factor_of_a_normal_matrix_in_distribution():
    """An orthogonal matrix drawn uniformly: entries of mean 0 and variance 1 / n, any sign."""
    size = LARGEST_BY_LAPACK + 2
    matrices = np.stack([orthogonal(jax.random.key(n), size) for n in range(8)])
    assert abs(matrices.mean()) < 5 / np.sqrt(matrices.size * size)
    np.testing.assert_allclose((matrices**2).mean((0, 2)), 1 / size, rtol=1e-5)
    fourth = (matrices**4).mean() * size * (size + 2)  # exactly 3
    assert abs(fourth - 3) < 0.1
    for corner in (matrices[:, 0, 0], matrices[:, -1, -1]):
        assert 0 < (corner > 0).sum() < 8
    signs = np.linalg.slogdet(matrices.astype(np.float64))[0]
    assert set(signs) == {-1, 1}


def test_small_draws_are_those_of_jax():
    """So runs of the sizes that our presets have keep their bits."""
    key = jax.random.key(3)
    expected = jax.nn.initializers.orthogonal()(key, (100, 100))
    np.testing.assert_array_equal(orthogonal(key, 100), expected)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_init_lstm_has_the_same_bits_on_one_processor_as_here():
    lines = []
    for processors in ("1", str(os.cpu_count())):
        command = [sys.executable, "-c", DIGESTS, processors]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lines.append(done.stdout.splitlines())
    assert lines[0] == lines[1]
    here = np.asarray(init_lstm(jax.random.key(7), 3, 300).recurrent_kernel)
    assert lines[0][-1] == f"300 {hashlib.sha256(here.tobytes()).hexdigest()}"
