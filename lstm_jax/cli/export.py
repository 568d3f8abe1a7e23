"""`lstm-jax export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from tyro.conf import Positional, UseAppendAction, arg

from lstm_jax.console import Sheet, say

if TYPE_CHECKING:
    from lstm_jax.predictor import Predictor


class _Compared(NamedTuple):
    """What the run and what was exported say of texts, and what the latter was run by."""

    texts: tuple[str, ...]
    run: NDArray[np.float64]
    exported: NDArray[np.float64]
    by: str


def export(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    format: Literal["onnx", "stablehlo", "web"] = "onnx",
    example: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="TEXT")] = (),
) -> None:
    """Make a folder that scores texts without lstm_jax, and prove that it scores them alike.

    Example: lstm-jax export runs/mine exported --format onnx

    Args:
        run: the folder of a trained run.
        out: the folder to make; it gets the model, the tokenizer and score.py, or index.html.
        format: onnx runs on onnxruntime; stablehlo on JAX, on a CPU, GPU or TPU; web is one page
            that runs in any browser, without a network.
        example: a text that the page offers to begin with; may be given several times.
    """
    from lstm_jax.predictor import load

    if example and format != "web":
        raise ValueError(f"example must be given with --format web only, got --format {format}")
    opened, console = load(run), Console()
    if format == "web":
        write_page(console, opened, out, example)
        return
    from lstm_jax.interop.export import export_run

    proof = export_run(opened, out, format)
    compared = _Compared(proof.texts, proof.run, proof.script, "score.py")
    _show(console, opened.class_names, compared)
    _ready(console, out, compared)
    say(console, f'Try it: python {shlex.quote(str(out / "score.py"))} "some text"', whole=True)


def write_page(console: Console, run: Predictor, out: Path, examples: tuple[str, ...]) -> Path:
    """Makes the folder with the page of a run, and says what was compared.

    Args:
        console: where it is said.
        run: a trained run.
        out: the folder to make.
        examples: texts that the page offers.

    Returns:
        The page.

    Raises:
        ValueError, RuntimeError: as `lstm_jax.interop.web.export_page`.
    """
    from lstm_jax.interop.web import export_page

    proof = export_page(run, out, examples)
    page = out / "index.html"
    if proof.page is None:
        say(
            console,
            f"{out} is ready, but unproved: neither Chromium nor Node is installed to run it",
        )
    else:
        compared = _Compared(proof.texts, proof.run, proof.page, proof.engine)
        _show(console, run.class_names, compared)
        _ready(console, out, compared)
    say(console, f"Open {page} in a browser ({page.stat().st_size / 1e6:.1f} MB)", whole=True)
    return page


def _show(console: Console, class_names: tuple[str, ...], compared: _Compared) -> None:
    rows = [
        (
            (text if len(text) <= 40 else f"{text[:37]}...") or "(no text)",
            class_names[ours.argmax()],
            f"{ours.max():.6f}",
            f"{theirs[ours.argmax()]:.6f}",
        )
        for text, ours, theirs in zip(*compared[:3], strict=True)
    ]
    title = f"{len(rows)} texts made of the run's words, with the probability of their class"
    console.print(Sheet(("text", "class", "the run", compared.by), rows, title))


def _ready(console: Console, out: Path, compared: _Compared) -> None:
    difference = np.abs(compared.run - compared.exported).max()
    say(
        console,
        f"{out} is ready: its probabilities differ from the run's by {difference:.1e} at most",
    )
