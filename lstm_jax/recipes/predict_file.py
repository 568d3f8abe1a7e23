"""A file of any size, predicted in constant memory; what is killed goes on where it was.

A piece of some thousands of rows is read, predicted and written at a time. The output is flushed to
the disk before the position behind it is, so that after a kill each row is there once: what stands
behind the position is cut off and written again.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lstm_jax.checked import checked
from lstm_jax.data import Reading, open_table
from lstm_jax.data.columns import find_columns
from lstm_jax.data.faults import Faults
from lstm_jax.data.output import Output, Prediction
from lstm_jax.data.table import Record, Row, TextTable
from lstm_jax.data.tables import note, text_getter
from lstm_jax.files import read_json, write_json
from lstm_jax.machine import garbage_frozen
from lstm_jax.predictor import Predictor
from lstm_jax.stops import held, reached
from lstm_jax.train.run_folder import RunFolder

# A piece is of so many rows, or letters of texts. Its rows are sorted by length, and the last batch
# of each width is not full: of a few thousand rows a tenth of the work would be padding.
ROWS, _LETTERS = 1 << 14, 1 << 25
# Bytes of the input and of the output by which they are known again.
_HEAD = 1 << 20
_TAIL = 1 << 16

_Whole = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Choice:
    """What is predicted of the probabilities.

    Attributes:
        threshold: below it the label stays empty; in [0, 1].
        top_k: how many classes are named, the likeliest first; >= 1.
        batch_size: texts computed at a time; >= 1.
        piece: rows read before the first of them is answered; >= 1.

    Raises:
        ValueError: if a number is out of its range.
    """

    threshold: float = 0.0
    top_k: int = 1
    batch_size: int = 128
    piece: int = ROWS

    def __post_init__(self) -> None:
        if not self.threshold >= 0:
            raise ValueError(f"threshold must be at least 0, got {self.threshold}")
        if self.threshold > 1:
            raise ValueError(f"threshold must be at most 1, got {self.threshold}")
        for name in ("top_k", "batch_size", "piece"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def check(self, class_names: tuple[str, ...]) -> None:
        """Raises ValueError if more classes are to be named than there are."""
        if self.top_k > len(class_names):
            raise ValueError(
                f"top_k must be at most {len(class_names)}, the classes of the run, got"
                f" {self.top_k}"
            )

    def of(
        self, probabilities: Sequence[NDArray[np.float64] | None], class_names: tuple[str, ...]
    ) -> list[Prediction | None]:
        """The predictions for texts, from the probability of each class; None where there is none.

        All at once, because NumPy takes as long to sort one row as to sort a hundred.
        """
        there = [row for row in probabilities if row is not None]
        if not there:
            return [None] * len(probabilities)
        rows = np.stack(there)
        order = np.argsort(-rows, axis=1, kind="stable")[:, : self.top_k]
        sorted_rows = np.take_along_axis(rows, order, 1)
        sure = (sorted_rows[:, 0] >= self.threshold).tolist()
        found = zip(order.tolist(), sorted_rows.tolist(), sure, strict=True)

        def prediction() -> Prediction:
            places, values, is_sure = next(found)
            labels = [class_names[place] for place in places]
            return Prediction(labels if is_sure else ["", *labels[1:]], values)

        return [None if row is None else prediction() for row in probabilities]


@checked
class Position:
    """What the file beside an output holds: how far it is, and of what."""

    rows: _Whole
    """Rows of the input that are written."""
    unusable: _Whole
    """Those of them that cannot be used."""
    size: _Whole
    """Bytes of the output up to there."""
    tail: str
    """A checksum of the end of the output up to there."""
    made_of: dict[str, str]
    """What must be the same to go on."""


@dataclass(frozen=True)
class Done:
    """What came of a file.

    Attributes:
        rows: of the input.
        unusable: those of them that have no prediction.
        said: one line on them; empty if there are none, or all were of an earlier part.
    """

    rows: int
    unusable: int
    said: str


def position_path(out: Path) -> Path:
    """The file beside an output that says how far it is; none once it is whole."""
    return out.with_name(f"{out.name}.progress.json")


class Piece(NamedTuple):
    """Some rows and what is predicted for them.

    Attributes:
        rows: in their order.
        texts: of each; None of one that cannot be used.
        probabilities: float64 [classes] of each; None of one that cannot be used.
    """

    rows: list[Row]
    texts: list[str | None]
    probabilities: list[NDArray[np.float64] | None]


def predict_rows(
    predictor: Predictor, table: TextTable, rows: Iterator[Row], faults: Faults, choice: Choice
) -> Iterator[Piece]:
    """Predicts rows piece by piece, in their order.

    Args:
        predictor: what predicts.
        table: whose rows.
        rows: those to predict, perhaps not from its first on.
        faults: counts those that cannot be used.
        choice: how many at a time.

    Yields:
        The rows with what is predicted. If reading fails, what was read before comes first.

    Raises:
        ValueError: as `TextTable.read`, and as `Faults.add`.
    """
    text_of = text_getter(table, find_columns(table, faults.reading, labelled=False).text)
    failure = None
    while failure is None:
        piece, letters = Piece([], [], []), 0
        try:
            for row in islice(rows, choice.piece):
                faults.rows += 1
                text = _text(table, row, text_of, faults)
                letters += len(text or "")
                piece.rows.append(row)
                piece.texts.append(text)
                if letters > _LETTERS:
                    break
        except Exception as error:
            failure = error
        if piece.rows:
            texts = [text for text in piece.texts if text is not None]
            found = iter(predictor.predict_proba(texts, batch_size=choice.batch_size))
            piece.probabilities.extend(
                None if text is None else next(found) for text in piece.texts
            )
            yield piece
        elif failure is None:
            return
    raise failure


def predict_file(
    predictor: Predictor,
    files: tuple[Path, Path],
    reading: Reading,
    choice: Choice,
    *,
    resume: bool = False,
    progress: Callable[[int, float], Any] = lambda rows, share: None,
) -> Done:
    """Predicts the texts of a file into another, with all its columns.

    Args:
        predictor: what predicts.
        files: the input, in any format of `open_table`; and the output, whose name says how it is
            written, see `Output`.
        reading: what is said of the input. Rows that cannot be used have an empty prediction,
            unless it says to stop at the first.
        choice: what is predicted of the probabilities.
        resume: go on with an output that was not finished.
        progress: told how many rows are done and which share of the input, after each piece.

    Returns:
        What came of it.

    Raises:
        ValueError: if the output is there already; with `resume`, if it is not one to go on with;
            and as `open_table`.
        OSError: if a file cannot be read or written.
    """
    path, out = files
    choice.check(predictor.class_names)
    table = open_table(path, reading)
    output = Output(out, table, choice.top_k)
    made_of = {
        "input": _checksum_of(path),
        "run": RunFolder(predictor.path).fingerprint() or "",
        "settings": repr((reading, choice.threshold, choice.top_k, output.kind)),
    }
    at = _position(out, output, made_of) if resume else _start(out, output, made_of)
    progress(at.rows, 0.0)
    faults, rows = Faults(path, reading), islice(table.read(), at.rows, None)
    with out.open("r+b") as file, garbage_frozen():
        file.truncate(at.size)
        file.seek(at.size)
        for piece in predict_rows(predictor, table, rows, faults, choice):
            predictions = choice.of(piece.probabilities, predictor.class_names)
            content = output.lines(piece.rows, predictions).encode(errors="replace")
            unusable = at.unusable + piece.texts.count(None)
            with held():
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                tail = _tail(out, end := at.size + len(content))
                at = Position(at.rows + len(piece.rows), unusable, end, tail, made_of)
                write_json(position_path(out), vars(at))
                reached(f"after row {at.rows:,}")
            progress(at.rows, table.counted.share())
    position_path(out).unlink()
    return Done(at.rows, at.unusable, faults.said() if faults.count else "")


def _text(
    table: TextTable, row: Row, text_of: Callable[[Record], str], faults: Faults
) -> str | None:
    """The text of a row; None, counted, if it cannot be used."""
    try:
        if row.fault is not None:
            raise ValueError(row.fault)
        return text_of(row.record)
    except ValueError as error:
        faults.add(table.place(row), str(error))
        return None


def what_was_found(table: TextTable, reading: Reading) -> str:
    """One line on what was found out about an input."""
    return note(table, find_columns(table, reading, labelled=False))


def _start(out: Path, output: Output, made_of: dict[str, str]) -> Position:
    if out.exists():
        beside = position_path(out).exists()
        how = "go on with --resume, or give another name" if beside else "give another"
        raise ValueError(f"{out}: exists already; {how}")
    out.parent.mkdir(parents=True, exist_ok=True)
    return _begin(out, output, made_of)


def _begin(out: Path, output: Output, made_of: dict[str, str]) -> Position:
    """Writes the header, and before it the position: never is there an output without one."""
    header = output.header().encode(errors="replace")
    at = Position(0, 0, len(header), hashlib.sha256(header[-_TAIL:]).hexdigest(), made_of)
    with held():
        write_json(position_path(out), vars(at))
        out.write_bytes(header)
    return at


def _position(out: Path, output: Output, made_of: dict[str, str]) -> Position:
    """Where to go on."""
    beside = position_path(out)
    if not beside.exists():
        if not out.exists():
            raise ValueError(f"{out}: nothing to resume: there is no such file; leave out --resume")
        raise ValueError(
            f"{out}: nothing to resume: it is finished, or not of `predict --out`, since there is"
            f" no {beside.name}"
        )
    at: Position = read_json(beside, Position)
    for name, value in made_of.items():
        if at.made_of.get(name) != value:
            raise ValueError(
                f"{out}: cannot be resumed: the {name} must be what it was when it was begun"
            )
    if not at.rows and (not out.exists() or out.stat().st_size == 0):
        return _begin(out, output, made_of)
    size = out.stat().st_size
    if size < at.size or _tail(out, at.size) != at.tail:
        raise ValueError(f"{out}: cannot be resumed: it was changed since it was written")
    return at


def _tail(path: Path, end: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, end - _TAIL))
        return hashlib.sha256(file.read(min(end, _TAIL))).hexdigest()


def _checksum_of(path: Path) -> str:
    """What an input is known by: its size and start; of a folder, its files' names and sizes."""
    if path.is_dir():
        below = sorted(each for each in path.rglob("*") if each.is_file())
        listed = "\0".join(f"{each.relative_to(path)}\0{each.stat().st_size}" for each in below)
        return hashlib.sha256(listed.encode(errors="surrogateescape")).hexdigest()
    with path.open("rb") as file:
        return f"{path.stat().st_size} {hashlib.sha256(file.read(_HEAD)).hexdigest()}"
