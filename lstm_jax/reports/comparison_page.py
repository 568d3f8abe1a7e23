"""Runs beside each other as one HTML file."""

from pathlib import Path
from typing import NamedTuple

from lstm_jax.files import write_text
from lstm_jax.reports.comparison import (
    Comparison,
    differences,
    disagreements,
    verdict,
    write_disagreements,
)
from lstm_jax.reports.escaped import escaped, shortened
from lstm_jax.reports.markup import document, interval_bar, percentage, section, table
from lstm_jax.reports.page import training
from lstm_jax.reports.scored import Scored
from lstm_jax.reports.shares import counted, p_value, percents, points, signed_points

COMPARISON, DIFFERENCES = "compare.html", "differences.csv"
SHOWN = 20  # texts on which they differ; all are in differences.csv
LONGEST = 400  # characters of a text that are shown


class Written(NamedTuple):
    """Where a comparison is."""

    page: Path
    differences: Path


def write_comparison(folder: Path, comparison: Comparison) -> Written:
    """Writes `compare.html` and `differences.csv` into a folder, which is made if it is not there.

    Raises:
        OSError: naming the file that cannot be written.
    """
    written = Written(folder / COMPARISON, folder / DIFFERENCES)
    write_disagreements(written.differences, comparison)
    write_text(written.page, comparison_page(comparison))
    return written


def comparison_page(comparison: Comparison) -> str:
    """The whole page.

    Args:
        comparison: the runs.

    Returns:
        HTML, in which everything from outside is escaped.
    """
    title = f"{len(comparison.names)} runs compared"
    records = [scored.records for scored in comparison.scored]
    return document(
        title,
        [
            _head(comparison, title),
            _pairs(comparison),
            training(records, comparison.names) if all(records) else "",
            _texts(comparison),
        ],
    )


def _head(comparison: Comparison, title: str) -> str:
    order = sorted(zip(comparison.names, comparison.scored, strict=True), key=_worse)
    rows = []
    for name, scored in order:
        interval, accuracy = scored.interval, scored.metrics.accuracy
        bar = interval_bar(interval.low, accuracy, interval.high)
        found = f"{bar}<em>{percentage(accuracy)}</em><small>{percents(interval)}</small>"
        f1, error = scored.metrics.macro_f1, scored.metrics.calibration_error
        rows.append([escaped(name), found, f"{f1:.3f}", f"{error:.3f}"])
    headers = ("run", "accuracy", "macro F1", "calibration error")
    return (
        f'<header>\n<p class="over">{escaped(title)}</p>\n'
        f'<h1 class="verdict">{escaped(verdict(comparison))}</h1>\n'
        f"{table(headers, rows, 'runs')}\n</header>"
    )


def _pairs(comparison: Comparison) -> str:
    rows = [
        [
            f"{escaped(each.name)} <small>against</small> {escaped(each.other)}",
            f"{signed_points(each.accuracy)}<small>{escaped(points(each.interval))}</small>",
            f"{each.alone:,}",
            f"{each.other_alone:,}",
            escaped(p_value(each.p)),
        ]
        for each in differences(comparison)
    ]
    headers = ("run", "points", "only it is right", "only the other is", "p")
    return section(
        "Differences",
        "Each pair of runs on the same texts. If the interval holds 0, or p is above 0.05, the"
        " difference may be chance. Interval: 95%, paired bootstrap. p: McNemar's exact test.",
        table(headers, rows, "pairs against"),
    )


def _texts(comparison: Comparison) -> str:
    found = disagreements(comparison)
    items = []
    for each in found[:SHOWN]:
        answers = "".join(
            f'<li class="{"hit" if label == each.true else "miss"}">{escaped(name)}:'
            f" <b>{escaped(label)}</b></li>"
            for name, label in zip(comparison.names, each.predicted, strict=True)
        )
        items.append(
            f"<li><p>{escaped(shortened(each.text, LONGEST)) or '(empty)'}</p>"
            f"<small>true class: <b>{escaped(each.true)}</b></small>"
            f'<ul class="answers">{answers}</ul></li>'
        )
    return section(
        "Texts on which they differ",
        f"{counted(len(found), 'texts')}; first those on which they differ most. All are in"
        " differences.csv.",
        f'<ol class="mistakes">{"".join(items)}</ol>' if items else "",
    )


def _worse(run: tuple[str, Scored]) -> float:
    return -run[1].metrics.accuracy
