"""What the README and the documentation say is so."""

import doctest
import json
import re
import statistics
from pathlib import Path

import pytest

from benchmarks import report
from lstm_jax import lstm as lstm_function

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RECORDS = sorted((ROOT / "experiments" / "results").glob("*.json"))


def test_the_ten_lines_run():
    code = re.findall(r"```python\n(.*?)```", README, re.S)[0]
    names: dict = {}
    exec(code, names)
    assert names["outputs"].shape == (8, 500, 100)
    assert names["gates"].forget.shape == (8, 100)
    assert names["gradients"].recurrent_kernel.shape == (100, 400)


def test_examples_in_docstrings_are_right():
    names = {"lstm": lstm_function, **lstm_function.__globals__}
    from lstm_jax import init_lstm

    tests = doctest.DocTestFinder().find(
        lstm_function, "lstm", globs=names | {"init_lstm": init_lstm}
    )
    assert sum(len(test.examples) for test in tests) > 0
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0


def test_files_named_in_the_readme_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    tree = re.search(r"```\nlstm_jax/\n(.*?)```", README, re.S)
    assert tree is not None
    for line in tree[1].splitlines():
        name = line.split()[0]
        folder = "lstm_jax" if line.startswith("  ") else "."
        assert (ROOT / folder / name).exists(), name


@pytest.mark.parametrize(
    "path", [r for r in RECORDS if "seeds" in json.loads(r.read_text())], ids=lambda path: path.name
)
def test_figures_in_the_readme_are_those_of_the_records(path):
    record = json.loads(path.read_text())
    assert len(record["seeds"]) == len(record["test_accuracy"]) == len(record["minutes"])
    assert record["command"] in README
    assert f"{statistics.mean(record['test_accuracy']):.2%}".replace("%", " %") in README
    assert f"{max(record['minutes']):.1f}" in README


@pytest.mark.parametrize("page", report.PAGES, ids=lambda page: page.name)
def test_tables_of_speed_are_those_of_the_records(page):
    text = page.read_text()
    assert "<!-- end -->" in text
    assert report.renewed(text) == text
