"""The LSTM alone, beside other libraries': `python -m benchmarks.recurrence`.

Forward, and forward + backward with the gradients of weights and inputs, float32 unless a name says
otherwise. How many times as long each library takes as this one; the share of the processor's peak
that this one reaches, which is measured in the same minutes as one large matrix product.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

from dataclasses import asdict, dataclass
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from benchmarks.cases import CASES
from benchmarks.harness import Job, Peer, measure, write_record
from lstm_jax.cli.program import run_command
from lstm_jax.machine import MALLOC_SETTINGS

OURS = "lstm_jax"
# What `lstm_jax.tune_malloc()` asks of glibc, for a library that does not ask itself.
KEEP = {name: str(value) for name, _, value in MALLOC_SETTINGS}
PEERS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    OURS: ("lstm_jax", {}, {}),
    "lstm_jax xla": ("lstm_jax", {}, {"implementation": "xla"}),
    "lstm_jax bfloat16": ("lstm_jax", {}, {"precision": "bfloat16"}),
    "PyTorch": ("torch", {}, {}),
    "PyTorch, memory kept": ("torch", KEEP, {}),
    "PyTorch packed": ("torch", {}, {"packed": True}),
    "PyTorch bfloat16": ("torch", {}, {"bfloat16": True}),
    "Flax": ("flax", {}, {}),
    "Keras, TensorFlow": ("keras", {"KERAS_BACKEND": "tensorflow"}, {}),
    "Keras, JAX": ("keras", {"KERAS_BACKEND": "jax"}, {}),
    "ONNX Runtime": ("onnx", {}, {}),
}
# The peak is that of the better of two libraries; of 512 to 3,072 this size was the fastest.
PEAKS = {"matrix product, PyTorch": "torch", "matrix product, XLA": "lstm_jax"}
PEAK_SIZE = 1024
PEAK_OPERATIONS = 2 * PEAK_SIZE**3


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
    peaks = [Peer(name, module) for name, module in PEAKS.items()]
    results: dict[str, Any] = {}
    try:
        for case in benchmark.cases:
            results[case] = {}
            for train, what in ((False, "forward"), (True, "forward + backward")):
                jobs = [
                    Job(
                        peer,
                        "recurrence",
                        {"case": asdict(CASES[case]), "train": train, **PEERS[peer.name][2]},
                        tolerance=0.1 if "bfloat16" in peer.name else 1e-4,
                    )
                    for peer in peers
                ]
                jobs += [Job(peak, "matrix_product", {"size": PEAK_SIZE}) for peak in peaks]
                found = measure(jobs, rounds=benchmark.rounds, seconds=benchmark.seconds)
                add_rates(found, CASES[case].operations(train))
                results[case][what] = found
                console.print(table(f"{case}: {what}", found))
    finally:
        for peer in [*peers, *peaks]:
            peer.close()
    write_record("recurrence", {"cases": results}, console)


def add_rates(found: dict[str, dict[str, Any]], operations: int) -> None:
    """Adds each peer's ratio to ours and its share of the measured peak."""
    fastest = min(found[name]["median_seconds"] for name in PEAKS)
    ours = found[OURS]["median_seconds"]
    for figures in found.values():
        figures["times_ours"] = figures["median_seconds"] / ours
        figures["share_of_peak"] = (
            operations / figures["median_seconds"] * fastest / PEAK_OPERATIONS
        )
    for name in PEAKS:
        found[name]["share_of_peak"] = fastest / found[name]["median_seconds"]


def table(title: str, found: dict[str, dict[str, Any]]) -> Table:
    """One case, a line for each library."""
    lines = Table(
        "", "ms", "quartiles", "times ours", "of peak", "compile s", "memory MiB", title=title
    )
    for name, figures in found.items():
        if name in PEAKS:
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
    fastest = min(found[name]["median_seconds"] for name in PEAKS)
    lines.caption = f"peak: {PEAK_OPERATIONS / fastest / 1e9:.0f} GFLOP/s"
    return lines


if __name__ == "__main__":
    run_command(main)
