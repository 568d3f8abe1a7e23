"""Texts in, probabilities out, beside other libraries: `python -m benchmarks.prediction`.

The article's model reading true lengths, with the same weights everywhere, so the probabilities
must agree. All test reviews, tokenizing included; then one text at a time. Each library as its
users do it: PyTorch on packed batches with a dictionary of words, Keras with TextVectorization on
rows of 500 with a mask.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import tempfile
from dataclasses import dataclass
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.data import Data, prepare
from benchmarks.harness import Job, Peer, measure, write_record
from lstm_jax.cli.program import run_command

OURS, BY_LENGTH = "lstm_jax", "PyTorch, sorted by length"
PEERS = {
    OURS: ("lstm_jax", {}),
    "PyTorch": ("torch", {}),
    BY_LENGTH: ("torch", {}),
    "Keras, TensorFlow": ("keras", {"KERAS_BACKEND": "tensorflow"}),
    "Keras, JAX": ("keras", {"KERAS_BACKEND": "jax"}),
}


@dataclass(frozen=True)
class Benchmark:
    """What to time, and how often."""

    data: str = "imdb"
    """As for `experiments.imdb`."""
    batch_size: int = 128
    """Texts computed at a time."""
    rounds: int = 3
    """How often each library predicts all test reviews."""
    texts: int = 500
    """How many single texts each is timed on."""


def main() -> None:
    """Times both and writes the record."""
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.prediction"), Console()
    peers = [Peer(name, *how) for name, how in PEERS.items()]
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepare(folder, benchmark.data)
            texts = len(Data.load(folder).test_texts)
            jobs = []
            for peer in peers:
                arguments: dict[str, Any] = {"folder": folder, "batch_size": benchmark.batch_size}
                if peer.name == BY_LENGTH:
                    arguments["by_length"] = True
                jobs.append(Job(peer, "prediction", arguments, tolerance=1e-3))
            many = measure(jobs, rounds=benchmark.rounds, warm_up=0)
            console.print(table(f"{texts} texts", many, "s", 1))
            jobs = [
                Job(peer, "latency", {"folder": folder}, tolerance=1e-3)
                for peer in peers
                if peer.name != BY_LENGTH
            ]
            one = measure(jobs, rounds=10, calls=benchmark.texts // 10, warm_up=1)
            console.print(table("one text", one, "ms", 1e3))
    finally:
        for peer in peers:
            peer.close()
    write_record("prediction", {"texts": texts, "all texts": many, "one text": one}, console)


def table(title: str, found: dict[str, dict[str, Any]], unit: str, scale: float) -> Table:
    """A line for each library."""
    lines = Table("", f"median {unit}", f"99 % within {unit}", "times ours", title=title)
    for name, figures in found.items():
        lines.add_row(
            name,
            f"{figures['median_seconds'] * scale:.2f}",
            f"{figures['p99_seconds'] * scale:.2f}",
            f"{figures['median_seconds'] / found[OURS]['median_seconds']:.2f}",
        )
    return lines


if __name__ == "__main__":
    run_command(main)
