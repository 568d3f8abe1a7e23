"""Other sequences than texts: what the LSTM classifies and forecasts, beside other models.

    python -m experiments.sequences GunPoint       one data set or series
    python -m experiments.sequences all --record experiments/results/sequences.json

Sequences of the UCR and UEA archives are learnt by `SequenceClassifier` with its defaults, for each
seed, and the test part is predicted once; beside it 1-NN DTW and MiniRocket (aeon). Three series
are forecast by `SequenceForecaster` from twelve origins, trained before the first of them; beside
it the seasonal-naive forecast, ETS and ARIMA (statsmodels), which are fitted again at each. What a
record has already is not done again. docs/explanation/sequences.md says what came of it.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from tyro.conf import Positional, arg

from experiments import sequences_rivals as rivals
from experiments.sequences_data import (
    PUBLISHED,
    SERIES,
    Forecasting,
    Labelled,
    load_labelled,
    load_series,
)
from experiments.sequences_tables import OURS, TABLES, Found
from lstm_jax.checked import Seed, checked
from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import command_line, run_command
from lstm_jax.console import Sheet, doing, say
from lstm_jax.files import write_json
from lstm_jax.machine import provenance
from lstm_jax.sequences import SequenceClassifier, SequenceForecaster
from lstm_jax.sequences.forecaster import QUANTILES


@checked
class Study:
    """What to run, and where the results go."""

    task: Annotated[Positional[str], arg(metavar="TASK")]
    """A data set, a series, or all."""
    seeds: tuple[Seed, ...] = (0, 1, 2)
    """A model for each of these, where chance plays a part."""
    record: Path | None = None
    """Add what comes out, and how it was made, to this JSON file; what it has is not done again."""


def main() -> None:
    """Runs what the command line asks for."""
    call(run, sys.argv[1:], typed="python -m experiments.sequences", description=__doc__)


def run(study: Annotated[Study, arg(name="")]) -> None:
    """Runs what the record lacks, and prints a table of each kind.

    Raises:
        ValueError: if there is no such task, or a package with its data is not installed.
    """
    tasks = (*PUBLISHED, *SERIES)
    if study.task not in (*tasks, "all"):
        raise ValueError(f"task must be one of {', '.join(tasks)} or all, got {study.task!r}")
    console, found = Console(), {"classification": {}, "forecasts": {}}
    about = provenance(command_line("experiments.sequences"))
    if study.record and study.record.exists():
        found = json.loads(study.record.read_text(encoding="utf-8"))
    for name in tasks if study.task == "all" else [study.task]:
        kind, jobs = ("classification", classification) if name in PUBLISHED else FORECASTS
        of_task = found[kind].setdefault(name, {})
        for model, seed, measure in jobs(name, study.seeds, of_task):
            of_model = of_task.setdefault(model, {})
            if seed in of_model:
                continue
            start = time.perf_counter()
            with doing(console, f"{name}, {model}, {seed}"):
                result = measure()
            minutes = round((time.perf_counter() - start) / 60, 2)
            of_model[seed] = {**result, "minutes": minutes}
            say(console, f"{name}, {model}, {seed}: {of_model[seed]}")
            if study.record:
                write_json(study.record, {**found, **about})
    for kind, table in TABLES.items():
        if rows := table.rows(found[kind]):
            console.print(Sheet(table.header, rows))


Job = tuple[str, str, Callable[[], Found]]  # the model, the seed or "once", what measures it


def classification(name: str, seeds: Sequence[int], about: Found) -> list[Job]:
    """What is to be measured of a data set."""
    data, equal = load_labelled(name), load_labelled(name, equal=True)
    about["sizes"] = {"train": len(data.train), "test": len(data.test)}
    jobs: list[Job] = [(OURS, str(seed), lambda seed=seed: ours(data, seed)) for seed in seeds]
    jobs += [("1-NN DTW", "once", lambda: {"accuracy": round(rivals.dtw(data), 4)})]
    return jobs + [
        (
            "MiniRocket",
            str(seed),
            lambda seed=seed: {"accuracy": round(rivals.minirocket(equal, seed), 4)},
        )
        for seed in seeds
    ]


def ours(data: Labelled, seed: int) -> Found:
    """The accuracy of our classifier, its defaults, on the test part."""
    classifier = SequenceClassifier(random_state=seed).fit(data.train, data.train_labels)
    return {"accuracy": round(float(classifier.score(data.test, data.test_labels)), 4)}


def forecasts(name: str, seeds: Sequence[int], about: Found) -> list[Job]:
    """What is to be measured of a series."""
    data = load_series(name)
    about["origins"], about["horizon"] = list(data.origins), data.horizon

    def by_arima() -> Found:
        quantiles, orders = rivals.arima(data, QUANTILES)
        return {**scores(data, quantiles), "orders": orders}

    jobs: list[Job] = [
        (OURS, str(seed), lambda seed=seed: scores(data, forecast(data, seed))) for seed in seeds
    ]
    naive, ets = rivals.seasonal_naive, rivals.ets
    return [
        *jobs,
        ("seasonal naive", "once", lambda: scores(data, naive(data, QUANTILES))),
        ("ETS", "once", lambda: scores(data, ets(data, QUANTILES))),
        ("ARIMA", "once", by_arima),
    ]


FORECASTS = ("forecasts", forecasts)


def forecast(data: Forecasting, seed: int) -> list[NDArray[np.float64]]:
    """Our quantiles [H, K] at each origin, learnt from what was known at the first."""
    forecaster = SequenceForecaster(horizon=data.horizon, season=data.season, random_state=seed)
    forecaster.fit(data.values[: data.origins[0]])
    return [forecaster.predict_quantiles(data.values[:origin]) for origin in data.origins]


def scores(data: Forecasting, quantiles: Sequence[NDArray[np.float64]]) -> Found:
    """How good quantiles [H, K] at each origin are.

    MASE is the mean absolute error of the median, and `pinball` the mean pinball loss of all
    quantiles, both divided by the mean absolute change over a season before the first origin.
    `coverage` is the share of values between the outermost quantiles, 90 % if they are right.
    """
    known = data.values[: data.origins[0]]
    unit = np.nanmean(np.abs(known[data.season :] - known[: -data.season]))
    true = np.stack([data.values[o : o + data.horizon] for o in data.origins])[..., None]
    found, probabilities = np.stack(quantiles), np.array(QUANTILES)
    middle = QUANTILES.index(0.5)
    pinball = np.maximum(probabilities * (true - found), (probabilities - 1) * (true - found))
    there = np.isfinite(true[..., 0])
    inside = (true[..., 0] >= found[..., 0]) & (true[..., 0] <= found[..., -1])
    return {
        "mase": round(float(np.nanmean(np.abs(true[..., 0] - found[..., middle])) / unit), 4),
        "pinball": round(float(np.nanmean(pinball) / unit), 4),
        "coverage": round(float(inside[there].mean()), 4),
    }


if __name__ == "__main__":
    run_command(main)
