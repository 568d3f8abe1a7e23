"""A large CSV predicted into another, killed at random moments and resumed.

    python -m tests.sweeps.large_file --megabytes 2000 --kills 6

A file of that size is made from generated texts, and a small classifier is trained. `lstm-jax
predict --file --out` is killed with SIGKILL at random moments and resumed, as often as asked; then
it runs to its end. Every row of the input must be in the output once, in order, with all its
columns, and with the prediction that its text has in memory. The most memory that any of the
processes held is measured (VmHWM of Linux). So is the rate from file to file beside that of the
same texts in memory, in processes of their own, one after the other.
"""

import csv
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import tyro

import lstm_jax
from lstm_jax.data import Corpus, Examples, Reading, read_texts
from lstm_jax.data.synthetic import CLASS_NAMES, generate_reviews
from lstm_jax.recipes.predict_file import Choice, position_path, predict_file
from tests import small

ROOT = Path(__file__).parents[2]
HEADER = ["id", "text", "note"]
TEXTS = 4000  # different ones
REVIEWS = 3  # a text is made of, about a kilobyte
SAMPLE = 60  # megabytes at most of which the rate is measured
MOST_MEMORY, LEAST_RATE = 2 << 30, 0.8
CONFIG = replace(
    small.CONFIG,
    text=replace(small.CONFIG.text, max_length=48, vocabulary_size=2000),
    model=replace(small.CONFIG.model, embedding_size=32, hidden_size=32),
    train=replace(small.CONFIG.train, epochs=1, batch_size=32),
)


@dataclass(frozen=True)
class Sweep:
    """How much of it."""

    megabytes: float = 50
    """Size of the file."""
    kills: int = 5
    """How often the prediction is killed."""
    longest: float = 30
    """Seconds after its start within which it is killed."""
    rounds: int = 3
    """How often both rates are measured."""
    seed: int = 0
    """Of the moments."""
    rate: str = ""
    """For processes of the sweep itself: "memory" or "file"; and below, of what."""
    paths: tuple[Path, ...] = ()


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        rows: of the input.
        kills: after how many bytes of output each kill came.
        memory: the most bytes that a process held.
        wrong: rows that are not as they must be, and the first of them.
        seconds: from the start of the first process to the end of the last.
    """

    rows: int
    kills: list[int]
    memory: int
    wrong: list[str]
    seconds: float


def texts() -> tuple[list[str], list[int]]:
    """The different texts, and the class of the first review in each."""
    reviews, labels = generate_reviews(TEXTS, seed=0)
    joined = [
        " ".join(reviews[(place + step * 701) % TEXTS] for step in range(REVIEWS))
        for place in range(TEXTS)
    ]
    return joined, list(labels)


def row(number: int, pool: Sequence[str]) -> list[str]:
    """A row of the file, by its number."""
    return [str(number), pool[number % TEXTS], f'"{number % 7}", and\nmore']


def write_table(path: Path, megabytes: float, pool: Sequence[str]) -> int:
    """Writes rows until the file is as large as asked; gives their number."""
    number = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        while file.tell() < megabytes * 1e6:
            writer.writerows(row(each, pool) for each in range(number, number + 100))
            number += 100
    return number


def train(folder: Path, pool: Sequence[str], labels: Sequence[int]) -> None:
    """A small classifier."""
    examples = Examples(list(pool), np.array(labels, np.int32))
    small.train(CONFIG, Corpus("generated", examples, None, CLASS_NAMES), folder)


def program(*words: object) -> list[str]:
    """The command line of `predict`."""
    return [sys.executable, "-m", "lstm_jax", "predict", *map(str, words)]


def held(pid: int) -> int:
    """The most bytes that a process has held so far; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if "VmHWM" in line), 0)


def watch(words: list[str], kill_after: float | None) -> tuple[int | None, int]:
    """Runs a process, or kills it; gives its status and the most memory it held."""
    process, began, most = subprocess.Popen(words, cwd=ROOT), time.monotonic(), 0
    while (status := process.poll()) is None:
        most = max(most, held(process.pid))
        if kill_after is not None and time.monotonic() - began > kill_after:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return None, most
        time.sleep(0.02)
    return status, most


def break_and_resume(run: Path, table: Path, out: Path, moments: Sequence[float]) -> Outcome:
    """Predicts a file, kills the process so many seconds after each start, and goes on.

    Raises:
        RuntimeError: if a process ends with another status than 0.
    """
    found, began = Outcome(0, [], 0, [], 0), time.monotonic()
    for moment in [*moments, None]:
        words = program(run, "--file", table, "--out", out)
        words += ["--resume"] if position_path(out).exists() else []
        status, memory = watch(words, moment)
        found.memory = max(found.memory, memory)
        if status is not None:
            if status:
                raise RuntimeError(f"predict ended with status {status}")
            break
        found.kills.append(out.stat().st_size if out.exists() else 0)
    found.seconds = time.monotonic() - began
    return found


