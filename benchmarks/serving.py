"""`lstm-jax serve` under load: `python -m benchmarks.serving`.

The server has a process of its own, and the clients have this one. Texts are those of the built-in
corpus, put together until they are as long as reviews of IMDB; each request has one. Three trials:
1, 8 and 64 clients, each of which sends its next request when it has its answer; 8 clients alone,
and beside as many hostile ones; and a server that is told to stop while 64 clients send.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from benchmarks.cases import IMDB_LENGTHS
from benchmarks.harness import write_record
from benchmarks.load import attack, load, load_for, request
from lstm_jax.cli.program import run_command
from lstm_jax.console import Sheet, doing, say
from lstm_jax.data import load_corpus

CLIENTS = (1, 8, 64)
# The default model; little is taught, since speed does not depend on it.
SETTINGS = (
    *("--text.tokenizer", "punctuation", "--text.max-length", "400"),
    *("--text.cooccurrence-window", "0", "--model.no-linear", "--train.epochs", "1"),
    *("--train.patience", "0", "--train.buckets", "1", "--train.adversarial", "0"),
)
_TRAINING_TEXTS = 256


@dataclass(frozen=True)
class Benchmark:
    """What is served, and for how long."""

    run: Path | None = None
    """A trained run; else one is made, of the default size."""
    seconds: float = 8.0
    """How long each load lasts."""


@dataclass(frozen=True)
class Serving:
    """A server that runs.

    Attributes:
        process: its.
        port: where it listens.
    """

    process: subprocess.Popen[str]
    port: int

    def metrics(self) -> str:
        """What it has counted."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            return answer.read().decode()

    def metric(self, name: str) -> float:
        """One number of that."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.metrics(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def memory(self) -> int:
        """Bytes that it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.split("VmRSS:")[1].split()[0]) << 10

    def stop(self) -> tuple[int, str, float]:
        """Tells it to stop; gives its status, its last words, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=60)
        assert self.process.stderr is not None
        return status, self.process.stderr.read(), time.monotonic() - began


@contextmanager
def serving(run: Path, *options: str) -> Generator[Serving]:
    """A server that is ready, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_jax", "serve", str(run), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "1000"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            line = process.stdout.readline()
            if not (found := re.search(r"http://127\.0\.0\.1:(\d+)", line)):
                raise RuntimeError(f"the server does not start: {process.stderr.read()}")
            server = Serving(process, int(found[1]))
            _wait_until_ready(server.port)
            yield server
        finally:
            process.kill()
            process.wait()


def _wait_until_ready(port: int) -> None:
    for _ in range(3000):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            time.sleep(0.1)
    raise TimeoutError("the server was not ready within 300 seconds")


def main() -> None:
    """Runs the trials and writes the record."""
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.serving"), Console()
    with tempfile.TemporaryDirectory() as folder:
        run = benchmark.run or make_run(console, Path(folder))
        requests = [request({"text": text}) for text in texts_like_reviews()]
        with serving(run) as server:
            record = asyncio.run(trials(server, requests, benchmark.seconds))
        with serving(run) as server:
            record["stopped under load"] = asyncio.run(stopped(server, requests))
    console.print(table(record))
    say(console, sentence(record["stopped under load"]))
    write_record("serving", record, console)


def make_run(console: Console, folder: Path) -> Path:
    """A run of the default model on a few texts of the built-in corpus."""
    examples, names = load_corpus("builtin").train, load_corpus("builtin").class_names
    table, run = folder / "train.jsonl", folder / "run"
    rows = zip(examples.texts[:_TRAINING_TEXTS], examples.labels, strict=False)
    lines = [json.dumps({"text": text, "label": names[label]}) for text, label in rows]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "lstm_jax", "train", str(table), str(run), *SETTINGS]
    with doing(console, "training a run to serve"):
        subprocess.run(command, check=True, capture_output=True)
    return run


def texts_like_reviews(count: int = 512) -> list[str]:
    """Texts of the built-in corpus, put together until they are as long as reviews of IMDB."""
    rng, test = np.random.default_rng(0), load_corpus("builtin").test
    assert test is not None
    corpus, found = test.texts, []
    for length in rng.choice(IMDB_LENGTHS, count):
        words: list[str] = []
        while len(words) < length:
            words += corpus[int(rng.integers(len(corpus)))].split()
        found.append(" ".join(words[:length]))
    return found


async def trials(server: Serving, requests: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """How fast it answers so many clients, and normal clients beside hostile ones."""
    await load_for(server.port, requests, 8, min(seconds, 1.0))  # warms up
    found: dict[str, Any] = {"clients": {}}
    for clients in CLIENTS:
        outcome, took = await load_for(server.port, requests, clients, seconds)
        assert set(outcome.statuses) == {200}, outcome.statuses
        found["clients"][str(clients)] = outcome.summary(took)
    end = time.perf_counter() + seconds
    attacking = asyncio.create_task(attack(server.port, 8, lambda: time.perf_counter() < end))
    outcome, took = await load_for(server.port, requests, 8, seconds)
    assert set(outcome.statuses) == {200}, outcome.statuses
    statuses = await attacking
    found["beside 8 hostile clients"] = {
        **outcome.summary(took),
        "lost": outcome.lost,
        "hostile": dict(sorted(statuses.items())),
    }
    found["memory_bytes"] = server.memory()
    return found


async def stopped(
    server: Serving, requests: Sequence[bytes], seconds: float = 2.0
) -> dict[str, Any]:
    """What becomes of the requests of 64 clients when it is told to stop after some seconds."""
    before = sum(_answered(server.metrics()))
    sending = asyncio.create_task(load(server.port, requests, 64, lambda: True))
    await asyncio.sleep(seconds)
    status, said, took = await asyncio.to_thread(server.stop)
    outcome = await sending
    counted = re.search(r"after ([\d,]+) requests", said)
    assert counted is not None, said
    return {
        "status": status,
        "seconds": took,
        # What was counted before, and the question for that, are not clients' requests.
        "answered_by_server": int(counted[1].replace(",", "")) - int(before) - 1,
        "answered_to_clients": len(outcome.seconds),
        "lost": outcome.lost,
        "statuses": {str(each): count for each, count in outcome.statuses.items()},
    }


def _answered(metrics: str) -> list[float]:
    """The counts of requests that were answered, one for each path and status."""
    pattern = r'^lstm_jax_requests_total\{.*status="\d+"\} (\S+)$'
    return list(map(float, re.findall(pattern, metrics, re.MULTILINE)))


def table(record: dict[str, Any]) -> Sheet:
    """A line for each number of clients."""
    loads = {f"{clients} clients": of for clients, of in record["clients"].items()}
    name = "beside 8 hostile clients"
    loads[f"8 clients {name}"] = record[name]
    rows = [
        (
            what.replace("1 clients", "1 client"),
            f"{of['requests_per_second']:.0f}",
            *(f"{1e3 * of[f'{key}_seconds']:.1f}" for key in ("median", "p99")),
        )
        for what, of in loads.items()
    ]
    return Sheet(("", "requests/s", "median ms", "99 % within ms"), rows)


def sentence(found: dict[str, Any]) -> str:
    """What the stop came to."""
    return (
        f"Told to stop under load: ended after {found['seconds']:.1f} s with status "
        f"{found['status']}; {found['answered_by_server']:,} requests accepted, "
        f"{found['answered_to_clients']:,} answers received, {found['lost']} lost"
    )


if __name__ == "__main__":
    run_command(main)
