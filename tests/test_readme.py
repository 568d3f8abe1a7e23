"""What the README and the documentation say is so."""

import json
import re
import statistics
from pathlib import Path

import pytest

from benchmarks import report
from experiments.imdb.results import OTHERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RECORDS = sorted((ROOT / "experiments" / "results").glob("*.json"))


def test_the_ten_lines_run():
    ten_lines, family, *_ = re.findall(r"```python\n(.*?)```", README, re.S)
    names: dict = {}
    exec(ten_lines, names)
    assert names["outputs"].shape == (8, 500, 100)
    assert names["gates"].forget.shape == (8, 100)
    assert names["gradients"].recurrent_kernel.shape == (100, 400)
    exec(family, names)
    assert names["outputs"].shape == (8, 500, 32)
    assert names["state"].cell.shape == (8, 100)


def test_tests_named_in_the_table_of_features_exist():
    page = (ROOT / "docs" / "reference" / "features.md").read_text()
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", page)
    rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(named) >= len(rows) - 2  # but for the heading and the kernel that there is not
    for file, test in named:
        assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(), f"{file}::{test}"


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
    for kind in ("ensemble_minutes", "pretraining_minutes"):
        if None not in (minutes := record.get(kind, [None])):
            assert f"{max(minutes):.1f}" in README


def test_the_linear_models_figures_are_those_of_their_record():
    record = json.loads((ROOT / "benchmarks" / "results" / "baselines.json").read_text())
    assert record["command"] in README
    for name, found in record["models"].items():
        assert dict(OTHERS)[name] == round(found["test_accuracy"], 4)
        row = f"| {name} (scikit-learn) | {found['test_accuracy']:.2%} | | {found['minutes']:.1f} |"
        assert row.replace("%", " %") in README


@pytest.mark.parametrize("page", report.PAGES, ids=lambda page: page.name)
def test_tables_of_speed_are_those_of_the_records(page):
    text = page.read_text()
    assert "<!-- end -->" in text
    assert report.renewed(text) == text


def test_the_figures_of_five_classes_are_those_of_their_record():
    path = ROOT / "experiments" / "results" / "five_classes.json"
    page = (ROOT / "docs" / "how-to" / "many-classes.md").read_text()
    record = json.loads(path.read_text())
    assert record["command"] in page
    for name, found in record["variants"].items():
        parts = ("accuracy", "macro_f1", "calibration_error", "calibration_error_unscaled")
        accuracy, *others = (statistics.mean(found[part]) for part in parts)
        cells = [f"{accuracy:.2%}", *(f"{other:.3f}" for other in others)]
        row = " | ".join([name, *cells, f"{statistics.mean(found['minutes']):.1f}"])
        assert f"| {row} |".replace("%", " %") in page
