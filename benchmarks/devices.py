"""Training on several devices: what it costs here, and on paper: `python -m benchmarks.devices`.

Here: one step of `article` and of `bilstm`, in turns, by one process; by one process that sees two
devices on the same cores; and by two processes of a core each, which talk over sockets. On paper:
what the devices of a larger machine would tell each other, from the parameters of the presets.

Source of the formula: Patarasuk & Yuan (2009), "Bandwidth optimal all-reduce algorithms for
clusters of workstations": in a ring of n devices each sends 2 (n - 1) / n of the bytes, in
2 (n - 1) steps.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import json
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write_record
from experiments.imdb.command import PRESETS
from lstm_jax.cli.program import run_command
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.text import NGrams
from lstm_jax.train.config import Config
from lstm_jax.train.losses import Classification

WAYS = {
    "one process": {"devices": 1, "rows": 1.0},
    "two devices in one process": {"devices": 2, "rows": 1.0},
    "two processes, a core each": {"processes": 2, "rows": 1.0},
    "one process, one core, half of the rows": {"processes": 1, "rows": 0.5},
}


@dataclass(frozen=True)
class Benchmark:
    """How often."""

    rounds: int = 3
    """How often each way has its turn."""
    seconds: float = 1.0
    """How long a turn is, without compilation."""


# The presets on paper, and how long a step of one H200 takes, of the rows of the preset's batch:
# experiments/results/h200.json has 7,970 and 6,157 reviews a second.
PAPER = ("article", "bilstm", "adversarial", "finetuned")
STEPS = {"article": 64 / 7970, "bilstm": 32 / 6157}


class Machine(NamedTuple):
    """Devices in a ring, as their data sheets and these assumptions have them."""

    devices: int
    bytes_per_second: float  # that a device sends to the next
    start_seconds: float  # before the first byte of each step of the ring arrives


MACHINES = {
    # 900 GB/s in both directions together (NVIDIA's data sheet of the H100 SXM). 20 µs for all 14
    # steps is an assumption.
    "8 H100": Machine(8, 450e9, 20e-6 / 14),
    # 1,600 Gbit/s over a chip's four links (Google's page of the v5e); here one link in one
    # direction. 1 µs is an assumption.
    "TPU v5e-64": Machine(64, 50e9, 1e-6),
    # 50 µs is an assumption.
    "2 machines, 10 Gbit/s": Machine(2, 1.25e9, 50e-6),
}


def transfer_seconds(machine: Machine, size: float) -> float:
    """How long the ring takes to add `size` bytes of every device and give all the sum."""
    others = machine.devices - 1
    sent = 2 * others / machine.devices * size
    return sent / machine.bytes_per_second + 2 * others * machine.start_seconds


class Parameters(NamedTuple):
    """How many parameters a classifier has."""

    all: int
    of_tables: int  # of words and n-grams

    @property
    def gradient_bytes(self) -> int:
        """In float32; JAX adds those of the tables whole, whichever rows a batch has read."""
        return 4 * self.all


def classifier(config: Config) -> TextClassifier:
    """A classifier with as many words and n-grams as a preset allows."""
    size = config.text.vocabulary_size
    keys = [np.arange(count, dtype=np.int32) for count in config.text.ngrams]
    return TextClassifier(config.model, size, 1, NGrams(size, keys) if keys else None)


def parameters(config: Config) -> Parameters:
    """Those of a preset's classifier."""
    shapes = jax.eval_shape(Classification(classifier(config)).init, jax.random.key(0))
    counts = {
        jax.tree_util.keystr(name): leaf.size
        for name, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    }
    tables = sum(count for name, count in counts.items() if "embedding" in name)
    return Parameters(sum(counts.values()), tables)


def main() -> None:
    """Times every way and writes the record."""
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.devices"), Console()
    taken: dict[str, dict[str, list[float]]] = {}
    for _ in range(benchmark.rounds):
        for way, settings in WAYS.items():
            for preset, seconds in timed(settings, benchmark.seconds).items():
                taken.setdefault(preset, {}).setdefault(way, []).extend(seconds)
    results = {
        preset: {
            way: {"median_seconds": statistics.median(each), "calls": len(each)}
            for way, each in by_way.items()
        }
        for preset, by_way in taken.items()
    }
    table = Table("ms a step", *results)
    for way in WAYS:
        cells = (f"{1e3 * of[way]['median_seconds']:.1f}" for of in results.values())
        table.add_row(way, *cells)
    console.print(table)
    write_record("devices", {"steps": results}, console)


def timed(settings: Mapping[str, Any], seconds: float) -> dict[str, Sequence[float]]:
    """The seconds of each step, by preset, as the first of the processes measured them.

    Raises:
        RuntimeError: with the last words of a process that failed.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    count = settings.get("processes", 0)  # 0: one that has all cores
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    if "devices" in settings:
        flag = f"--xla_force_host_platform_device_count={settings['devices']}"
        environment["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}"
    if count > 1:
        environment |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(count)}
    command = [sys.executable, "-m", "benchmarks.devices_step"]
    command += [str(seconds), str(settings["rows"])]
    processes = [
        subprocess.Popen(
            [*command, *([str(number)] if count else [])],
            env=environment | ({"JAX_PROCESS_ID": str(number)} if count > 1 else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        for number in range(max(count, 1))
    ]
    try:
        outputs = [process.communicate() for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, complaints) in zip(processes, outputs, strict=True):
        if process.returncode:
            raise RuntimeError(f"a process ended with {process.returncode}: {complaints[-1000:]}")
    return json.loads(outputs[0][0].splitlines()[-1])


def on_paper() -> dict[str, tuple[Parameters, dict[str, float]]]:
    """By preset: its parameters, and the seconds that their gradients take on each machine."""
    found = {}
    for name in PAPER:
        counted = parameters(PRESETS[name].config)
        seconds = {
            machine: transfer_seconds(how, counted.gradient_bytes)
            for machine, how in MACHINES.items()
        }
        found[name] = (counted, seconds)
    return found


if __name__ == "__main__":
    run_command(main)
