"""The kernel for GPUs without one: its source runs on a CPU, and is compiled and lowered for GPUs.

The host build is a library of the same phases and indices, made here by the C++ compiler. The tests
of the contract run on it in a process of their own, since a library is registered once.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.gpu_ptxas import LIMITS, RECORD, build_for_cpu, compile_kernels, unavailable
from lstm_jax import init_lstm, kernels, lstm
from lstm_jax.kernels import gpu

TESTS = Path(__file__).parent
COMPILER = shutil.which(os.environ.get("CXX", "g++"))
# What each file asks of every implementation, and what else stands for the kernel's own ideas.
CONTRACT = [
    *("test_lstm.py", "test_derivatives.py", "test_precision.py", "test_lengths.py"),
    *("test_conformance.py", "test_empty.py", "test_sharding.py", "test_dropouts.py"),
]
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
needs_nvcc = pytest.mark.skipif(bool(unavailable()), reason=f"no CUDA compiler: {unavailable()}")
needs_library = pytest.mark.skipif(
    bool(gpu.UNAVAILABLE), reason=f"no CUDA compiler: {gpu.UNAVAILABLE}"
)


@pytest.fixture(scope="module")
def host_library(tmp_path_factory):
    """The kernel's source as a library for the CPU."""
    assert COMPILER is not None
    path = tmp_path_factory.mktemp("host") / "lstm_gpu_host.so"
    build_for_cpu(path)
    return path


def run(host_library: Path, *arguments: str, **environment: str) -> str:
    """What Python prints with the host library in use."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=TESTS,
        env=os.environ
        | {
            "LSTM_JAX_GPU_HOST_LIBRARY": str(host_library),
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
            "JAX_PLATFORMS": "cpu",
        }
        | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@needs_compiler
def test_the_contract_holds_on_the_host_build(host_library):
    files = [str(TESTS / name) for name in CONTRACT]
    command = ("-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-k", "gpu", *files)
    assert " failed" not in run(host_library, *command)
