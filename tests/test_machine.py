"""What a record says of where it was made."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lstm_jax import machine

PACKAGE = Path(machine.__file__).parent
CODE = "from lstm_jax.machine import commit; print(commit())"


def git(*arguments: str, folder: Path) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def other(tmp_path):
    """A repository with nothing to do with ours."""
    git("init", "-q", folder=tmp_path)
    (tmp_path / "file").write_text("x")
    git("add", "file", folder=tmp_path)
    git("commit", "-qm", "other", folder=tmp_path)
    return tmp_path


def test_the_commit_is_that_of_the_package_wherever_the_program_runs(other, monkeypatch):
    here = machine.commit()
    monkeypatch.chdir(other)
    assert machine.commit() == here
    if (PACKAGE.parent / ".git").exists():
        assert here is not None
        assert here.removesuffix("-dirty") == git("describe", "--always", folder=PACKAGE)


def test_a_package_installed_into_another_repository_has_no_commit(other):
    shutil.copytree(PACKAGE, other / "lstm_jax", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=other, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\n"


def test_without_git_a_record_has_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    record = machine.provenance("a command")
    assert record["commit"] is None
    assert record["command"] == "a command"
