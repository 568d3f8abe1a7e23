"""Puts the page together: markup, style and scripts of this folder, and the run's own tables."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from lstm_jax.data import Padding
from lstm_jax.files import new_folder
from lstm_jax.interop.export import ends, in_float32
from lstm_jax.interop.web.card import Card, read_card
from lstm_jax.interop.web.proof import PageProof, prove
from lstm_jax.interop.web.tables import Levels, pack
from lstm_jax.nn.layer import REVERSED
from lstm_jax.predictor import Predictor
from lstm_jax.reports.escaped import escaped

FILE = "index.html"
ENGINE = ("tables", "tokenizer", "words", "lstm", "ledger", "model")  # needs no document
INTERFACE = ("draw", "memory", "page")


def export_page(run: Predictor, folder: Path, examples: Sequence[str] = ()) -> PageProof:
    """Makes a folder with one page that classifies texts as the run does, and proves it.

    It gets its name once it is proved: a process that fails or is killed leaves none of that name.

    Args:
        run: a trained run.
        folder: where to; it must not be there, or be empty.
        examples: texts that the page offers; it opens with the first of them.

    Returns:
        What was compared.

    Raises:
        ValueError: if the folder has something in it, or a page has no counterpart of something in
            the run.
        RuntimeError: if the page's script fails, or a probability differs from the run's by more
            than 0.002.
    """
    run = in_float32(run)
    with new_folder(folder) as unproved:
        page = page_of(run, examples, read_card(run))
        (unproved / FILE).write_text(page, encoding="utf-8")
        return prove(run, unproved / FILE)


def page_of(
    run: Predictor, examples: Sequence[str], card: Card, levels: Levels | None = None
) -> str:
    """The page, HTML.

    Args:
        run: a trained run.
        examples: texts that it offers.
        card: what it says of the model.
        levels: how finely vectors are rounded; None for the defaults.
    """
    described, content = describe(run, levels)
    scripts = {"engine": engine(), "interface": _together(INTERFACE)}
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts.values())
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline';"
        " base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": escaped(card.title),
        "lead": escaped(card.lead),
        "style": _file("page.css"),
        "card": card.html(),
        "described": _json({**described, "examples": list(examples)}),
        "tables": content,
        **scripts,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _file("page.html"))


def engine() -> str:
    """The script that reads texts, without what shows them: JavaScript that needs no document."""
    return _together(ENGINE)


def describe(run: Predictor, levels: Levels | None = None) -> tuple[dict[str, Any], str]:
    """What `Model.open` of the script takes: a description for JSON, and a text of tables.

    Args:
        run: a trained run.
        levels: as for `page_of`.

    Raises:
        ValueError: if the page has no counterpart of something in the run.
    """
    config = run.config.model
    tables, content = pack(run, levels)
    head, tail = ends(run.config.text.padding)
    lengths = len(run.model.ngrams.keys) if run.model.ngrams is not None else 0
    settings = {
        "layers": config.layers,
        "hiddenSize": config.hidden_size,
        "coupled": config.cell == "coupled",
        "directions": [
            "backward" if reverse else "forward" for reverse in REVERSED[config.direction]
        ],
        "merge": config.merge,
        "pooling": config.pooling,
        "linear": config.linear,
        "ngrams": list(range(2, lengths + 2)),
        "outputs": run.model.outputs,
        "temperature": run.temperature,
        "head": head,
        "tail": tail,
        "padFront": _in_front(run.config.text.padding),
    }
    rules = _rules(json.loads(run.tokenizer.to_json()))
    described = {
        "config": settings,
        "classes": list(run.class_names),
        "rules": rules,
        "tables": tables,
    }
    return described, content


def _rules(saved: dict[str, Any]) -> dict[str, Any]:
    """The rules of a saved tokenizer, as the script's `Tokenizer` takes them."""
    normalizer = saved["normalizer"]
    steps = normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
    cut = saved["pre_tokenizer"]
    return {
        "normalizers": steps,
        "pattern": cut["pattern"]["Regex"],
        # What matches is a token by itself, or if all else is removed.
        "matches": cut["behavior"] == "Isolated" or cut["invert"],
        "ends": len(saved["post_processor"]["single"]) == 3,
    }


def _in_front(padding: Padding) -> bool:
    return padding.pad == "front"


def _json(value: Any) -> str:
    """JSON that can stand in a script: nothing in it ends the script or begins a comment."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _together(names: Sequence[str]) -> str:
    return '"use strict";\n' + "\n".join(_file(f"{name}.js") for name in names)


def _digest(script: str) -> str:
    """What the page's policy allows the script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _file(name: str) -> str:
    return files("lstm_jax.interop.web").joinpath(name).read_text(encoding="utf-8")
