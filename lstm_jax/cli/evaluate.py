"""`lstm-jax evaluate`."""

import json
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from lstm_jax.cli.tables import Confusion, metrics_table, say_summary
from lstm_jax.console import say
from lstm_jax.data import Reading


def evaluate(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    reading: Annotated[Reading, arg(name="")] = Reading(),  # noqa: B008 - frozen
    report: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Measure a trained run on labelled texts.

    Example: lstm-jax evaluate runs/mine more.csv --report runs/mine/more

    Args:
        run: the folder of a trained run.
        data: a file or folder as for `train`; or imdb or builtin, whose test examples are taken.
        reading: how files are read.
        report: a folder for report.html and mistakes.csv, which are replaced if they are there.
        quiet: print one line, the accuracy.
        as_json: print a JSON object with everything, the whole table of confused classes included.
    """
    from lstm_jax.cli.scoring import as_dict, score
    from lstm_jax.data import check_reading, load_labelled
    from lstm_jax.predictor import load
    from lstm_jax.reports import summarise, write_report

    if report is not None and report.exists() and not report.is_dir():
        raise ValueError(f"--report must be a folder, got {report}, which is a file")

    check_reading([data], reading)
    opened = load(run)
    read, said = load_labelled(data, opened.class_names, reading), Console(stderr=True)
    if read.note and not quiet and not as_json:
        say(said, read.note)
    for warning in read.warnings:
        say(said, warning, "yellow")
    scored = score(opened, read.examples, data)
    written = () if report is None else write_report(report, scored)
    if as_json:
        print(json.dumps(as_dict(scored), ensure_ascii=False))
        return
    console = Console(quiet=quiet)
    say_summary(console, summarise(scored), written)
    console.print(metrics_table({Path(data).name: scored.metrics.as_dict()}))
    console.print(Confusion(scored.metrics.confusion, scored.class_names, "--json prints them"))
