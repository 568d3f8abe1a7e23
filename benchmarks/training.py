"""Training the article's model on IMDB, beside other libraries': `python -m benchmarks.training`.

The article's vocabulary, padding and model, Adam with clipping, the same initial weights; each
library with its own loop and its own reading of the data. Then ours with true lengths in buckets,
which is the same model on the same reviews without the zeros in front.

A turn is a sixteenth of an epoch, so that every library goes through the data once, interleaved.
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

OURS, BUCKETS = "lstm_jax", "lstm_jax, buckets"
PEERS = {
    OURS: ("lstm_jax", {}),
    BUCKETS: ("lstm_jax", {}),
    "PyTorch": ("torch", {}),
    "Keras, TensorFlow": ("keras", {"KERAS_BACKEND": "tensorflow"}),
    "Keras, JAX": ("keras", {"KERAS_BACKEND": "jax"}),
}


@dataclass(frozen=True)
class Benchmark:
    """What to time, and how often."""

    data: str = "imdb"
    """As for `experiments.imdb`."""
    batch_sizes: tuple[int, ...] = (32, 64)
    """Reviews a step; the article's is 32, and 64 is that of our preset."""
    turns: int = 16
    """The parts that an epoch is cut into."""


def main() -> None:
    """Times an epoch of every library and writes the record."""
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.training"), Console()
    peers = [Peer(name, *how) for name, how in PEERS.items()]
    results: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepare(folder, benchmark.data)
            reviews = len(Data.load(folder).train_ids)
            for batch_size in benchmark.batch_sizes:
                steps = -(-reviews // (batch_size * benchmark.turns))
                settings = {"folder": folder, "batch_size": batch_size, "steps": steps}
                jobs = [
                    Job(peer, "training", {**settings, "lengths": peer.name == BUCKETS}, 1e-3)
                    for peer in peers
                ]
                found = measure(jobs, rounds=benchmark.turns, warm_up=0)
                for figures in found.values():
                    figures["reviews_per_second"] = steps * batch_size / figures["median_seconds"]
                    figures["epoch_seconds"] = reviews / figures["reviews_per_second"]
                results[f"batches of {batch_size}"] = found
                console.print(table(f"batches of {batch_size}", found))
    finally:
        for peer in peers:
            peer.close()
    write_record("training", {"epochs": results}, console)


def table(title: str, found: dict[str, dict[str, Any]]) -> Table:
    """A line for each library."""
    lines = Table("", "reviews/s", "epoch s", "times ours", "with buckets", title=title)
    for name, figures in found.items():
        lines.add_row(
            name,
            f"{figures['reviews_per_second']:.0f}",
            f"{figures['epoch_seconds']:.1f}",
            *(
                f"{figures['epoch_seconds'] / found[o]['epoch_seconds']:.2f}"
                for o in (OURS, BUCKETS)
            ),
        )
    return lines


if __name__ == "__main__":
    run_command(main)
