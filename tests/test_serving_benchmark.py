"""The load generator of `benchmarks.serving`, and the sweep of long use, on a small run."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from serving import TEXTS, trained

from benchmarks import load, serving
from tests.sweeps import serving as long_use


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server in a process of its own."""
    with serving.serving(trained(tmp_path_factory)) as server:
        yield server


def test_the_trials_lose_nothing_and_their_figures_agree(server, monkeypatch):
    monkeypatch.setattr(serving, "CLIENTS", (1, 4))
    requests = [load.request({"text": text}) for text in TEXTS]
    record = asyncio.run(serving.trials(server, requests, 0.3))
    for found in (*record["clients"].values(), record["beside 8 hostile clients"]):
        assert found["requests"] > 3
        assert 0 < found["median_seconds"] <= found["p99_seconds"]
        assert found["requests_per_second"] == pytest.approx(found["requests"] / 0.3, rel=0.9)
    hostile = record["beside 8 hostile clients"]
    assert hostile["lost"] == 0
    assert {"400", "413", "421"} <= set(hostile["hostile"])
    assert not {"no connection", "no answer"} & set(hostile["hostile"])
    assert record["memory_bytes"] > 1 << 20


def test_long_use_is_measured_and_faults_are_told(server):
    options = long_use.Sweep(requests=200, clients=4)
    before, after = long_use.sweep(server, options)
    assert (after.statuses, after.lost) == ({200: 200}, 0)
    assert before.statuses == {200: 20}
    assert before.memory > 1 << 20
    assert before.compilations > 3
    worse = replace(
        after,
        memory=int(before.memory * 1.06),
        compilations=before.compilations + 2,
        statuses=Counter({200: 199, 500: 1}),
    )
    assert long_use.faults(before, worse, 200) == [
        "of 200 requests, 0 are lost; {200: 199, 500: 1}",
        "2 programs were compiled",
        "memory grew by 6.0%",
    ]
    good = replace(before, statuses=Counter({200: 200}))
    assert long_use.faults(before, good, 200) == []


def test_a_stop_under_load_loses_nothing(server):
    """The last test of the server."""
    requests = [load.request({"text": text}) for text in TEXTS]
    found = asyncio.run(serving.stopped(server, requests, seconds=0.5))
    assert found["status"] == 143
    assert found["lost"] == 0
    assert found["answered_by_server"] == found["answered_to_clients"] > 64
    assert found["statuses"] == {"200": found["answered_to_clients"]}
    assert "0 lost" in serving.sentence(found)
