"""`lstm-jax export`."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from lstm_jax.console import Sheet, say


def export(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    format: Literal["onnx", "stablehlo"] = "onnx",
) -> None:
    """Make a folder that scores texts without lstm_jax, and prove that it scores them alike.

    Example: lstm-jax export runs/mine exported --format onnx

    Args:
        run: the folder of a trained run.
        out: the folder to make; it gets the model, the tokenizer and score.py.
        format: onnx runs on onnxruntime; stablehlo on JAX, on a CPU, GPU or TPU.
    """
    from lstm_jax.interop.export import export_run
    from lstm_jax.predictor import load

    opened = load(run)
    proof = export_run(opened, out, format)
    rows = [
        (
            (text if len(text) <= 40 else f"{text[:37]}...") or "(no text)",
            opened.class_names[ours.argmax()],
            f"{ours.max():.6f}",
            f"{theirs[ours.argmax()]:.6f}",
        )
        for text, ours, theirs in zip(*proof, strict=True)
    ]
    console = Console()
    title = f"{len(rows)} texts made of the run's words, with the probability of their class"
    console.print(Sheet(("text", "class", "the run", "score.py"), rows, title))
    difference = abs(proof.run - proof.script).max()
    say(
        console,
        f"{out} is ready: its probabilities differ from the run's by {difference:.1e} at most",
    )
    say(console, f'Try it: python {shlex.quote(str(out / "score.py"))} "some text"', whole=True)
