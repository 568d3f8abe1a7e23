"""Times peers side by side: a process for each, asleep while another is timed.

Two frameworks' thread pools in one process, or two processes awake at once, slow each other: idle
threads of OpenMP and of XLA spin for a while before they sleep. So each peer is stopped by a signal
until its turn, and turns alternate, so that what the machine does otherwise hits all alike.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from lstm_jax.cli.program import command_line
from lstm_jax.files import write_json
from lstm_jax.machine import provenance

RESULTS = Path(__file__).parent / "results"


class Peer:
    """A library in a process of its own.

    Args:
        name: what tables call it.
        module: its module in `benchmarks.peers`.
        environment: settings of its process, the backend of Keras for example.
    """

    def __init__(
        self, name: str, module: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._complaints = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", f"benchmarks.peers.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            encoding="utf-8",
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
        )

    @property
    def process_id(self) -> int:
        """Of its process."""
        return self._process.pid

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Has the process awake for one command.

        Raises:
            RuntimeError: with what the process raised.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.send_signal(signal.SIGCONT)
        line = ""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if not line:
            status = process.wait()
            self._complaints.seek(0)
            last = self._complaints.read()[-2000:]
            raise RuntimeError(
                f"{self.name} ended with {status}; if a library is missing, pip install -e "
                f"'.[bench]'; its last words:\n{last}"
            )
        process.send_signal(signal.SIGSTOP)
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._complaints.close()


class Job(NamedTuple):
    """Something for a peer to do: a task of its module, with arguments.

    `tolerance` is how far its results may be from those of the first job, as a part of their
    largest value; only results that both have are compared.
    """

    peer: Peer
    task: str
    arguments: Mapping[str, Any]
    tolerance: float = 1e-4


def measure(
    jobs: Sequence[Job], *, rounds: int, seconds: float = 0.0, calls: int = 1, warm_up: int = 1
) -> dict[str, dict[str, Any]]:
    """Times jobs, interleaved.

    Args:
        jobs: one a peer.
        rounds: how often each peer has its turn; every second time in the opposite order.
        seconds, calls: the length of a turn, at least.
        warm_up: the calls at the beginning of a turn that do not count.

    Returns:
        By the names of the peers that can do it: `median_seconds`, `quartile_seconds` and
        `p99_seconds` of a call, `calls`, `first_seconds` (with compilation), `memory_bytes` (what
        the process holds at most, beyond what it held before the task was prepared), and
        `difference` from the first's results, the largest.

    Raises:
        ValueError: if results differ by more than is tolerated.
    """
    answers: dict[str, dict[str, Any]] = {}
    able: list[Job] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, job in enumerate(jobs):
            path = f"{folder}/{number}.npz"
            answer = job.peer.ask(
                "prepare", task=job.task, arguments=dict(job.arguments), results=path
            )
            if not answer.pop("supported"):
                continue
            if able:
                answer["difference"] = _difference(job, f"{folder}/0.npz", path)
            able.append(job)
            answers[job.peer.name] = answer
    times: dict[str, list[float]] = {name: [] for name in answers}
    for number in range(rounds):
        for job in able if number % 2 == 0 else reversed(able):
            answer = job.peer.ask("time", seconds=seconds, calls=calls, warm_up=warm_up)
            times[job.peer.name] += answer["seconds"]
    for name, taken in times.items():
        low, median, high, last = np.quantile(taken, [0.25, 0.5, 0.75, 0.99]).tolist()
        answers[name] |= {
            "median_seconds": median,
            "quartile_seconds": [low, high],
            "p99_seconds": last,
            "calls": len(taken),
        }
    return answers


def _difference(job: Job, expected_path: str, path: str) -> float | None:
    """The largest, or None if there is nothing to compare."""
    differences = {}
    with np.load(expected_path) as expected, np.load(path) as found:
        for key in set(expected.files) & set(found.files):
            scale = np.abs(expected[key]).max() or 1.0
            differences[key] = float(np.abs(found[key] - expected[key]).max() / scale)
    for key, difference in differences.items():
        if not difference <= job.tolerance:
            raise ValueError(
                f"{job.peer.name}: {key} differs from the first's by {difference:.1e} of its "
                f"largest value; {job.tolerance:.0e} is tolerated"
            )
    return max(differences.values(), default=None)


def write_record(name: str, content: Mapping[str, Any], console: Console) -> None:
    """Writes `benchmarks/results/NAME.json`: the figures, and how they came about."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    write_json(path, {**provenance(command_line(f"benchmarks.{name}")), **content})
    console.print(f"wrote {path.relative_to(Path.cwd())}", soft_wrap=True)
