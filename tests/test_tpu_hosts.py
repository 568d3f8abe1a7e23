"""The hosts of a Cloud TPU find each other by JAX's own means; other machines are not asked.

There is no TPU here: what Google's metadata server would say is put in its place, in the form that
JAX reads.
"""

import os
import socket
import subprocess
import sys

import jax
import pytest
import requests
from jax._src.clusters import cloud_tpu_cluster

from lstm_jax.train.processes import connect

HOST = """
import os, sys
import jax
from jax._src.clusters import cloud_tpu_cluster
from lstm_jax.train.processes import any_of, connect

ADDRESSES = "worker-0:0:localhost,worker-1:1:localhost"
SAID = {"agent-worker-number": sys.argv[1], "worker-network-endpoints": ADDRESSES, "tpu-env": ""}
del os.environ["TPU_SKIP_MDS_QUERY"]
cloud_tpu_cluster.running_in_cloud_tpu_vm = True
cloud_tpu_cluster.get_metadata = lambda key: (SAID[key], 200)
connect()
print(jax.process_index(), jax.process_count(), any_of(sys.argv[1] == "1"))
"""
UNSAID = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
    "SLURM_STEP_NODELIST",
    "OMPI_COMM_WORLD_SIZE",
    "TPU_WORKER_HOSTNAMES",
    "TPU_PROCESS_ADDRESSES",
    "MEGASCALE_COORDINATOR_ADDRESS",
    "MEGASCALE_NUM_SLICES",
    "MEGASCALE_SLICE_ID",
)


@pytest.fixture(autouse=True)
def _nothing_is_told(monkeypatch) -> None:
    for name in UNSAID:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The addresses that are asked for anything; none answers."""
    addresses: list[str] = []

    def get(url: str, **_: object) -> None:
        addresses.append(url)
        raise requests.ConnectionError("nobody there")

    monkeypatch.setattr(requests, "get", get)
    return addresses


@pytest.fixture
def tpu(monkeypatch) -> None:
    """A machine on which JAX has found the chips of a TPU."""
    monkeypatch.delenv("TPU_SKIP_MDS_QUERY", raising=False)
    monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)


def says(monkeypatch, endpoints: str) -> None:
    """The metadata server names these hosts."""
    said = {"agent-worker-number": "0", "worker-network-endpoints": endpoints, "tpu-env": ""}
    monkeypatch.setattr(cloud_tpu_cluster, "get_metadata", lambda key: (said[key], 200))


def test_an_ordinary_machine_asks_no_metadata_server(asked, monkeypatch):
    connect()
    monkeypatch.delenv("TPU_SKIP_MDS_QUERY", raising=False)  # an older JAX does not set it
    connect()
    assert asked == []
    assert not jax.distributed.is_initialized()


@pytest.mark.usefixtures("tpu")
def test_hosts_of_gke_are_known_by_variables_alone(asked, monkeypatch):
    for name in ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "localhost")
            connect()
    assert asked == []
    assert not jax.distributed.is_initialized()


@pytest.mark.usefixtures("tpu")
def test_a_tpu_of_one_host_trains_alone(monkeypatch):
    says(monkeypatch, "worker-0")
    connect()
    assert not jax.distributed.is_initialized()


@pytest.mark.usefixtures("tpu")
@pytest.mark.parametrize("variable", ["", "TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES"])
def test_one_of_several_hosts_joins_the_others(variable, monkeypatch):
    if variable:
        monkeypatch.setenv(variable, "worker-0,worker-1")
    else:
        says(monkeypatch, "worker-0,worker-1")
    told: list[dict] = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **given: told.append(given))
    connect()
    assert len(told) == 1
    assert "coordinator_address" not in told[0]  # JAX finds it
    jax.config.update("jax_cpu_enable_async_dispatch", True)  # as it was


@pytest.mark.usefixtures("tpu")
def test_a_metadata_server_that_does_not_answer_is_one_line(asked):
    with pytest.raises(ConnectionError, match=r"\(nobody there\); .* set TPU_SKIP_MDS_QUERY=1$"):
        connect()
    assert len(asked) == 1


def test_two_hosts_named_by_the_metadata_server_compute_together():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", HOST, str(number)],
            env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COORDINATOR_PORT": port},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        for number in range(2)
    ]
    try:
        outputs = [host.communicate(timeout=120) for host in hosts]
    finally:
        for host in hosts:
            host.kill()
    for number, (said, errors) in enumerate(outputs):
        assert said.splitlines()[-1:] == [f"{number} 2 True"], errors
