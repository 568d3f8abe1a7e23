"""`python -m lstm_jax predict`."""

import contextlib
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from tyro.conf import Positional, arg

from lstm_jax.console import interactive, printable, say
from lstm_jax.data import Reading
from lstm_jax.data.table import Row, TextTable
from lstm_jax.stops import advise


@dataclass(frozen=True)
class Written:
    """What is written of the predictions, and where."""

    out: Path | None = None
    """A new file for the predictions, with all columns of --file: .csv, .tsv, .jsonl or .ndjson.
    Else they are printed."""
    resume: bool = False
    """Go on with --out where a run that was stopped or killed has left it."""
    top_k: int = 1
    """How many classes are named for each text, the likeliest first."""
    threshold: float = 0.0
    """A probability below which the label is left empty."""
    json_lines: Annotated[bool, arg(name="json")] = False
    """Print a JSON object a line, with the probability of every class."""


def predict(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    texts: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXTS")] = (),
    /,
    file: Annotated[Path | None, arg(aliases=["-f"])] = None,
    reading: Annotated[Reading, arg(name="")] = Reading(),  # noqa: B008 - frozen
    written: Annotated[Written, arg(name="")] = Written(),
    batch_size: int = 128,
) -> None:
    r"""Classify texts: from the command line, a file, or standard input if neither is given.

    Prints a line for each: the likeliest class, its probability and the text, with tabs between
    them. A tab, a line break or a backslash in a text stands there as \t, \n, \r or \\. A row that
    cannot be used has no class and no probability.

    Example: lstm-jax predict runs/mine --file new.csv --out predicted.csv

    Args:
        run: the folder of a trained run.
        texts: the texts.
        file: a file with a text a line, or any file or folder that `train` takes; labels are not
            looked at. It may be larger than memory.
        reading: how the file is read.
        written: what is written of the predictions, and where.
        batch_size: texts computed at a time; with 1, each line of standard input is answered at
            once.
    """
    from lstm_jax.predictor import load
    from lstm_jax.recipes.predict_file import ROWS, Choice

    _check(texts, file, reading, written)
    piece = ROWS if file is not None else max(1, batch_size)
    choice = Choice(written.threshold, written.top_k, batch_size, piece)
    opened = load(run)
    choice.check(opened.class_names)
    said = Console(stderr=True)
    if written.out is not None:
        assert file is not None
        _into_file(said, opened, (file, written.out), reading, (choice, written.resume))
    else:
        with _table(said, texts, file, reading) as table:
            _printed(said, opened, table, reading, (choice, written))


def _check(texts: tuple[str, ...], file: Path | None, reading: Reading, written: Written) -> None:
    """Refuses options that cannot be given together, or would change nothing."""
    if texts and file:
        raise ValueError("texts and --file cannot be given together")
    given = reading.given()
    if "label_column" in given:
        raise ValueError(f"--label-column is not read by predict, got {given['label_column']!r}")
    for name, value in given.items():
        if file is None and (texts or name not in ("encoding", "on_error")):
            option = name.replace("_", "-")
            raise ValueError(f"--{option} goes only with --file, got {value!r}")
    if written.out is not None and file is None:
        raise ValueError(f"--out goes only with --file, got {str(written.out)!r}")
    if written.resume and written.out is None:
        raise ValueError("--resume goes only with --out")
    if written.json_lines and written.top_k != 1:
        raise ValueError(
            f"--top-k goes only without --json, which has all classes, got {written.top_k}"
        )
    if written.json_lines and written.out is not None:
        raise ValueError("--json goes only without --out, whose name says how it is written")


def _into_file(
    said: Console, opened: Any, files: tuple[Path, Path], reading: Reading, how: tuple[Any, bool]
) -> None:
    from lstm_jax.data import open_table
    from lstm_jax.recipes.predict_file import predict_file, what_was_found

    choice, resume = how
    path, out = files
    say(said, what_was_found(open_table(path, reading), reading))
    advise("--resume goes on")
    with _bar(said, f"predicting {path}") as progress:
        done = predict_file(opened, files, reading, choice, resume=resume, progress=progress)
    rows = "1 row" if done.rows == 1 else f"{done.rows:,} rows"
    say(said, f"{out}: {rows}")
    if done.unusable:
        more = f" ({done.said})" if done.said else ""
        have = "row has" if done.unusable == 1 else "rows have"
        say(said, f"{path}: {done.unusable:,} {have} no prediction{more}", "yellow")


