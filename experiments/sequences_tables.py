"""The record of `experiments.sequences` as tables."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from experiments.sequences_data import PUBLISHED

OURS = "lstm_jax"
RIVALS = ("1-NN DTW", "MiniRocket")
Found = dict[str, Any]


def accuracies(found: Found) -> list[list[str]]:
    """A row for each data set: sizes, accuracies in per cent, and those that were published."""
    rows = []
    for name, of_task in found.items():
        sizes = ", ".join(f"{size:,}" for size in of_task["sizes"].values())
        cells = [
            in_percent([run["accuracy"] for run in of_task.get(model, {}).values()])
            for model in (OURS, *RIVALS)
        ]
        published = ", ".join(f"{by} {100 * value:g}" for by, value in PUBLISHED[name].items())
        rows.append([name, sizes, *cells, published])
    return rows


def errors(found: Found) -> list[list[str]]:
    """A row for each series and model; of ours the means of all seeds."""
    rows = []
    for name, of_task in found.items():
        for model, runs in of_task.items():
            if model in ("origins", "horizon"):
                continue
            mase, pinball, coverage = (
                [run[part] for run in runs.values()] for part in ("mase", "pinball", "coverage")
            )
            share = f"{statistics.mean(coverage):.0%}".replace("%", " %")
            rows.append([name, model, with_spread(mase), with_spread(pinball), share])
    return rows


def in_percent(values: Sequence[float]) -> str:
    """The mean in per cent, and of several the standard deviation; "" of none."""
    if not values:
        return ""
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{deviation}"


def with_spread(values: Sequence[float]) -> str:
    """The mean, and of several the standard deviation."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


class Kind(NamedTuple):
    """What the columns of a table are called, and what makes its rows of a part of the record."""

    header: tuple[str, ...]
    rows: Callable[[Found], list[list[str]]]


TABLES = {
    "classification": Kind(("accuracy, %", "train, test", OURS, *RIVALS, "published"), accuracies),
    "forecasts": Kind(("series", "model", "MASE", "pinball", "within 90 %"), errors),
}
