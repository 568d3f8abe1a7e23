"""Every notebook runs from top to bottom, and its two forms say the same."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_jax import data

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.py"))
# What makes them short enough for a test.
SMALL = {
    '"imdb", BILSTM.train.epochs': '"builtin", 1',
    "count, epochs = 8500, 5": "count, epochs = 700, 1",
    "training_steps = 30, 24, 1500": "training_steps = 30, 24, 3",
    "count, epochs, passes = 400, 40, 20": "count, epochs, passes = 20, 1, 1",
    "some = held_out[:30]": "some = held_out[:2]",
}
LARGEST = 400_000  # bytes of a notebook with its outputs


def cells_of(name: str) -> list[dict[str, Any]]:
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]


@pytest.fixture
def names(request, tmp_path, monkeypatch) -> dict[str, Any]:
    """What a notebook has defined when all its cells have run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    whole = data.load_corpus("builtin")
    assert whole.test is not None
    rows = np.arange(300)
    some = data.Corpus("builtin", whole.train.take(rows), whole.test.take(rows), whole.class_names)
    monkeypatch.setattr(data, "load_corpus", {"builtin": some}.__getitem__)
    names: dict[str, Any] = {}
    for cell in cells_of(request.param):
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not source.startswith("!"):  # the installation
            for large, small in SMALL.items():
                source = source.replace(large, small)
            exec(source, names)
    import matplotlib.pyplot as plt

    plt.close("all")
    return names


@pytest.mark.parametrize("names", ["imdb_tpu"], indirect=True)
def test_the_notebook_of_a_tpu_runs(names, capsys):
    assert names["result"].outcome.data == "builtin"
    assert names["run"].predict_proba(names["texts"]).shape == (2, 2)
    assert (names["outputs"][1, 2:] == 0).all()
    names["compare"](("auto", "scan"), sizes=(2, 3, 4, 5), rounds=1, calls=1)
    header, *rows = capsys.readouterr().out.splitlines()[1:]
    assert header.split() == ["auto", "scan"]
    assert all(float(number) > 0 for row in rows for number in row.split()[-2:])
    assert len(rows) == 2


@pytest.mark.parametrize("names", ["lstm_step_by_step"], indirect=True)
def test_the_notebook_of_steps_runs(names):
    assert names["ledger"].shape == names["steps"].cell.shape[:1] + names["ledger"].shape[1:]
    assert len(names["losses"]) == 3
    assert (names["outputs"].forward == names["forward"]).all()


@pytest.mark.parametrize("names", ["explain"], indirect=True)
def test_the_notebook_of_explanations_runs(names):
    assert names["values"].shape == (6, len(names["words"]))
    assert 0 <= names["unit"] < names["run"].config.model.hidden_size


@pytest.mark.parametrize("names", ["time_series"], indirect=True)
def test_the_notebook_of_time_series_runs(names):
    assert names["quantiles"].shape == (24, 7)
    assert (np.diff(names["quantiles"], axis=1) >= 0).all()
    assert names["classifier"].classes_.tolist() == ["down first", "up first"]
    assert np.isfinite(names["median"]).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_its_script_with_small_outputs(name):
    script = (NOTEBOOKS / f"{name}.py").read_text()
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < LARGEST
    _, *cells = re.split(r"^# %%", script, flags=re.MULTILINE)
    assert [source_of(cell) for cell in cells] == [
        (cell["cell_type"], "".join(cell["source"])) for cell in cells_of(name)
    ]


def source_of(cell: str) -> tuple[str, str]:
    """The kind and the source of a cell of the script, as the notebook has them."""
    head, _, body = cell.partition("\n")
    is_text = head.strip() == "[markdown]"
    # In code, only what Python cannot run is commented out: the shell's and IPython's lines.
    commented = r"^# ?" if is_text else r"^# (?=[!%])"
    source = re.sub(commented, "", body.strip("\n"), flags=re.MULTILINE)
    return ("markdown" if is_text else "code"), source
