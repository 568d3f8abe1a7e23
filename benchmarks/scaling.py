"""How time and memory grow: `python -m benchmarks.scaling`.

Forward + backward of one layer as the steps T, the batch B and the units H grow, and a training
step of the article's model as the vocabulary V grows; beside PyTorch. Long sequences also with
`chunk_size`, which keeps only every hundredth state for the backward pass.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.cases import Case
from benchmarks.harness import Job, Peer, measure, write_record
from lstm_jax.cli.program import run_command

OURS, CHUNKS, TORCH = "lstm_jax", "lstm_jax, chunks of 100", "PyTorch"
PEERS = {OURS: "lstm_jax", CHUNKS: "lstm_jax", TORCH: "torch"}
GROWTH = {
    "steps T (B = 32, H = 128)": {T: Case(32, T, 32, 128) for T in (10, 100, 1_000, 10_000)},
    "batch B (T = 200, H = 100)": {B: Case(B, 200, 32, 100) for B in (1, 4, 16, 64, 256)},
    "units H (B = 32, T = 100)": {H: Case(32, 100, H, H) for H in (32, 64, 128, 256, 512)},
    "vocabulary V (B = 32, T = 100)": dict.fromkeys((1_000, 10_000, 100_000)),
}


@dataclass(frozen=True)
class Benchmark:
    """How often, and where the picture goes."""

    rounds: int = 5
    """How often each has its turn."""
    picture: Path = Path("docs/pictures/scaling.png")
    """Where the picture goes."""


def main() -> None:
    """Measures every size, prints a table for each and writes record and picture."""
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.scaling"), Console()
    peers = {name: Peer(name, module) for name, module in PEERS.items()}
    results: dict[str, dict[int, Any]] = {}
    try:
        for title, cases in GROWTH.items():
            results[title] = {}
            for size, case in cases.items():
                jobs = [job(peer, size, case) for peer in peers.values()]
                jobs = [job for job in jobs if job is not None]
                found = measure(jobs, rounds=benchmark.rounds, seconds=0.2)
                results[title][size] = found
            console.print(table(title, results[title]))
    finally:
        for peer in peers.values():
            peer.close()
    draw(results, benchmark.picture)
    write_record("scaling", {"growth": results}, console)


def job(peer: Peer, size: int, case: Case | None) -> Job | None:
    """What a peer does at one size; None if it has no part in it."""
    if case is None:
        return None if peer.name == CHUNKS else Job(peer, "vocabulary", {"size": size})
    arguments: dict[str, Any] = {"case": asdict(case), "train": True}
    if peer.name == CHUNKS:
        if case.time <= 100 or case.time == 200:
            return None
        arguments["chunk_size"] = 100
    # Over 10,000 steps rounding adds up, in the kernels' gradients most.
    return Job(peer, "recurrence", arguments, tolerance=1e-3)


def table(title: str, by_size: dict[int, Any]) -> Table:
    """A line for each size: milliseconds and MiB of each library."""
    names = [name for name in PEERS if any(name in found for found in by_size.values())]
    lines = Table(
        "",
        *(f"{name}, ms" for name in names),
        *(f"{name}, MiB" for name in names),
        title=title,
    )
    for size, found in by_size.items():
        cells = [
            f"{found[name][key] * scale:.{digits}f}" if name in found else ""
            for key, scale, digits in (("median_seconds", 1e3, 1), ("memory_bytes", 2**-20, 0))
            for name in names
        ]
        lines.add_row(f"{size:,}", *cells)
    return lines


def draw(results: dict[str, dict[int, Any]], path: Path) -> None:
    """Time above, memory below; a column for what grows."""
    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(2, len(results), figsize=(14, 6), sharex="col")
    for column, (title, by_size) in zip(axes.T, results.items(), strict=True):
        column[1].set_xlabel(title)
        for number, name in enumerate(PEERS):
            found = {size: of[name] for size, of in by_size.items() if name in of}
            style = {"marker": "o", "color": f"C{number}", "label": name}
            milliseconds = [1e3 * of["median_seconds"] for of in found.values()]
            column[0].loglog(list(found), milliseconds, **style)
            mebibytes = [of["memory_bytes"] / 2**20 for of in found.values()]
            column[1].loglog(list(found), mebibytes, **style)
        column[1].xaxis.set_minor_formatter(ticker.NullFormatter())
    axes[0, 0].set_ylabel("milliseconds")
    axes[1, 0].set_ylabel("memory, MiB")
    axes[0, 0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    pyplot.close(figure)


if __name__ == "__main__":
    run_command(main)
