"""How well a classifier does, as tables for people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType

from lstm_jax.console import Sheet, printable, say_result, say_sentences

MOST = 10  # confused pairs that are shown


def say_summary(console: Console, lines: Sequence[str], files: Sequence[Path] = ()) -> None:
    """Prints what came out in sentences; on a console that is quiet, the first of them.

    Args:
        console: where.
        lines: as `lstm_jax.reports.summarise` gives them.
        files: where more is written.
    """
    say_result(console, lines[0])
    see = [f"See {' and '.join(map(str, files))}"] if files else []
    say_sentences(console, [*lines, *see])


def metrics_table(parts: Mapping[str, Mapping[str, float | None]]) -> Sheet:
    """The metrics of each part of the data, a row each.

    Args:
        parts: metrics by name, by the part's name; what is missing or None is shown as "-". A part
            without an accuracy is left out.
    """
    columns = {
        "accuracy": ("accuracy", ".2%"),
        "macro F1": ("macro_f1", ".4f"),
        "loss": ("loss", ".4f"),
        "AUC": ("auc", ".4f"),
        "calibration\nerror": ("calibration_error", ".4f"),
        "examples": ("examples", ",.0f"),
    }

    def cell(value: float | None, format: str) -> str:
        return "-" if value is None else f"{value:{format}}"

    rows = [
        (part, *(cell(metrics.get(name), format) for name, format in columns.values()))
        for part, metrics in parts.items()
        if "accuracy" in metrics
    ]
    return Sheet(("part", *columns), rows)


@dataclass(frozen=True)
class Confusion:
    """Which classes are taken for which: the whole table where it fits, else the worst pairs.

    Attributes:
        counts: examples of class row that were predicted as class column.
        names: of the classes.
        whole: where the whole table is, in words, for where it does not fit.
    """

    counts: Sequence[Sequence[int]]
    names: Sequence[str]
    whole: str

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterable[RenderableType]:
        """The table that fits."""
        table = self.table()
        if table.fits(console, options):
            yield table
        elif pairs := self.pairs():
            yield pairs
        else:
            yield f"No example of the {len(self.names)} classes is predicted as another."

    def table(self) -> Sheet:
        """All counts: a row for each class, a column for each prediction."""
        rows = [
            (name, *(f"{count:,}" for count in row))
            for name, row in zip(self.names, self.counts, strict=True)
        ]
        headers = ("true class", *map(printable, self.names))
        return Sheet(headers, rows, title="Examples of each class, by what they are predicted as")

    def pairs(self) -> Sheet | None:
        """The pairs of classes that most examples are confused in; None if none is."""
        wrong = [
            (count, true, predicted)
            for true, row in enumerate(self.counts)
            for predicted, count in enumerate(row)
            if count and true != predicted
        ]
        if not wrong:
            return None
        worst = sorted(wrong, key=lambda each: (-each[0], each[1:]))[:MOST]
        rows = [
            (
                self.names[true],
                self.names[predicted],
                f"{count:,}",
                f"{count / sum(self.counts[true]):.1%}",
            )
            for count, true, predicted in worst
        ]
        title = f"Most confused classes: {len(rows)} of {len(wrong):,} pairs"
        headers = ("true class", "predicted as", "examples", "share of\nthe class")
        return Sheet(
            headers, rows, title=title, caption=f"All {len(self.names)} classes: {self.whole}"
        )
