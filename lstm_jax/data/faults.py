"""Rows that cannot be used: counted, told, and too many of them stop a run."""

from __future__ import annotations

from pathlib import Path

from lstm_jax.data.reading import Reading

# The share of rows that may be left out before it looks like a file that is read wrongly.
MOST = 0.01
_SHOWN = 5
_LONG = 120


class Faults:
    """The rows of a file that cannot be used.

    Args:
        path: the file.
        reading: says what to do with such rows.

    Attributes:
        rows: how many rows were read, those too.
        count: how many of them cannot be used.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path, self.reading = path, reading
        self.rows = self.count = 0
        self._first: list[str] = []

    def add(self, place: str, fault: str) -> None:
        """Counts a row that cannot be used.

        Raises:
            ValueError: if rows that cannot be used are to stop a run.
        """
        if self.reading.on_error == "stop":
            raise ValueError(f"{self.path}, {place}: {fault}")
        self.count += 1
        if self.count <= _SHOWN:
            self._first.append(f"{place}: {fault[:_LONG]}")

    def check(self) -> None:
        """Refuses the file, if too many of its rows cannot be used.

        Raises:
            ValueError: with the first of them and how to go on.
        """
        if self.reading.on_error is None and self.count > MOST * self.rows:
            raise ValueError(
                f"{self.path}: {self.said()}; mend them, or leave them out with --on-error skip,"
                f" since they are more than {MOST:.0%}"
            )

    def said(self) -> str:
        """How many there are and what is wrong with the first, for one line."""
        more = ["..."] if self.count > _SHOWN else []
        rows = "row" if self.rows == 1 else "rows"
        return (
            f"{self.count:,} of {self.rows:,} {rows} cannot be used:"
            f" {'; '.join([*self._first, *more])}"
        )

    def warning(self) -> str | None:
        """One line about the rows that are left out; None if there are none."""
        if not self.count:
            return None
        are = "is" if self.count == 1 else "are"
        said = self.said().replace("cannot be used", f"cannot be used and {are} left out", 1)
        return f"{self.path}: {said}"
