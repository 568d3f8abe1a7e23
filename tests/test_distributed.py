"""Training in several processes, which talk over sockets as they would on several machines."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import small

from lstm_jax.predictor import load
from lstm_jax.train.processes import Distributed, connect

SIZES = {
    "text.vocabulary-size": 60,
    "text.max-length": 24,
    "text.cooccurrence-window": 0,
    "model.embedding-size": 8,
    "model.hidden-size": 8,
    "model.implementation": "xla",
    "optimizer.schedule": "constant",
    "optimizer.warmup-steps": 0,
    "train.batch-size": 24,
    "train.buckets": 1,
    "train.validation-fraction": 0.25,
    "train.log-every": 1,
    "train.patience": 0,
}
OPTIONS = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]
TIMEOUT = 120  # beside other programs, one training took more than 40


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A file whose last batch is not full, for any number of processes."""
    folder = tmp_path_factory.mktemp("data")
    corpus = small.corpus(train=101, test=37)
    assert corpus.test is not None
    for name, part in (("train", corpus.train), ("test", corpus.test)):
        rows = [
            json.dumps({"text": text, "label": corpus.class_names[label]})
            for text, label in zip(part.texts, part.labels.tolist(), strict=True)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def start(data: Path, run: Path, processes: int, *options: str) -> list[subprocess.Popen]:
    """The processes of a training, the first one first."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "lstm_jax", "train", str(data / "train.jsonl"), str(run)]
    command += ["--test", str(data / "test.jsonl"), *OPTIONS, *options]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    if processes > 1:
        environment |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(processes)}
    return [
        subprocess.Popen(
            command,
            env=environment | ({"JAX_PROCESS_ID": str(number)} if processes > 1 else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]


def end(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """The status and the output of each."""
    try:
        outputs = [process.communicate(timeout=TIMEOUT) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        (process.returncode, re.sub(r"(?m)^\[Gloo\].*\n", "", said), errors)
        for process, (said, errors) in zip(processes, outputs, strict=True)
    ]


def trained(data: Path, run: Path, processes: int, *options: str) -> Path:
    """A finished run; only the first process says anything."""
    (status, said, errors), *others = end(start(data, run, processes, *options))
    assert status == 0, errors
    assert "accuracy" in said
    assert [(status, said) for status, said, _ in others] == [(0, "")] * len(others)
    return run


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory) -> Path:
    """Four epochs in one process."""
    run = tmp_path_factory.mktemp("alone") / "run"
    return trained(data, run, 1, "--train.epochs", "4")


def assert_same(run: Path, other: Path) -> None:
    """Two runs have the same losses, figures and weights, but for the order of sums."""
    weights = [load(each).params for each in (run, other)]
    for a, b in zip(*(jax.tree.leaves(each) for each in weights), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    of_both = []
    for each in (run, other):
        lines = [json.loads(line) for line in (each / "metrics.jsonl").read_text().splitlines()]
        of_both.append([line["loss"] for line in lines if "loss" in line])
    np.testing.assert_allclose(*of_both, rtol=0, atol=1e-5)
    results = [json.loads((each / "result.json").read_text()) for each in (run, other)]
    for part in ("validation", "test"):
        figures = [result[part] for result in results]
        assert figures[0].keys() == figures[1].keys()
        for name, value in figures[0].items():
            assert figures[1][name] == pytest.approx(value, abs=1e-4), name
    assert [sum(map(sum, result["confusion"])) for result in results] == [37, 37]


def test_two_processes_train_what_one_does_and_write_one_folder(data, alone, tmp_path):
    run = trained(data, tmp_path / "run", 2, "--train.epochs", "4")
    assert_same(run, alone)
    files = {path.name for path in run.iterdir()} - {"checkpoints"}
    of_one = {path.name for path in alone.iterdir()} - {"checkpoints"}
    kinds = [{name.partition(".tfevents")[0] for name in each} for each in (files, of_one)]
    assert kinds[0] == kinds[1]
    assert len(files) == len(of_one)


def test_four_processes_begin_and_one_goes_on_and_two_end(data, alone, tmp_path):
    run = trained(data, tmp_path / "run", 4, "--train.epochs", "1")
    trained(data, run, 1, "--train.epochs", "2", "--resume")
    trained(data, run, 2, "--train.epochs", "4", "--resume")
    assert_same(run, alone)


@pytest.mark.parametrize("killed", [1])  # 0 ends alike, and takes half a minute more
def test_a_killed_process_ends_the_training_and_the_resumed_one_is_the_same(
    killed, data, alone, tmp_path
):
    run = tmp_path / "run"
    processes = start(data, run, 2, "--train.epochs", "4", "--train.checkpoint-every", "1")
    until = time.monotonic() + TIMEOUT
    while not (run / "checkpoints" / "1").exists() and time.monotonic() < until:
        time.sleep(0.02)
    processes[killed].kill()
    survivor = end(processes)[1 - killed]
    # Where a thread of gloo or of JAX notices it first, the process is aborted with their message.
    assert survivor[0] in (2, -signal.SIGABRT)
    if survivor[0] == 2:
        assert "another process of the training has ended" in survivor[2].splitlines()[-1]
        assert "--resume goes on" in survivor[2].splitlines()[-1]
    trained(data, run, 2, "--train.epochs", "4", "--train.checkpoint-every", "1", "--resume")
    assert_same(run, alone)


def test_a_folder_that_one_process_refuses_is_refused_by_all(data, alone):
    for status, _, errors in end(start(data, alone, 2, "--train.epochs", "4")):
        assert status == 2
        assert "holds a finished run" in errors.splitlines()[-1]


def test_what_is_told_in_part_or_wrong_is_refused(monkeypatch):
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        monkeypatch.delenv(name, raising=False)
    connect()  # nothing is told
    with pytest.raises(ValueError, match=r"^distributed.num_processes must be given with"):
        connect(Distributed(coordinator_address="localhost:1"))
    with pytest.raises(ValueError, match=r"process_id must be from 0 .* got 2 of 2"):
        connect(Distributed("localhost:1", num_processes=2, process_id=2))
    with pytest.raises(ValueError, match=r"coordinator_address must be HOST:PORT, .* got 'here'"):
        connect(Distributed("here", num_processes=2, process_id=0))
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(ValueError, match="JAX_NUM_PROCESSES must be a whole number, got 'two'"):
        connect(Distributed("localhost:1", process_id=0))
