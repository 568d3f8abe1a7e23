"""A run broken off anywhere, and by anything, goes on to the bits of one left alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small
from test_training import TESTS, finished, same_bits, train, weights

from lstm_jax import stops
from lstm_jax.train import evaluation, loop
from lstm_jax.train.report import read_metrics
from lstm_jax.train.step import train_step

__all__ = ["finished"]  # the fixture


@pytest.mark.parametrize("stop_at", [7, 22])
def test_a_run_broken_off_anywhere_goes_on_to_the_same_bits(
    finished, tmp_path, monkeypatch, stop_at
):
    path, result = finished
    count = 0

    def stopping(*arguments):
        nonlocal count
        count += 1
        if count > stop_at:
            raise KeyboardInterrupt
        return train_step(*arguments)

    monkeypatch.setattr(loop, "train_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", small.KEPT_OFTEN)
    monkeypatch.undo()
    resumed = train(tmp_path / "run", small.KEPT_OFTEN, resume=True)
    expected, found = weights(path), weights(tmp_path / "run")
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert resumed.test["loss"] == result.test["loss"]
    timed = ("seconds", "examples_per_second")
    histories = [
        [
            {name: value for name, value in record.items() if name not in timed}
            for record in read_metrics(run / "metrics.jsonl")
        ]
        for run in (path, tmp_path / "run")
    ]
    assert histories[0] == histories[1]


@same_bits
@pytest.mark.parametrize("step", [7, 20, 23], ids=["within", "end", "next"])
def test_a_run_told_to_stop_saves_that_step_and_goes_on_to_the_same_bits(
    finished, tmp_path, monkeypatch, step
):
    path, _ = finished

    def stopping(*arguments):
        state, of_step = train_step(*arguments)
        if int(state.step) == step:
            monkeypatch.setattr(stops._process, "asked", signal.SIGTERM)
        return state, of_step

    monkeypatch.setattr(loop, "train_step", stopping)
    with pytest.raises(stops.Stopped):
        train(tmp_path / "run", small.KEPT_OFTEN)
    assert str(step) in {entry.name for entry in (tmp_path / "run" / "checkpoints").iterdir()}
    monkeypatch.undo()
    train(tmp_path / "run", small.KEPT_OFTEN, resume=True)
    expected, found = weights(path), weights(tmp_path / "run")
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert epochs_of(tmp_path / "run") == epochs_of(path)


@same_bits
def test_a_run_broken_off_while_it_validates_validates_again(finished, tmp_path, monkeypatch):
    path, _ = finished
    predict, count = evaluation.predict_logits, 0

    def stopping(*arguments):
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return predict(*arguments)

    monkeypatch.setattr(evaluation, "predict_logits", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", small.KEPT_OFTEN)
    monkeypatch.undo()
    assert [record["epoch"] for record in epochs_of(tmp_path / "run")] == [1]
    train(tmp_path / "run", small.KEPT_OFTEN, resume=True)
    expected, found = weights(path), weights(tmp_path / "run")
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert epochs_of(tmp_path / "run") == epochs_of(path)


def epochs_of(run: Path) -> list[dict]:
    """What a run wrote of its epochs, but for the times."""
    return [
        {k: v for k, v in record.items() if k not in ("seconds", "examples_per_second")}
        for record in read_metrics(run / "metrics.jsonl")
        if "epoch" in record
    ]


KILLED = """
import sys, time
from pathlib import Path
import small
from lstm_jax.train import loop
from lstm_jax.train.step import train_step
count = 0
def slow(*arguments):
    global count
    count += 1
    if count > 13:
        print("ready", flush=True)
        time.sleep(60)
    return train_step(*arguments)
loop.train_step = slow
small.train(small.KEPT_OFTEN, small.corpus(), Path(sys.argv[1]))
"""


@same_bits
def test_a_killed_process_goes_on_to_the_same_bits(finished, tmp_path):
    path, _ = finished
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "run")],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready"):
            break
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert not (tmp_path / "run" / "result.json").exists()
    train(tmp_path / "run", small.KEPT_OFTEN, resume=True)
    expected, found = weights(path), weights(tmp_path / "run")
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
