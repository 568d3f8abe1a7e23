"""An installation without a working compiler, for the CPU or for GPUs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USE = """
import jax, jax.numpy as jnp, pytest, lstm_jax
assert lstm_jax.__file__.startswith({tree!r}), lstm_jax.__file__
print(lstm_jax.implementations()["cpu"])
assert lstm_jax.implementations()["gpu"].startswith("it was not compiled: no working nvcc")
assert lstm_jax.choose_implementation("auto") == "xla"
params, inputs = lstm_jax.init_lstm(jax.random.key(0), 3, 4), jnp.ones((2, 5, 3))
run = lambda name: lstm_jax.lstm(params, inputs, implementation=name)[0]
assert jnp.allclose(run("auto"), run("scan"), atol=1e-6)
with pytest.raises(ValueError, match="cannot run: it was not compiled: no working C"):
    lstm_jax.lstm(params, inputs, implementation="cpu")
"""


@pytest.fixture(scope="module")
def without_a_compiler(tmp_path_factory):
    """A copy of the sources, built where every compiler fails."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(
        ROOT / "lstm_jax",
        tree / "lstm_jax",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    build = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=tree,
        env={**os.environ, "CC": "false", "CXX": "false", "LSTM_JAX_NVCC": "false"},
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stderr
    assert not list(tree.rglob("*.so"))
    return tree


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True
    )


def test_without_a_compiler_xla_does_it_and_the_kernel_says_why_not(without_a_compiler):
    result = run(without_a_compiler, "-c", USE.format(tree=str(without_a_compiler)))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("it was not compiled: no working C++ compiler")


def test_without_a_compiler_the_tests_of_what_is_left_pass(without_a_compiler):
    tests = [str(ROOT / "tests" / f"test_{name}.py") for name in ("lstm", "layers", "cpu_kernel")]
    chosen = "reference or pool or compiled"
    arguments = ("-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-k", chosen, *tests)
    result = run(without_a_compiler, *arguments)
    assert result.returncode == 0, result.stdout
    assert " skipped" in result.stdout  # the kernel's own
    assert " failed" not in result.stdout
