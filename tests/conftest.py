"""What all tests share."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest

# Most of the tests' time is XLA's compiler, and none asks how fast its programs are; some ask for
# the same bits again, which a GPU only gives if it is told to.
FLAGS = "--xla_backend_optimization_level=0 --xla_gpu_deterministic_ops=true"
os.environ["XLA_FLAGS"] = f"{FLAGS} {os.environ.get('XLA_FLAGS', '')}"

# On an accelerator a float32 product may be computed in less; the oracles are exact.
jax.config.update("jax_default_matmul_precision", "highest")

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run of a test."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True, scope="session")
def _real_data_folder() -> None:
    if (REAL_DATA / "tfds").is_dir():
        os.environ.setdefault("TFDS_DATA_DIR", str(REAL_DATA / "tfds"))


@pytest.fixture(autouse=True, scope="session")
def _no_traces(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["LSTM_JAX_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs the real reviews where there are none, and says so."""
    if REAL_DATA.is_dir():
        return
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(pytest.mark.skip(reason=f"no IMDB reviews at {REAL_DATA}"))
