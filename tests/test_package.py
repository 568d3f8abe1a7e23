"""The package's front: what importing it costs, and what it then has."""

import pickle
import subprocess
import sys

import lstm_jax
import lstm_jax.lstm  # the module, of whose name there is a function too
from lstm_jax import cell, kernels


def in_new_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_that_is_slow():
    code = "import sys, lstm_jax; print(*{name.split('.')[0] for name in sys.modules})"
    heavy = {"jax", "jaxlib", "numpy", "flax", "orbax", "pydantic", "tyro", "rich", "matplotlib"}
    heavy |= {"sklearn"}
    assert not heavy & set(in_new_process(code).split())


def test_the_lstm_loads_jax_and_nothing_heavier():
    code = "import sys, lstm_jax; lstm_jax.lstm, lstm_jax.scan_cell; print(*sys.modules)"
    loaded = {name.split(".")[0] for name in in_new_process(code).split()}
    assert "jax" in loaded
    heavy = {"flax", "optax", "orbax", "pydantic", "tyro", "rich", "matplotlib", "tokenizers"}
    assert not heavy & loaded


def test_every_name_of_the_package_is_that_of_its_module():
    for name in lstm_jax.__all__:
        value = getattr(lstm_jax, name)
        assert value is getattr(sys.modules[value.__module__], name)
    assert lstm_jax.lstm_cell is cell.lstm_cell
    assert lstm_jax.implementations is kernels.implementations
    assert set(lstm_jax.__all__) <= set(dir(lstm_jax))


def test_the_function_lstm_is_not_hidden_by_its_module():
    assert lstm_jax.lstm is sys.modules["lstm_jax.lstm"].lstm
    code = "import lstm_jax.nn.layer, lstm_jax; print(callable(lstm_jax.lstm))"
    assert in_new_process(code) == "True"


def test_a_function_that_names_the_package_can_be_sent_to_another_process():
    assert pickle.loads(pickle.dumps(lstm_jax)) is lstm_jax  # what Ray and Dask do with it
