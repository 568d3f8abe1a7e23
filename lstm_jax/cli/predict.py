"""`python -m lstm_jax predict`."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated, cast

from tyro.conf import Positional, arg


def predict(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    texts: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXTS")] = (),
    /,
    file: Annotated[Path | None, arg(aliases=["-f"])] = None,
    text_column: str | None = None,
    json_lines: Annotated[bool, arg(name="json")] = False,
    batch_size: int = 128,
) -> None:
    r"""Classify texts: from the command line, a file, or standard input if neither is given.

    Prints a line for each: the likeliest class, its probability and the text, with tabs between
    them. A tab, a line break or a backslash in a text stands there as \t, \n, \r or \\.

    Args:
        run: the folder of a trained run.
        texts: the texts.
        file: a CSV, TSV or JSONL file, whose other columns are not looked at; of any other name, a
            file with one text a line.
        text_column: where the text is in a file with columns; else in `text`, or in the only column
            that has something else than numbers in it.
        json_lines: print a JSON object a line, with the probability of every class.
        batch_size: texts computed at a time; with 1, each line of standard input is answered at
            once.
    """
    from lstm_jax.data import read_texts
    from lstm_jax.data.formats import is_table
    from lstm_jax.data.lines import lines
    from lstm_jax.data.records import find_text_column
    from lstm_jax.predictor import load

    if texts and file:
        raise ValueError("texts and --file cannot be given together")
    opened = load(run)
    if text_column is None and file is not None and is_table(file):
        text_column = find_text_column(file)
        if text_column.casefold() != "text":
            print(f"{file}: the texts are taken from {text_column!r}", file=sys.stderr)
    if texts:
        source = map(_in_utf8, texts)
    elif file is not None:
        source = read_texts(file, text_column)
    else:
        stream = cast(io.BufferedReader, sys.stdin.buffer)
        source = (line.rstrip("\r\n") for line in lines(stream, "standard input"))
    # JSON has escapes for what the output's encoding lacks.
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    for prediction in opened.stream(source, batch_size=batch_size):
        if json_lines:
            line = json.dumps(
                {
                    "label": prediction.label,
                    "probabilities": prediction.probabilities,
                    "text": prediction.text,
                },
                ensure_ascii=ascii_only,
            )
        else:
            label, text = _escaped(prediction.label), _escaped(prediction.text)
            line = f"{label}\t{prediction.probability:.4f}\t{text}"
        print(line, flush=True)


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
