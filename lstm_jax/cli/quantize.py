"""`lstm-jax quantize`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from lstm_jax.cli.program import command_line
from lstm_jax.cli.tables import metrics_table
from lstm_jax.console import Sheet, doing, say
from lstm_jax.data import Reading

if TYPE_CHECKING:  # it is slow to import
    from lstm_jax.recipes.quantize import Quantized


def quantize(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    *,
    max_mb: float,
    data: Annotated[str | None, arg(metavar="FILE")] = None,
    reading: Annotated[Reading, arg(name="")] = Reading(),  # noqa: B008 - frozen
) -> None:
    """Make a run smaller: a new folder that predicts, explains and exports as any other.

    Example: lstm-jax quantize runs/mine runs/small --max-mb 5 --data test.csv

    Args:
        run: the folder of a trained run.
        out: the folder to make.
        max_mb: megabytes (10^6 bytes) that all of its files may have together.
        data: labelled texts on which both are measured, as for `evaluate`; texts that the run was
            not trained on.
        reading: how files are read.
    """
    from lstm_jax.data import check_reading, load_labelled
    from lstm_jax.predictor import load
    from lstm_jax.recipes.quantize import quantize as made_smaller

    if not 0 < max_mb < float("inf"):
        raise ValueError(f"max_mb must be above 0 and finite, got {max_mb}")
    if data is not None:
        check_reading([data], reading)
    elif given := reading.given():
        name, value = next(iter(given.items()))
        raise ValueError(f"--{name.replace('_', '-')} goes only with --data, got {value!r}")
    opened, console, examples = load(run), Console(), None
    if data is not None:
        read = load_labelled(data, opened.class_names, reading)
        for warning in read.warnings:
            say(Console(stderr=True), warning, "yellow")
        examples = read.examples
    with doing(Console(stderr=True), f"making {run} smaller"):
        found = made_smaller(
            opened, out, int(max_mb * 1e6), command=command_line("lstm_jax"), examples=examples
        )
    _print(console, found)
    say(console, f"{out} is ready: {sum(found.sizes[1].values()) / 1e6:.2f} MB", "bold")


def _print(console: Console, found: "Quantized") -> None:
    before, after = found.sizes
    names = list(dict.fromkeys([*before, *after]))
    rows = [(name, f"{before.get(name, 0):,}", f"{after.get(name, 0):,}") for name in names]
    rows.append(("all", f"{sum(before.values()):,}", f"{sum(after.values()):,}"))
    last = frozenset({len(rows) - 1})
    console.print(Sheet(("what a prediction needs", "bytes", "now"), rows, sections=last))
    plan = found.plan
    say(console, f"{plan.ngrams:,} n-grams and {plan.vocabulary:,} tokens are kept")
    if found.measured is None:
        say(console, "Accuracy was not measured: give labelled texts by --data")
        return
    measured = found.measured
    parts = {"before": measured.before.as_dict(), "after": measured.after.as_dict()}
    console.print(metrics_table(parts))
    say(console, f"Other answers on {measured.changed:,} of these texts")
