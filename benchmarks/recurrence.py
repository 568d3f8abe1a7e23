"""The LSTM alone, beside other libraries': `python -m benchmarks.recurrence`.

Forward, and forward + backward with the gradients of weights and inputs, float32 unless a name says
otherwise. How many times as long each library takes as this one; the share of the processor's peak
that this one reaches, which is measured in the same minutes as one large matrix product.
"""

from dataclasses import dataclass
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from benchmarks.cases import CASES
from benchmarks.harness import Job, Peer, measure, write_record
from lstm_jax.cli import reporting_errors

OURS = "lstm_jax"
PEERS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    OURS: ("lstm_jax", {}, {}),
    "lstm_jax xla": ("lstm_jax", {}, {"implementation": "xla"}),
    "lstm_jax bfloat16": ("lstm_jax", {}, {"precision": "bfloat16"}),
    "PyTorch": ("torch", {}, {}),
    "PyTorch packed": ("torch", {}, {"packed": True}),
    "PyTorch bfloat16": ("torch", {}, {"bfloat16": True}),
    "Flax": ("flax", {}, {}),
    "Keras, TensorFlow": ("keras", {"KERAS_BACKEND": "tensorflow"}, {}),
    "Keras, JAX": ("keras", {"KERAS_BACKEND": "jax"}, {}),
    "ONNX Runtime": ("onnx", {}, {}),
}
PEAK = "matrix product"
PEAK_SIZE = 2048


@dataclass(frozen=True)
class Benchmark:
    """What to time, and how often."""

    cases: Positional[tuple[str, ...]] = tuple(CASES)
    """Which sizes; all if none is named."""
    peers: tuple[str, ...] = tuple(PEERS)
    """Which libraries besides lstm_jax."""
    rounds: int = 9
    """How often each has its turn, which lasts about `seconds`."""
    seconds: float = 0.3
    """The length of a turn."""


def main() -> None:
    """Times every case, prints a table for each and writes the record."""
    benchmark = tyro.cli(Benchmark, prog="benchmarks.recurrence")
    console = Console(width=110)
    names = [OURS, *(name for name in benchmark.peers if name != OURS)]
    peers = [Peer(name, *PEERS[name][:2]) for name in names]
    peak = Peer(PEAK, "torch")
    results: dict[str, Any] = {}
    try:
        for case in benchmark.cases:
            results[case] = {}
            for train, what in ((False, "forward"), (True, "forward + backward")):
                jobs = [
                    Job(
                        peer,
                        "recurrence",
                        {"case": case, "train": train, **PEERS[peer.name][2]},
                        tolerance=0.1 if "bfloat16" in peer.name else 1e-4,
                    )
                    for peer in peers
                ]
                jobs.append(Job(peak, "matrix_product", {"size": PEAK_SIZE}))
                found = measure(jobs, rounds=benchmark.rounds, seconds=benchmark.seconds)
                add_rates(found, CASES[case].operations(train))
                results[case][what] = found
                console.print(table(f"{case}: {what}", found))
    finally:
        for peer in [*peers, peak]:
            peer.close()
    write_record("recurrence", {"cases": results}, console)


def add_rates(found: dict[str, dict[str, Any]], operations: int) -> None:
    """Adds each peer's ratio to ours and its share of the measured peak."""
    peak = 2 * PEAK_SIZE**3 / found[PEAK]["median_seconds"]
    ours = found[OURS]["median_seconds"]
    for name, figures in found.items():
        if name == PEAK:
            figures["operations_per_second"] = peak
            continue
        figures["times_ours"] = figures["median_seconds"] / ours
        figures["share_of_peak"] = operations / figures["median_seconds"] / peak


def table(title: str, found: dict[str, dict[str, Any]]) -> Table:
    """One case, a line for each library."""
    lines = Table(
        "", "ms", "quartiles", "times ours", "of peak", "compile s", "memory MiB", title=title
    )
    for name, figures in found.items():
        if name == PEAK:
            lines.caption = f"peak: {figures['operations_per_second'] / 1e9:.0f} GFLOP/s"
            continue
        low, high = (1e3 * seconds for seconds in figures["quartile_seconds"])
        lines.add_row(
            name,
            f"{1e3 * figures['median_seconds']:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{figures['times_ours']:.2f}",
            f"{figures['share_of_peak']:.0%}",
            f"{figures['first_seconds']:.1f}",
            f"{figures['memory_bytes'] / 2**20:.0f}",
        )
    return lines


if __name__ == "__main__":
    reporting_errors(main)
