"""The files that a report is made of."""

from pathlib import Path
from typing import NamedTuple

from lstm_jax.files import write_text
from lstm_jax.reports.mistakes import write_mistakes
from lstm_jax.reports.page import report_page
from lstm_jax.reports.scored import Scored

REPORT, MISTAKES = "report.html", "mistakes.csv"


class Written(NamedTuple):
    """Where a report is."""

    report: Path
    mistakes: Path


def write_report(folder: Path, scored: Scored) -> Written:
    """Writes `report.html`, a page that needs nothing else, and `mistakes.csv` into a folder.

    Args:
        folder: made if it is not there; files of these names are replaced.
        scored: what was measured.

    Returns:
        The two files.

    Raises:
        OSError: naming the file that cannot be written.
    """
    written = Written(folder / REPORT, folder / MISTAKES)
    write_mistakes(written.mistakes, scored)
    write_text(written.report, report_page(scored))
    return written
