"""A training in many processes, on one machine or many: what they agree on, and which one writes.

Every process runs the same program on the same data. Each computes its rows of every batch, JAX
adds the gradients, and so all have the same parameters. The first process writes the run's folder,
which all of them can read. What a process measures or decides by itself it takes from the first, so
that rounding on different machines never lets them part.

Source: JAX's documentation, "Introduction to multi-controller JAX".
"""

import contextlib
import os
import re
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding
from numpy.typing import NDArray
from rich.console import Console

from lstm_jax.checked import Count, Size, checked

# Seconds after which a process that is not heard of counts as dead, and which an ended process
# waits for the others.
_SILENCE, _ENDING = 30, 10
_LONGEST = 1000  # bytes of a refusal
# By these Cloud TPU on GKE names its hosts.
_GKE = ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES")
_VARIABLES = {
    "coordinator_address": "JAX_COORDINATOR_ADDRESS",
    "num_processes": "JAX_NUM_PROCESSES",
    "process_id": "JAX_PROCESS_ID",
}


@checked
class Distributed:
    """Which of how many processes this is; SLURM, Open MPI and Cloud TPU tell it."""

    coordinator_address: str | None = None
    """Host and port of the first process, such as 10.0.0.1:1234, in a training of many processes;
    or the variable JAX_COORDINATOR_ADDRESS."""
    num_processes: Size | None = None
    """How many there are; or JAX_NUM_PROCESSES."""
    process_id: Count | None = None
    """Which one this is, from 0; or JAX_PROCESS_ID."""


def connect(given: Distributed | None = None) -> None:
    """Joins the other processes, if there are to be any; before anything is computed.

    Args:
        given: which of how many; by default what the environment says.

    Raises:
        ValueError: if that is told in part only, or wrong.
        ConnectionError: if the others do not come.
    """
    told = _told(given)
    if told is None and not _in_cluster():
        return
    # On a CPU, programs that run at the same time would mix up what they tell the other processes.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    try:
        jax.distributed.initialize(
            **(told or {}),
            heartbeat_timeout_seconds=_SILENCE,
            shutdown_timeout_seconds=_ENDING,
        )
    except RuntimeError as error:
        raise ConnectionError(
            f"the other processes cannot be reached: {first_line(error)}"
        ) from error


def _told(given: Distributed | None) -> dict[str, Any] | None:
    """What JAX is to be told; None where neither options nor variables say anything."""
    told: dict[str, Any] = {}
    for name, variable in _VARIABLES.items():
        value = getattr(given, name, None)
        told[name] = os.environ.get(variable) if value is None else value
    missing = [name for name, value in told.items() if value is None]
    if len(missing) == len(told):
        return None
    if missing:
        raise ValueError(
            f"distributed.{missing[0]} must be given with the others of {', '.join(_VARIABLES)},"
            " got none"
        )
    if not re.fullmatch(r".+:\d+", told["coordinator_address"]):
        raise ValueError(
            "distributed.coordinator_address must be HOST:PORT, such as 10.0.0.1:1234, got"
            f" {told['coordinator_address']!r}"
        )
    for name in ("num_processes", "process_id"):
        if not str(told[name]).isdecimal():
            raise ValueError(f"{_VARIABLES[name]} must be a whole number, got {told[name]!r}")
        told[name] = int(told[name])
    if told["process_id"] >= told["num_processes"]:
        raise ValueError(
            "distributed.process_id must be from 0 to distributed.num_processes - 1, got"
            f" {told['process_id']} of {told['num_processes']}"
        )
    return told


def connected() -> bool:
    """Whether there are other processes; does not touch a device."""
    return jax.distributed.is_initialized()


def is_first() -> bool:
    """Whether this process writes; true where there is no other."""
    return not connected() or jax.process_index() == 0


def first_console(*, quiet: bool = False) -> Console:
    """Where the first process says something; what the others say goes nowhere."""
    if is_first():
        return Console(quiet=quiet)
    return Console(file=Path(os.devnull).open("w", encoding="utf-8"))


