"""What all tests share."""

import os
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest

# None asks how fast XLA's programs are, and its compiler is most of the tests' time; some ask for
# the same bits again, which a GPU only gives if it is told to.
FLAGS = "--xla_backend_optimization_level=0 --xla_gpu_deterministic_ops=true"
FLAGS += " --xla_cpu_parallel_codegen_split_count=1"  # the other core has a test of its own
if jax.__version_info__ < (0, 11):  # a later one may not know it, and would stop
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{FLAGS} {os.environ.get('XLA_FLAGS', '')}"

# On an accelerator a float32 product may be computed in less; the oracles are exact.
jax.config.update("jax_default_matmul_precision", "highest")

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    """What one test has compiled, the others take from a folder.

    So do the workers and programs that are started later, which inherit the environment.
    """
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        settings = {
            "jax_compilation_cache_dir": folder.name,
            "jax_persistent_cache_min_compile_time_secs": 0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        for name, value in settings.items():
            os.environ[name.upper()] = str(value)
            jax.config.update(name, value)
    # A read of Orbax that failed is told to an event loop that has ended by then.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:Exception ignored in. None:pytest.PytestUnraisableExceptionWarning",
    )
    # What another process has written half is not read, but compiled.
    config.addinivalue_line(
        "filterwarnings", "ignore:Error reading persistent compilation cache entry:UserWarning"
    )


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
