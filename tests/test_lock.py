"""One process at a time trains in a run's folder."""

import os
import subprocess
import sys

import pytest
from test_run_folder import refused, train

from lstm_jax.train import loop
from lstm_jax.train.lock import locked

# One process at a time.

HOLD = """
import sys, time
from pathlib import Path
from lstm_jax.train.run_folder import RunFolder
from lstm_jax.train.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder `tmp_path / "run"`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_a_dead_one_leaves_no_lock(holder, tmp_path):
    said = refused(train, tmp_path / "run")
    assert said == f"run folder {tmp_path / 'run'} is in use by process {holder.pid}"
    assert refused(train, tmp_path / "run", resume=True) == said
    holder.kill()
    holder.wait()
    assert train(tmp_path / "run").outcome.steps > 0
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_run_in_the_same_process_is_refused_too(tmp_path, monkeypatch):
    def again(*arguments):
        assert "in use by process" in refused(train, tmp_path / "run", resume=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train_step", again)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run")


def test_a_lock_deletes_only_what_it_made(tmp_path):
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "mine").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "mine"]


def test_a_file_system_without_locks_is_done_without(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with locked(tmp_path / "run"), locked(tmp_path / "run"):
        pass
