"""The benchmarks' own parts, and what is timed: the same numbers from every implementation."""

import importlib.util
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jax import default_backend

from benchmarks.cases import CASES, IMDB_LENGTHS, Case, Problem
from benchmarks.harness import Job, Peer, measure
from lstm_jax import implementations
from lstm_jax.kernels import gpu

FLOAT32 = np.dtype("float32")
TINY = Case(3, 7, 4, 5, bidirectional=True, ragged=True)
needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="no PyTorch")


@pytest.fixture
def peers():
    opened = []

    def open_peer(name: str, module: str) -> Peer:
        opened.append(Peer(name, module))
        return opened[-1]

    yield open_peer
    for peer in opened:
        peer.close()


def job(peer: Peer, train: bool, case: Case = TINY, **arguments) -> Job:
    return Job(peer, "recurrence", {"case": asdict(case), "train": train, **arguments})


def test_operations_are_those_of_the_matrix_products():
    case = Case(2, 3, 5, 7, bidirectional=True)
    step = 2 * 5 * 28 + 2 * 7 * 28  # a multiplication and an addition for each weight
    assert case.operations(train=False) == 2 * 2 * 3 * step
    assert case.operations(train=True) == 3 * case.operations(train=False)
    ragged = Case(32, 500, 5, 7, ragged=True)
    assert ragged.operations(train=False) == sum(IMDB_LENGTHS) * step


def test_a_problem_is_the_same_in_every_process_and_zero_in_the_padding():
    first, second = Problem.of(TINY), Problem.of(TINY)
    np.testing.assert_array_equal(first.inputs, second.inputs)
    assert first.lengths is not None
    padding = np.arange(TINY.time) >= first.lengths[:, None]
    assert padding.any()
    assert not first.inputs[padding].any()
    assert not first.cotangent[padding].any()


@needs_torch
@pytest.mark.parametrize("train", [False, True], ids=["forward", "both"])
def test_peers_agree_and_sleep_until_their_turn(peers, train):
    ours, torch = peers("ours", "lstm_jax"), peers("PyTorch", "torch")
    jobs = [job(ours, train), job(torch, train, packed=True)]
    found = measure(jobs, rounds=2, calls=3)
    assert found["PyTorch"]["difference"] < 1e-4
    assert [figures["calls"] for figures in found.values()] == [6, 6]
    assert all(0 < f["median_seconds"] <= f["p99_seconds"] for f in found.values())
    for peer in (ours, torch):
        state = Path(f"/proc/{peer.process_id}/stat")
        patience = time.monotonic() + 10  # a signal takes a moment to arrive
        while state.exists() and state.read_text().split(")")[1].split()[0] != "T":
            assert time.monotonic() < patience
            time.sleep(0.01)


@needs_torch
def test_results_that_differ_are_an_error(peers):
    ours, torch = peers("ours", "lstm_jax"), peers("PyTorch", "torch")
    other = Case(3, 7, 4, 5, bidirectional=True)
    with pytest.raises(ValueError, match=r"PyTorch: outputs differs .* 1e-04 is tolerated"):
        measure([job(ours, False), job(torch, False, case=other)], rounds=1)


def test_what_a_peer_raises_is_told(peers):
    with pytest.raises(RuntimeError, match="implementation must be one of"):
        measure([job(peers("ours", "lstm_jax"), False, implementation="magic")], rounds=1)


def test_a_library_that_is_missing_is_told(peers):
    with pytest.raises(RuntimeError, match=r"(?s)pip install -e '.\[bench\]'.*No module named"):
        measure([job(peers("nobody", "nobody"), False)], rounds=1)


@pytest.mark.parametrize("name", CASES)
def test_the_sizes_that_are_timed_give_the_same_on_every_implementation(name):
    from benchmarks.peers import lstm_jax as peer

    recurrence: Any = peer.recurrence
    case = asdict(CASES[name])
    for train in (False, True):
        results = [
            recurrence(case, train, implementation)()
            for implementation, state in implementations().items()
            if state == "available"
            and (implementation != "cpu" or default_backend() == "cpu")
            and (implementation != "gpu" or not gpu.unsupported(FLOAT32, CASES[name].hidden))
        ]
        for key, expected in results[0].items():
            scale = np.abs(expected).max()
            for found in results[1:]:
                np.testing.assert_allclose(found[key], expected, atol=1e-4 * scale)


def test_what_is_timed_of_training_and_prediction_runs(tmp_path):
    """On the built-in corpus, with our own library; the peers follow the same files."""
    from benchmarks.data import prepare
    from benchmarks.peers import lstm_jax as peer

    prepare(str(tmp_path), "builtin")
    for lengths in (False, True):
        run = peer.training(str(tmp_path), batch_size=2, steps=2, lengths=lengths)
        assert np.isfinite(run()["logits"]).all()