@contextmanager
def _bar(said: Console, what: str) -> Generator[Callable[[int, float], None]]:
    """Shows how far a file is read, on a terminal; gives what is to be told of it."""
    if not interactive(said):
        yield lambda rows, share: None
        return
    columns = (
        *(TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn()),
        *(TextColumn("{task.fields[rows]:,} rows"), TimeRemainingColumn()),
    )
    with Progress(*columns, console=said, transient=True) as bar:
        task = bar.add_task(printable(what), total=1.0, rows=0)
        yield lambda rows, share: bar.update(task, completed=share, rows=rows)


@contextmanager
def _table(
    said: Console, texts: tuple[str, ...], file: Path | None, reading: Reading
) -> Generator[TextTable]:
    """The texts as a table, wherever they are."""
    from lstm_jax.data import open_table
    from lstm_jax.data.plain import open_stream, texts_table
    from lstm_jax.recipes.predict_file import what_was_found

    if texts:
        for name in texts:
            if Path(name).suffix and os.path.isfile(name):
                file_option = f"--file {shlex.quote(name)}"
                say(said, f"{name!r} is read as a text; for the texts in the file: {file_option}")
        yield texts_table(list(map(_in_utf8, texts)))
    elif file is None:
        stream = cast(io.BufferedReader, sys.stdin.buffer)
        yield open_stream(stream, "standard input", reading)
    else:
        table = open_table(file, reading)
        if not table.plain:
            say(said, what_was_found(table, reading))
        yield table


def _printed(
    said: Console, opened: Any, table: TextTable, reading: Reading, how: tuple[Any, Written]
) -> None:
    """Prints a line for each row."""
    from lstm_jax.data.faults import Faults
    from lstm_jax.recipes.predict_file import predict_rows

    choice, written = how
    faults, line = Faults(table.path, reading), _json if written.json_lines else _tabbed
    for piece in predict_rows(opened, table, table.read(), faults, choice):
        lines = []
        predictions = choice.of(piece.probabilities, opened.class_names)
        for row, text, found, prediction in zip(*piece, predictions, strict=True):
            shown = text if text is not None else _as_read(row)
            lines.append(line(shown, prediction, found, (choice, opened.class_names)))
        print("\n".join(lines), flush=True)
    if faults.count:
        say(said, f"{table.path}: {faults.said()}", "yellow")


def _json(text: str, prediction: Any, found: Any, how: tuple[Any, tuple[str, ...]]) -> str:
    """A prediction, or none, as a JSON object."""
    content: dict[str, Any] = {"label": None, "probabilities": None, "text": text}
    if prediction is not None:
        content["label"] = prediction.labels[0]
        content["probabilities"] = dict(zip(how[1], map(float, found), strict=True))
    # JSON has escapes for what the output's encoding lacks.
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    return json.dumps(content, ensure_ascii=ascii_only)


def _tabbed(text: str, prediction: Any, found: Any, how: tuple[Any, tuple[str, ...]]) -> str:
    """A prediction, or none, as fields with tabs between them."""
    fields = [""] * (2 * how[0].top_k)
    if prediction is not None:
        fields[::2] = map(_escaped, prediction.labels)
        fields[1::2] = [f"{probability:.4f}" for probability in prediction.probabilities]
    return "\t".join([*fields, _escaped(text)])


def _as_read(row: Row) -> str:
    """What a row that cannot be used has, where there is a text on each line."""
    return row.record[0] if isinstance(row.record, list) and len(row.record) == 1 else ""


def _in_utf8(argument: str) -> str:
    """An argument; if its bytes are not in the locale's encoding, read as UTF-8."""
    try:
        argument.encode()
    except UnicodeEncodeError:  # Python has put surrogates in their place
        with contextlib.suppress(UnicodeDecodeError):
            return os.fsencode(argument).decode()
    return argument


_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _escaped(text: str) -> str:
    """The text as it stands in a column of TSV."""
    return text.translate(_ESCAPES)
