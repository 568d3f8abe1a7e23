"""A few of the trials of `tests/sweeps`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_jax
from tests import small
from tests.sweeps import damage, large_file

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of two finished runs, and of two unfinished ones."""
    folder = tmp_path_factory.mktemp("runs")
    paths = [folder / name for name in "abcd"]
    for seed, path in enumerate(paths):
        damage.make(path, seed % 2, stop_at=None if seed < 2 else 14)
    return paths


@pytest.mark.parametrize("state", ["predict", "finished", "unfinished"])
def test_a_damaged_run_gives_the_same_or_is_refused_in_one_line(runs, state):
    run = damage.predict if state == "predict" else damage.go_on
    whole, other = runs[2:] if state == "unfinished" else runs[:2]
    names = ["config.json", "data.json", "tokenizer.json", "ngrams.json", "metrics.jsonl"]
    if state != "unfinished":
        names += ["calibration.json", "result.json"]
    files = [Path(name) for name in names]
    below = whole / ("checkpoints" if state == "unfinished" else "weights")
    files.append(max(below.rglob("*"), key=lambda path: path.stat().st_size).relative_to(whole))
    outcomes = list(damage.sweep(run, whole, other, files))
    assert len(outcomes) == 5 * len(files)
    assert [trial for trial in outcomes if trial[2] not in damage.GOOD] == []
    refused = {str(file) for file, _, found, _ in outcomes if found == "one line"}
    assert {"config.json", "data.json", "tokenizer.json", "ngrams.json"} <= refused


def test_of_two_processes_on_one_folder_one_wins():
    path = os.pathsep.join([str(ROOT), *sys.path])
    pair = subprocess.run(
        [sys.executable, "-m", "tests.sweeps.pairs", "--pairs", "1"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "one wins" in pair.stdout, pair.stdout + pair.stderr
    assert pair.returncode == 0


def test_a_file_whose_prediction_is_killed_and_resumed_has_every_row_once(tmp_path, monkeypatch):
    monkeypatch.setattr(large_file, "TEXTS", 40)
    monkeypatch.setattr(large_file, "CONFIG", small.CONFIG)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    run, table, out = (tmp_path / name for name in ("run", "in.csv", "out.csv"))
    pool, labels = large_file.texts()
    large_file.train(run, pool, labels)
    opened = lstm_jax.load(run)
    rows = large_file.write_table(table, 0.1, pool)
    expected = [
        (opened.class_names[each.argmax()], float(each.max()))
        for each in opened.predict_proba(pool)
    ]
    found = large_file.break_and_resume(run, table, out, [0.5])
    assert len(found.kills) == 1
    assert found.memory > 1 << 20
    assert large_file.compare(out, rows, pool, expected) == []
    lines = out.read_bytes().splitlines(keepends=True)
    for changed in (lines[:-2], [*lines, *lines[-2:]], [*lines[:1], *lines[3:5], *lines[1:3]]):
        out.write_bytes(b"".join(changed))
        assert large_file.compare(out, rows, pool, expected)
