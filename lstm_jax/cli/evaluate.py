"""`python -m lstm_jax evaluate`."""

import json
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from lstm_jax.cli.tables import Confusion, metrics_table
from lstm_jax.console import say
from lstm_jax.data import Reading


def evaluate(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    reading: Annotated[Reading, arg(name="")] = Reading(),  # noqa: B008 - frozen
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Measure a trained run on labelled texts.

    Args:
        run: the folder of a trained run.
        data: a file or folder as for `train`; or imdb or builtin, whose test examples are taken.
        reading: how files are read.
        as_json: print a JSON object with everything, the whole table of confused classes included.
    """
    from lstm_jax.data import check_reading, load_labelled
    from lstm_jax.predictor import load

    check_reading([data], reading)
    opened = load(run)
    read, said = load_labelled(data, opened.class_names, reading), Console(stderr=True)
    if read.note:
        say(said, read.note)
    for warning in read.warnings:
        say(said, warning, "yellow")
    console, measured = Console(), opened.evaluate(read.examples)
    if as_json:
        names = {"class_names": opened.class_names, "confusion": measured.confusion}
        print(json.dumps({**measured.as_dict(), **names}, ensure_ascii=False))
        return
    console.print(metrics_table({"given": measured.as_dict()}))
    console.print(Confusion(measured.confusion, opened.class_names, "--json prints them"))
