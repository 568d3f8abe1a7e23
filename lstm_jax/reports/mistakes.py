"""The mistakes that a classifier is surest of: mislabelled texts, and what it has not learnt."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_jax.files import write_text
from lstm_jax.reports.scored import Scored

MOST = 50
# What a spreadsheet runs as a formula if a cell begins with it.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


class Mistake(NamedTuple):
    """A text that is predicted wrong."""

    text: str
    true: str
    predicted: str
    probability: float  # of the class that is predicted


def mistakes(scored: Scored, most: int = MOST) -> list[Mistake]:
    """The texts that are predicted wrong with the highest probability, highest first.

    Args:
        scored: what was measured.
        most: of them at most.
    """
    wrong = np.nonzero(~scored.right)[0]
    surest = wrong[np.argsort(-scored.confidence[wrong], kind="stable")][:most]
    names = scored.class_names
    return [
        Mistake(
            scored.texts[row],
            names[int(scored.labels[row])],
            names[int(scored.predicted[row])],
            float(scored.confidence[row]),
        )
        for row in map(int, surest)
    ]


def write_mistakes(path: Path, scored: Scored) -> None:
    """Writes the mistakes as CSV: text, true, predicted, probability; whole or not at all.

    A cell that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    rows = [
        (text, true, predicted, f"{probability:.4f}")
        for text, true, predicted, probability in mistakes(scored)
    ]
    write_csv(path, Mistake._fields, rows)


def write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Writes a UTF-8 CSV file whose cells no spreadsheet runs as formulas.

    Args:
        path: where to.
        header: the names of the columns.
        rows: as many strings each; one that begins as a formula does gets an apostrophe in front.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(_harmless, header))
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    write_text(path, file.getvalue())


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell
