"""`lstm-jax --version`, without importing what it names."""

import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """What is installed, such as "lstm-jax 0.2.0 (jax 0.10.2, Python 3.11)"."""
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return f"lstm-jax {_installed('lstm_jax')} (jax {_installed('jax')}, {python})"


def _installed(name: str) -> str:
    try:
        return installed(name)
    except PackageNotFoundError:  # run from a folder of sources
        return "not installed"
