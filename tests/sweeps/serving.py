"""Long use of `lstm-jax serve` in miniature: its memory and its programs stay what they are.

    python -m tests.sweeps.serving [--requests 20000]

A tenth of the requests, of random numbers and lengths of texts, come first; one in fifty asks for
an explanation. After the others the process may hold at most 5 % more memory than it then did, must
have compiled nothing, and must have answered everything.
"""

import asyncio
import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console

from benchmarks.load import Outcome, load, request
from benchmarks.serving import Serving, serving
from lstm_jax.console import Sheet
from tests import small

# By how much memory may grow, as a share.
GROWTH = 0.05
COMPILATIONS = "lstm_jax_compilations"


@dataclass(frozen=True)
class Sweep:
    """How much is asked."""

    requests: int = 20_000
    """Requests in all."""
    clients: int = 8
    """Clients that send them."""
    seed: int = 0
    """Of the texts."""


@dataclass(frozen=True)
class Stand:
    """How a server stands.

    Attributes:
        memory: bytes that it holds.
        compilations: programs that it has compiled.
        statuses: how many answers had each status so far.
        lost: requests without an answer.
    """

    memory: int
    compilations: int
    statuses: Counter[int]
    lost: int


def requests(count: int, seed: int) -> list[bytes]:
    """Requests of random numbers and lengths of texts."""
    rng = np.random.default_rng(seed)

    def text() -> str:
        return " ".join(rng.choice(small.WORDS, int(np.exp(rng.uniform(0, 6)))))

    return [
        request({"text": text()}, "/explain")
        if number % 50 == 0
        else request({"texts": [text() for _ in range(int(np.exp(rng.uniform(0, 3))))]})
        for number in range(count)
    ]


def sweep(server: Serving, options: Sweep) -> Iterator[Stand]:
    """How the server stands after a tenth of the requests, and after all of them."""
    first = options.requests // 10
    drawn = requests(min(2000, options.requests), options.seed)
    statuses: Counter[int] = Counter()
    lost = 0
    for count in (first, options.requests - first):
        numbers = itertools.count()
        outcome: Outcome = asyncio.run(
            load(server.port, drawn, options.clients, lambda n=numbers, c=count: next(n) < c)
        )
        statuses += outcome.statuses
        lost += outcome.lost + outcome.refused
        compiled = int(server.metric(COMPILATIONS))
        yield Stand(server.memory(), compiled, statuses.copy(), lost)


def faults(before: Stand, after: Stand, asked: int) -> list[str]:
    """What is wrong, a line each."""
    found = []
    if after.statuses != {200: asked} or after.lost:
        found.append(f"of {asked} requests, {after.lost} are lost; {dict(after.statuses)}")
    if after.compilations > before.compilations:
        found.append(f"{after.compilations - before.compilations} programs were compiled")
    if after.memory > (1 + GROWTH) * before.memory:
        found.append(f"memory grew by {after.memory / before.memory - 1:.1%}")
    return found


def main() -> None:
    """Runs the sweep and prints a table."""
    options, console = tyro.cli(Sweep, prog="tests.sweeps.serving"), Console()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        small.train(small.CONFIG, small.corpus(), run)
        with serving(run) as server:
            before, after = sweep(server, options)
    rows = [
        (
            name,
            f"{sum(stand.statuses.values()):,}",
            f"{stand.memory / 2**20:.1f}",
            f"{stand.compilations}",
        )
        for name, stand in (("warm", before), ("at the end", after))
    ]
    console.print(Sheet(("", "requests", "MiB", "programs"), rows))
    wrong = faults(before, after, options.requests)
    print("\n".join(wrong) or f"memory grew by {after.memory / before.memory - 1:.2%}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
