"""A fork is refused where it would wait for ever; a platform that is not there is one line."""

import os
import subprocess
import sys

import jax
import pytest

FORK = """
import os, sys
import jax, jax.numpy as jnp
from lstm_jax import init_lstm, lstm

def arrays():
    return init_lstm(jax.random.key(0), 3, 4), jnp.ones((2, 5, 3))

def compute(made=None):
    return float(lstm(*(made or arrays()))[0].sum())

made = None
if sys.argv[1] == "after":
    made = arrays()
    compute(made)
child = os.fork()
if child == 0:
    try:
        print("computed", compute(made), flush=True)
    except RuntimeError as error:
        print("refused", error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", compute())
"""

PREDICT_AFTER_FORK = """
import os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import lstm_jax, small

small.train(small.CONFIG, small.corpus(), Path(sys.argv[1]), command="")
run = lstm_jax.load(sys.argv[1])
for work in (lambda: run.predict_proba(["good"]), lambda: lstm_jax.load(sys.argv[1])):
    child = os.fork()
    if child == 0:
        try:
            print("computed", work(), flush=True)
        except RuntimeError as error:
            print("refused", error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
print("parent", run.predict_proba(["good"]).shape)
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def run(program: str, *arguments: str) -> list[str]:
    """The lines that a program prints; what hangs is ended."""
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return [line for line in done.stdout.splitlines() if line.split()[:1] != []]


@needs_fork
def test_a_fork_after_use_is_refused_and_the_parent_goes_on():
    child, parent = run(FORK, "after")
    assert child.startswith("refused lstm_jax was used before this process was forked")
    assert "spawn" in child
    assert parent.startswith("parent ")


@needs_fork
def test_a_fork_before_use_computes_what_its_parent_does():
    child, parent = run(FORK, "before")
    assert child.removeprefix("computed ") == parent.removeprefix("parent ")


@needs_fork
def test_a_run_loaded_before_a_fork_is_refused_in_the_child(tmp_path):
    lines = run(PREDICT_AFTER_FORK, str(tmp_path / "run"), os.path.dirname(__file__))[-3:]
    assert all(line.startswith("refused lstm_jax was used before") for line in lines[:2])
    assert lines[2] == "parent (1, 2)"


def test_a_platform_that_is_not_there_is_one_line_on_the_command_line(tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + "good film,pos\nbad film,neg\n" * 20)
    command = [sys.executable, "-m", "lstm_jax", "train", str(data), str(tmp_path / "run")]
    missing = "tpu" if jax.default_backend() == "gpu" else "cuda"
    environment = os.environ | {"JAX_PLATFORMS": missing}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    expected = "lstm-jax: JAX_PLATFORMS must name platforms that this machine has, got"
    assert done.stderr.splitlines()[-1].startswith(f"{expected} {missing!r}")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
