"""The notebook runs from top to bottom, and its two forms say the same."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lstm_jax import text

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def code_cells() -> list[str]:
    notebook = json.loads((NOTEBOOKS / "imdb_tpu.ipynb").read_text())
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = text.load_corpus("builtin")
    some = replace(whole, train=whole.train.take(np.arange(300)))
    monkeypatch.setattr(text, "load_corpus", {"builtin": some}.__getitem__)
    names: dict = {}
    for cell in code_cells():
        if cell.startswith("!"):  # the installation
            continue
        exec(cell.replace('"imdb", BILSTM.train.epochs', '"builtin", 1'), names)
    assert names["result"]["data"] == "builtin"
    assert names["run"].predict(names["texts"]).shape == (2, 2)
    assert (names["outputs"][1, 2:] == 0).all()


def test_the_notebook_is_its_script_without_outputs():
    script = (NOTEBOOKS / "imdb_tpu.py").read_text()
    notebook = json.loads((NOTEBOOKS / "imdb_tpu.ipynb").read_text())
    for cell in notebook["cells"]:
        assert not cell.get("outputs"), "a notebook is committed without outputs"
        for line in "".join(cell["source"]).splitlines():
            assert line in script