def compare(
    out: Path, rows: int, pool: Sequence[str], expected: Sequence[tuple[str, float]]
) -> list[str]:
    """What is wrong with an output: the first rows that are not as they must be.

    Args:
        out: the output.
        rows: of the input.
        pool: the different texts.
        expected: class and probability of each of them.
    """
    wrong: list[str] = []
    with out.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if next(reader, None) != [*HEADER, "predicted", "probability"]:
            wrong.append("the header")
        for number, fields in zip_longest(range(rows), reader):
            if number is None or fields is None or fields[:3] != row(number, pool):
                wrong.append(f"row {number}: {fields}")
            else:
                label, probability = expected[number % TEXTS]
                far = abs(float(fields[4]) - probability) > 1e-4
                if far or (fields[3] != label and probability > 0.5 + 1e-4):
                    wrong.append(f"row {number}: {fields[3:]} instead of {label} {probability}")
            if len(wrong) >= 3:
                break
    return wrong


def rate(kind: str, run: Path, table: Path) -> list[float]:
    """Rows a second, and a second of processors, without the start of the process.

    Args:
        kind: "memory", or "file" for from file to file.
        run: of the classifier.
        table: the file.
    """
    opened = lstm_jax.load(run)
    moments: list[tuple[float, float, int]] = []

    def at(rows: int, _: float = 0.0) -> None:
        moments.append((time.monotonic(), time.process_time(), rows))

    if kind == "memory":
        given = list(read_texts(table))
        opened.predict_proba(given[:2048])  # compiles
        at(0)
        opened.predict_proba(given)
        at(len(given))
    else:
        with tempfile.TemporaryDirectory(dir=table.parent) as folder:
            out = Path(folder) / "out.csv"
            predict_file(opened, (table, out), Reading(), Choice(), progress=at)
        del moments[0 : len(moments) > 2]  # the first piece compiles
    (began, busy, first), (ended, still_busy, last) = moments[0], moments[-1]
    return [(last - first) / (ended - began), (last - first) / (still_busy - busy)]


def measure(kind: str, run: Path, table: Path) -> list[float]:
    """Both rates in a process of its own."""
    words = [sys.executable, "-m", "tests.sweeps.large_file", "--rate", kind]
    done = subprocess.run(
        [*words, "--paths", str(run), str(table)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [float(each) for each in done.stdout.split()]


def compare_rates(run: Path, table: Path, rounds: int) -> float:
    """Prints the rates from file to file and in memory; gives the one as a share of the other."""
    rates: dict[str, list[list[float]]] = {"file": [], "memory": []}
    for _ in range(rounds):
        for kind, measured in rates.items():
            measured.append(measure(kind, run, table))
            passed, busy = measured[-1]
            print(f"{kind}: {passed:,.0f} rows/s, {busy:,.0f} a second of processors", flush=True)
    shares = [
        statistics.median(each[which] for each in rates["file"])
        / statistics.median(each[which] for each in rates["memory"])
        for which in (0, 1)
    ]
    print(
        f"from file to file: {shares[0]:.0%} of the rate in memory (medians),"
        f" {shares[1]:.0%} for each second of processors"
    )
    return shares[0]


def main() -> None:
    """Makes the file, kills, resumes, compares and measures; status 1 if a claim does not hold."""
    options = tyro.cli(Sweep)
    if options.rate:
        print(*rate(options.rate, *options.paths))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, table, out = folder / "run", folder / "in.csv", folder / "out.csv"
        pool, labels = texts()
        train(run, pool, labels)
        opened = lstm_jax.load(run)
        expected = [
            (opened.class_names[each.argmax()], float(each.max()))
            for each in opened.predict_proba(pool)
        ]
        rows = write_table(table, options.megabytes, pool)
        size = table.stat().st_size
        print(f"{rows:,} rows, {size / 1e6:,.0f} MB", flush=True)
        draw = random.Random(options.seed)
        moments = [draw.uniform(0, options.longest) for _ in range(options.kills)]
        found = break_and_resume(run, table, out, moments)
        wrong = compare(out, rows, pool, expected)
        out.unlink()
        print(f"killed after bytes of output: {', '.join(f'{each:,}' for each in found.kills)}")
        print(f"{found.seconds:.0f} s, starts and repeated rows included")
        print(f"most memory of a process: {found.memory / (1 << 20):,.0f} MiB")
        print(f"rows that are wrong: {'; '.join(wrong) or 'none'}", flush=True)
        sample = folder / "sample.csv"
        write_table(sample, min(SAMPLE, options.megabytes), pool)
        share = compare_rates(run, sample, options.rounds)
        sys.exit(bool(wrong) or found.memory >= MOST_MEMORY or share < LEAST_RATE)


if __name__ == "__main__":
    main()
