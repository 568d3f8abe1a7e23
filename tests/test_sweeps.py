"""A few of the trials of `tests/sweeps`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweeps import damage

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
