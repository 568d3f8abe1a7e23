"""The notebook runs from top to bottom, and its two forms say the same."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from lstm_jax import data

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def code_cells() -> list[str]:
    notebook = json.loads((NOTEBOOKS / "imdb_tpu.ipynb").read_text())
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = data.load_corpus("builtin")
    assert whole.test is not None
    rows = np.arange(300)
    some = replace(whole, train=whole.train.take(rows), test=whole.test.take(rows))
    monkeypatch.setattr(data, "load_corpus", {"builtin": some}.__getitem__)
    names: dict = {}
    for cell in code_cells():
        if cell.startswith("!"):  # the installation
            continue
        exec(cell.replace('"imdb", BILSTM.train.epochs', '"builtin", 1'), names)
    assert names["result"].outcome.data == "builtin"
    assert names["run"].predict_proba(names["texts"]).shape == (2, 2)
    assert (names["outputs"][1, 2:] == 0).all()


def test_the_notebook_is_its_script_without_outputs():
    script = (NOTEBOOKS / "imdb_tpu.py").read_text()
    notebook = json.loads((NOTEBOOKS / "imdb_tpu.ipynb").read_text())
    for cell in notebook["cells"]:
        assert not cell.get("outputs"), "a notebook is committed without outputs"
    _, *cells = re.split(r"^# %%", script, flags=re.MULTILINE)
    assert [source_of(cell) for cell in cells] == [
        (cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]
    ]


def source_of(cell: str) -> tuple[str, str]:
    """The kind and the source of a cell of the script, as the notebook has them."""
    head, _, body = cell.partition("\n")
    is_text = head.strip() == "[markdown]"
    # In code, only what Python cannot run is commented out: the shell's and IPython's lines.
    commented = r"^# ?" if is_text else r"^# (?=[!%])"
    source = re.sub(commented, "", body.strip("\n"), flags=re.MULTILINE)
    return ("markdown" if is_text else "code"), source
