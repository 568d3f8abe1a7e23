"""Pairs of processes that train in one folder at the same time.

    python -m tests.sweeps.pairs [--pairs 40]

Of each pair one must train to the end, and the other must be refused in one line that names the
folder, with status 2. The processes are forked from this one, which has imported all that they
need, so that they come to the folder close together: at random within a tenth of a second.
"""

import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from lstm_jax import cli
from tests import small

SETTINGS = [
    *small.PLAIN,
    *("--model.embedding-size", "4", "--model.hidden-size", "4", "--train.epochs", "1"),
    *("--train.buckets", "1", "--train.batch-size", "20", "--text.max-length", "16"),
]


@dataclass(frozen=True)
class Sweep:
    """How many."""

    pairs: int = 40
    """Pairs, one after the other."""


def write_table(path: Path) -> None:
    """A CSV file to train on."""
    examples = small.corpus(train=60).train
    rows = zip(examples.texts, examples.labels, strict=True)
    path.write_text("\n".join(["text,label", *(f"{text},class {label}" for text, label in rows)]))


def start(arguments: list[str], at: float, output: Path) -> int:
    """Forks a process that runs the command line at a moment; gives its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        with output.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.argv = ["lstm_jax", *arguments]
        time.sleep(max(0.0, at - time.time()))
        cli.main()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def pair(folder: Path, data: Path, rng: np.random.Generator) -> tuple[str, str]:
    """What became of a pair: "one wins", or what is wrong; and what they said."""
    outputs = [folder.with_suffix(f".{name}.txt") for name in "ab"]
    arguments = ["train", str(data), str(folder), *SETTINGS]
    starts = time.time() + 0.05 + rng.uniform(0, 0.1, 2)
    processes = [start(arguments, at, out) for at, out in zip(starts, outputs, strict=True)]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in processes]
    said = [output.read_text(errors="replace") for output in outputs]
    if any("Traceback" in text for text in said):
        return "traceback", "\n".join(said)
    if sorted(statuses) != [0, 2]:
        return f"statuses {sorted(statuses)}", "\n".join(said)
    # Before the refusal it may have said what it was doing, such as "reading x.csv".
    *_, line = said[statuses.index(2)].strip().splitlines()
    complaints = [text for text in said[statuses.index(2)].splitlines() if "lstm-jax: " in text]
    if complaints != [line] or str(folder) not in line:
        return "not one line", line
    return "one wins", line


def main() -> None:
    """Runs the pairs, and prints how many went as they must."""
    pairs, rng, counts = tyro.cli(Sweep).pairs, np.random.default_rng(0), Counter()
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "train.csv"
        write_table(data)
        for number in range(pairs):
            outcome, said = pair(Path(temporary) / f"run{number}", data, rng)
            counts[outcome] += 1
            if outcome != "one wins":
                print(f"pair {number}: {outcome}: {said}", flush=True)
    table = Table("outcome", "pairs", title="Two processes, one folder")
    for outcome, count in counts.items():
        table.add_row(outcome, str(count))
    Console().print(table)
    sys.exit(set(counts) != {"one wins"})


if __name__ == "__main__":
    main()
