"""`python -m lstm_jax evaluate`."""

import json
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from lstm_jax.cli.tables import Confusion, metrics_table


def evaluate(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    text_column: str = "text",
    label_column: str = "label",
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Measure a trained run on labelled texts.

    Args:
        run: the folder of a trained run.
        data: a CSV, TSV or JSONL file; or imdb or builtin, whose test examples are taken.
        text_column: where the text is.
        label_column: where the label is.
        as_json: print a JSON object with everything, the whole table of confused classes included.
    """
    from lstm_jax.data import check_columns, load_labelled
    from lstm_jax.predictor import load

    check_columns([data], text_column=text_column, label_column=label_column)
    opened = load(run)
    examples = load_labelled(
        data, opened.class_names, text_column=text_column, label_column=label_column
    )
    console, measured = Console(), opened.evaluate(examples)
    if as_json:
        names = {"class_names": opened.class_names, "confusion": measured.confusion}
        print(json.dumps({**measured.as_dict(), **names}, ensure_ascii=False))
        return
    console.print(metrics_table({"given": measured.as_dict()}))
    console.print(Confusion(measured.confusion, opened.class_names, "--json prints them"))
