"""`lstm-jax demo`."""

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, UseAppendAction, arg

from lstm_jax.cli.export import write_page
from lstm_jax.console import say


def demo(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    out: Path | None = None,
    example: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="TEXT")] = (),
    open: bool = True,
) -> None:
    """Try a run in the browser: a page that reads while you type, and shows why.

    Example: lstm-jax demo runs/mine

    Args:
        run: the folder of a trained run.
        out: the folder to make for the page; else it goes to the folder for temporary files.
        example: a text that the page offers to begin with; may be given several times.
        open: whether to open the page.
    """
    from lstm_jax.predictor import load

    opened, console = load(run), Console()
    folder = out or Path(tempfile.mkdtemp(prefix="lstm_jax-")) / "page"
    page = write_page(console, opened, folder, example)
    if open and not webbrowser.open_new_tab(page.resolve().as_uri()):
        say(console, "No browser was found on this machine; open the page by hand")