def any_of(value: bool) -> bool:
    """Whether that is so in any process; all of them must ask."""
    if not connected():
        return value
    return bool(np.any(multihost_utils.process_allgather(np.array(value))))


def from_first(tree: Any) -> Any:
    """Arrays and numbers as the first process has them; all of them must ask."""
    return multihost_utils.broadcast_one_to_all(tree) if connected() else tree


def agree(refusal: str) -> None:
    """Goes on only if no process refuses; all of them must ask.

    Args:
        refusal: why this one does, in a line; empty if it does not.

    Raises:
        ValueError: with the first reason.
    """
    said = refusal.encode()[:_LONGEST]
    if connected():
        padded = np.frombuffer(said.ljust(_LONGEST, b"\0"), np.uint8)
        everyone = multihost_utils.process_allgather(padded)
        said = next((text for row in everyone if (text := row.tobytes().rstrip(b"\0"))), b"")
    if said:
        raise ValueError(said.decode(errors="replace"))


def wait_for_all(place: str) -> None:
    """Waits until every process has come to a place."""
    if connected():
        multihost_utils.sync_global_devices(place)


def put(tree: Any, sharding: NamedSharding | Any) -> Any:
    """Puts arrays that every process has onto devices, of which each process has some.

    Args:
        tree: arrays.
        sharding: of each, or a tree of shardings.
    """
    if not connected():
        return jax.device_put(tree, sharding)

    def place(array: Any, sharding: Any) -> jax.Array:
        whole = np.asarray(array)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    if isinstance(sharding, jax.sharding.Sharding):
        return jax.tree.map(lambda array: place(array, sharding), tree)
    return jax.tree.map(place, tree, sharding)


def fetch(arrays: Sequence[jax.Array]) -> list[NDArray[Any]]:
    """Arrays whose rows stand on devices of several processes, whole, in each process."""
    if not connected():
        return jax.device_get(arrays)
    return [np.asarray(multihost_utils.process_allgather(array, tiled=True)) for array in arrays]


@contextlib.contextmanager
def loss_explained() -> Generator[None]:
    """Says that another process is gone, if that is what an error of XLA's in the block means.

    Raises:
        ConnectionError: in a line; or the error itself where there is no other process.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not connected() or "RESOURCE_EXHAUSTED" in str(error):
            raise
        raise ConnectionError(
            f"another process of the training has ended or cannot be reached ({first_line(error)});"
            " --resume goes on from the last checkpoint"
        ) from error


def _in_cluster() -> bool:
    """Whether a scheduler or a TPU has started this process together with others."""
    several = {
        "SLURM_STEP_NODELIST": int(os.environ.get("SLURM_NTASKS", "1")) > 1,
        "OMPI_COMM_WORLD_SIZE": int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1")) > 1,
        **{name: "," in os.environ.get(name, "") for name in _GKE},
    }
    return any(name in os.environ and more for name, more in several.items()) or _in_tpu_slice()


def _in_tpu_slice() -> bool:
    """Whether this machine is one of several hosts of a Cloud TPU; only a TPU's host asks.

    Where there is no TPU, JAX has set `TPU_SKIP_MDS_QUERY` when it was imported. A request to
    Google's metadata server would wait there for seconds.

    Raises:
        ConnectionError: if the metadata server of a TPU's host does not answer.
    """
    if "TPU_SKIP_MDS_QUERY" in os.environ or any(name in os.environ for name in _GKE):
        return False
    from jax._src.clusters import GceTpuCluster  # no public name tells how many hosts there are

    try:
        return GceTpuCluster.is_env_present() and GceTpuCluster.get_process_count() > 1
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            "the metadata server, which names the other hosts of this TPU, does not answer"
            f" ({first_line(error)}); if this host trains alone, set TPU_SKIP_MDS_QUERY=1"
        ) from error


def first_line(error: Exception) -> str:
    """What an error says first, of libraries whose errors have many lines."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
