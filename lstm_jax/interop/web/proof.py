"""Runs the page's own JavaScript on texts, and compares what it says with the run."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from lstm_jax.interop.export import require_close, typical_texts
from lstm_jax.predictor import Predictor

TOLERANCE = 2e-3  # between two probabilities; what rounding leaves open is half of it
BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    *("chrome", "microsoft-edge"),
)
SECONDS = 120  # that a browser has to open a page

# What runs in a copy of the page when it is open; the dump is then short.
_ASK = """
opened.then((model) => {
  const found = TEXTS.map((text) => [...model.read(text).probabilities]);
  document.documentElement.textContent = "proof" + JSON.stringify(found) + "proof";
});
"""


class PageProof(NamedTuple):
    """Texts, and the probabilities [N, classes] that the run and the page give them.

    Attributes:
        texts: N of them.
        run: what the run says.
        page: what the page says; None where there is nothing to run JavaScript with.
        engine: what ran it: "Chromium" or "Node"; "" where nothing did.
    """

    texts: tuple[str, ...]
    run: NDArray[np.float64]
    page: NDArray[np.float64] | None
    engine: str


def prove(run: Predictor, page: Path) -> PageProof:
    """Compares a page with its run, in a browser without a window, or else in Node.

    Args:
        run: the run that the page is of.
        page: the file.

    Raises:
        RuntimeError: if the page's script fails, or a probability differs by more than 0.002.
    """
    texts = typical_texts(run)
    with jax.default_matmul_precision("highest"):
        expected = run.predict_proba(texts)
    found, engine = _asked(page, texts)
    if found is None:
        return PageProof(texts, expected, None, "")
    require_close("the page", texts, (found, expected), TOLERANCE)
    return PageProof(texts, expected, found, engine)


def _asked(page: Path, texts: Sequence[str]) -> tuple[NDArray[np.float64] | None, str]:
    """What a page says of texts [N, classes], and what ran it; None and "" if nothing can."""
    if (browser := find_browser()) is not None and (found := in_browser(browser, page, texts)):
        return np.array(found), "Chromium"
    if (node := shutil.which("node")) is not None:
        return in_node(node, page, texts), "Node"
    return None, ""


def find_browser() -> str | None:
    """The path of a browser that runs without a window, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def in_node(node: str, page: Path, texts: Sequence[str]) -> NDArray[np.float64]:
    """The probabilities [N, classes] that the engine of a page gives, in Node.

    Raises:
        RuntimeError: if the script fails.
    """
    with as_file(files("lstm_jax.interop.web").joinpath("proof.js")) as script:
        done = subprocess.run(
            [node, str(script), str(page)],
            input=json.dumps(list(texts)),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    if done.returncode != 0:
        raise RuntimeError(f"the page failed in Node:\n{done.stderr}")
    return np.array(json.loads(done.stdout))


def in_browser(browser: str, page: Path, texts: Sequence[str]) -> list[list[float]]:
    """The same in a browser that opens a copy of the page; nothing if the browser cannot open it.

    One that is shut in a sandbox of its own may not read the folder for temporary files.

    Raises:
        RuntimeError: if the page opens and its script fails.
    """
    asked = _ASK.replace("TEXTS", json.dumps(list(texts)).replace("<", "\\u003c"))
    dump = dump_page(browser, page, asked)
    if dump is None:
        return []
    answer = re.search(r"proof(\[.*\])proof", dump)
    if answer is None and 'id="interface"' not in dump:  # some other page, with an error
        return []
    if answer is None:
        raise RuntimeError(f"the page failed in {browser}: it gave no probabilities")
    return json.loads(answer[1])


def dump_page(browser: str, page: Path, script: str) -> str | None:
    """What a page has become after a script ran in a copy of it: HTML; None without a browser.

    Args:
        browser: path of a Chromium.
        page: the file.
        script: JavaScript that is put behind the page's own.
    """
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"script-src [^;]*;", "script-src 'unsafe-inline';", text, count=1)
    head, end, tail = text.rpartition("</body>")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "page.html"
        copy.write_text(f"{head}<script>{script}</script>{end}{tail}", encoding="utf-8")
        options = ["--headless", "--disable-gpu", "--no-first-run", "--disable-extensions"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--no-sandbox")  # it does not start as root otherwise
        try:
            done = subprocess.run(
                [
                    *(browser, *options, f"--user-data-dir={folder}/profile"),
                    *("--virtual-time-budget=60000", "--dump-dom", copy.as_uri()),
                ],
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
    return done.stdout if done.returncode == 0 and done.stdout else None
