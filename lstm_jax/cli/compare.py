"""`lstm-jax compare`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from tyro.conf import Positional, arg

from lstm_jax.console import Sheet, say, say_result, say_sentences
from lstm_jax.data import Reading

if TYPE_CHECKING:  # it is slow to import
    from lstm_jax.reports.comparison import Comparison, Difference

SHOWN = 3  # texts on which the runs differ
LONGEST = 300  # characters of a text that are shown


def compare(
    runs: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="RUN RUN [RUN ...]", help_behavior_hint="(required)"),
    ],
    /,
    *,
    data: Annotated[str, arg(metavar="FILE")],
    reading: Annotated[Reading, arg(name="")] = Reading(),  # noqa: B008 - frozen
    report: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Measure two or more runs on the same labelled texts: which is better, and where they differ.

    Example: lstm-jax compare runs/small runs/large --data test.csv --report runs/compared

    Args:
        runs: the folders of two or more trained runs with the same classes.
        data: a file or folder as for `train`; or imdb or builtin, whose test examples are taken.
        reading: how files are read.
        report: a folder for compare.html (tables, training curves, texts on which the runs differ)
            and differences.csv (all of these texts).
        quiet: print one line, the best run and its accuracy.
        as_json: print a JSON object with everything but the texts.
    """
    from lstm_jax.cli.scoring import score
    from lstm_jax.data import check_reading, load_labelled
    from lstm_jax.predictor import load
    from lstm_jax.reports.comparison import Comparison, check_classes, differences
    from lstm_jax.reports.comparison_page import write_comparison

    names = [str(run) for run in runs]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ValueError(f"runs must be two or more different folders, got {' '.join(names)}")
    check_reading([data], reading)
    opened = [load(run) for run in runs]
    check_classes(names, [run.class_names for run in opened])
    read = load_labelled(data, opened[0].class_names, reading)
    for warning in read.warnings:
        say(Console(stderr=True), warning, "yellow")
    comparison = Comparison(names, [score(run, read.examples, data) for run in opened])
    written = () if report is None else write_comparison(report, comparison)
    found = differences(comparison)
    if as_json:
        print(json.dumps(_as_dict(comparison, found), ensure_ascii=False))
        return
    console = Console(quiet=quiet)
    say_result(console, _best(comparison))
    _print(console, comparison, found)
    if written:
        say(console, f"See {written[0]} and {written[1]}")


def _print(console: Console, comparison: "Comparison", found: "list[Difference]") -> None:
    from lstm_jax.reports.comparison import disagreements, verdict
    from lstm_jax.reports.escaped import shortened
    from lstm_jax.reports.shares import counted

    say_sentences(console, [verdict(comparison)])
    console.print(_runs_table(comparison))
    console.print(_pairs_table(found))
    texts = disagreements(comparison)
    first = f"; the {SHOWN} on which they differ most:" if len(texts) > SHOWN else ":"
    what = counted(len(texts), "texts")
    say(console, f"They differ on {what}{first}" if texts else "They predict every text alike")
    for each in texts[:SHOWN]:
        say(console, f"  {each.true!r}: {shortened(each.text, LONGEST)}")
        for name, label, chance in zip(
            comparison.names, each.predicted, each.probabilities, strict=True
        ):
            verdict = "right" if label == each.true else f"wrong, {label!r}"
            say(console, f"    {name}: {verdict} ({chance:.0%} for {each.true!r})")


def _runs_table(comparison: "Comparison") -> Sheet:
    from lstm_jax.reports.shares import percent, percents

    order = sorted(
        zip(comparison.names, comparison.scored, strict=True),
        key=lambda run: -run[1].metrics.accuracy,
    )
    rows = [
        (
            name,
            percent(scored.metrics.accuracy, 2),
            percents(scored.interval),
            f"{scored.metrics.macro_f1:.4f}",
            f"{scored.metrics.loss:.4f}",
            f"{scored.metrics.calibration_error:.4f}",
        )
        for name, scored in order
    ]
    headers = ("run", "accuracy", "95% interval", "macro F1", "loss", "calibration\nerror")
    return Sheet(headers, rows)


def _pairs_table(found: "list[Difference]") -> Sheet:
    from lstm_jax.reports.shares import p_value, points, signed_points

    rows = [
        (
            f"{each.name} - {each.other}",
            signed_points(each.accuracy),
            points(each.interval),
            f"{each.alone:,}",
            f"{each.other_alone:,}",
            p_value(each.p),
        )
        for each in found
    ]
    headers = (
        "difference",
        "points",
        "95% interval",
        "only first\nright",
        "only second\nright",
        "p",
    )
    caption = "interval: paired bootstrap; p: McNemar's exact test"
    return Sheet(headers, rows, caption=caption)


def _best(comparison: "Comparison") -> str:
    from lstm_jax.reports.shares import percent

    best = comparison.best
    return f"{comparison.names[best]}: {percent(comparison.scored[best].metrics.accuracy)}"


def _as_dict(comparison: "Comparison", found: "list[Difference]") -> dict[str, Any]:
    runs = [
        {
            "run": name,
            **scored.metrics.as_dict(),
            "accuracy_interval": scored.interval,
        }
        for name, scored in zip(comparison.names, comparison.scored, strict=True)
    ]
    pairs = [
        {
            "run": each.name,
            "other": each.other,
            "accuracy_difference": each.accuracy,
            "interval": each.interval,
            "only_run_right": each.alone,
            "only_other_right": each.other_alone,
            "p": each.p,
        }
        for each in found
    ]
    return {"best": comparison.names[comparison.best], "runs": runs, "differences": pairs}
