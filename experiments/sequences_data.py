"""The data of `experiments.sequences`, which packages ship, and what others published of them.

Labelled sequences are files of aeon: of the UCR and UEA archives, their training and test parts.
Series come with statsmodels. Nothing is downloaded.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Accuracies as their authors give them, to the digits given. LSTM-FCN: Karim et al. (2018, 2019).
# MATLAB: "Sequence Classification Using Deep Learning". DTW: the UCR archive, without a window.
PUBLISHED: dict[str, dict[str, float]] = {
    "JapaneseVowels": {"LSTM-FCN": 0.99, "MATLAB BiLSTM": 0.954},
    "ArrowHead": {},
    "GunPoint": {"LSTM-FCN": 1.0, "1-NN DTW": 0.907},
    "ItalyPowerDemand": {"LSTM-FCN": 0.963, "1-NN DTW": 0.95},
    "OSULeaf": {"LSTM-FCN": 0.983, "1-NN DTW": 0.591},
}


class Labelled(NamedTuple):
    """Sequences [T, D] with labels, in two parts."""

    train: list[NDArray[np.float64]]
    train_labels: NDArray[np.str_]
    test: list[NDArray[np.float64]]
    test_labels: NDArray[np.str_]


class Forecasting(NamedTuple):
    """A series [T], NaN where a value is missing, and from where it is forecast."""

    values: NDArray[np.float64]
    season: int
    horizon: int
    origins: tuple[int, ...]  # steps known to a forecast, increasing


def needed(module: str) -> Any:
    """A module of the extra `sequences`.

    Raises:
        ValueError: naming how to get it, if it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        message = f"{package} is needed: pip install 'lstm_jax[sequences]'"
        raise ValueError(message) from error


def load_labelled(name: str, *, equal: bool = False) -> Labelled:
    """A data set of `PUBLISHED`.

    Args:
        name: which.
        equal: whether all sequences are to have the same length, as aeon has filled them up.
    """
    folder = Path(needed("aeon").__file__).parent / "datasets" / "data" / name
    kind = "_eq" if equal and (folder / f"{name}_eq_TRAIN.ts").exists() else ""
    read, parts = needed("aeon.datasets").load_from_ts_file, []
    for part in ("TRAIN", "TEST"):
        sequences, labels = read(str(folder / f"{name}{kind}_{part}.ts"))
        parts += [[np.asarray(each, np.float64).T for each in sequences], np.asarray(labels)]
    return Labelled(*parts)


def load_series(name: str) -> Forecasting:
    """A series of `SERIES`."""
    datasets = needed("statsmodels.api").datasets
    return SERIES[name](getattr(datasets, name).load_pandas().data)


def _sunspots(data: Any) -> Forecasting:
    """One number a year, with cycles of about eleven years."""
    values = data["SUNACTIVITY"].to_numpy(np.float64)
    return Forecasting(values, 11, 11, _origins(len(values), 11, every=5, count=12))


def _co2(data: Any) -> Forecasting:
    """Weekly measurements as means of months; NaN for a month without any."""
    values = data["co2"].resample("MS").mean().to_numpy(np.float64)
    return Forecasting(values, 12, 12, _origins(len(values), 12, every=7, count=12))


def _elnino(data: Any) -> Forecasting:
    """The sea's temperature, month by month."""
    values = data.drop(columns="YEAR").to_numpy(np.float64).reshape(-1)
    return Forecasting(values, 12, 12, _origins(len(values), 12, every=7, count=12))


SERIES = {"sunspots": _sunspots, "co2": _co2, "elnino": _elnino}


def _origins(length: int, horizon: int, every: int, count: int) -> tuple[int, ...]:
    """So many origins, the last a horizon before the end."""
    return tuple(length - horizon - every * number for number in reversed(range(count)))
