"""Every file of a run's folder damaged in five ways: predicted with, and gone on with.

    python -m tests.sweeps.damage [--every 3]

A trial copies a small run, damages one file, and opens the copy: a finished run to predict, an
unfinished one to go on. Either the outcome is that of the whole run, to the bit, or it is one line
that the command line would end with status 2. What else happens is counted and named.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import lstm_jax
from lstm_jax.train import loop
from lstm_jax.train.step import train_step
from tests import small

CONFIG = replace(
    small.CONFIG,
    text=replace(small.CONFIG.text, ngrams=(20,)),
    model=replace(small.CONFIG.model, linear=True),
    train=replace(small.CONFIG.train, epochs=2, checkpoint_every=4, buckets=1),
)
OUTCOMES = ("the same", "one line", "many lines", "traceback", "SILENT DIFFERENCE")
GOOD = OUTCOMES[:2]
REFUSALS = (ValueError, OSError, FloatingPointError)  # what the command line makes a line of


@dataclass(frozen=True)
class Sweep:
    """Which trials."""

    every: int = 1
    """Of the files, one in so many."""
    kind: str = ""
    """For processes of the sweep itself: what is done with a run; and below, with which."""
    folders: tuple[Path, Path] = (Path(), Path())
    files: tuple[Path, ...] = ()


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    """Eight random bits turned round."""
    changed = bytearray(content)
    for bit in rng.choice(8 * len(changed), min(8, 8 * len(changed)), replace=False):
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damages(file: Path, other: Path, rng: np.random.Generator) -> dict[str, Callable[[], object]]:
    """What is done to a file, by name.

    Args:
        file: to be damaged.
        other: the file of another run that has its place.
        rng: which bits.
    """
    content = file.read_bytes()
    return {
        "deleted": file.unlink,
        "emptied": lambda: file.write_bytes(b""),
        "cut to half": lambda: file.write_bytes(content[: len(content) // 2]),
        "bits flipped": lambda: file.write_bytes(flip(content, rng)),
        "exchanged": lambda: shutil.copy(other, file),
    }


def files_of(folder: Path) -> list[Path]:
    """All files below a folder, by their paths in it."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def counterpart(file: Path, theirs: list[Path]) -> Path:
    """The file of another run that has the same place; of names that are drawn, the first."""
    near = [path for path in theirs if path.parent == file.parent]
    return file if file in theirs else (near or theirs)[0]


def make(folder: Path, seed: int, *, stop_at: int | None = None) -> None:
    """A run, broken off after so many steps."""
    count = 0

    def stopping(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == stop_at:
            raise KeyboardInterrupt
        return train_step(*arguments)

    with mock.patch.object(loop, "train_step", stopping), contextlib.suppress(KeyboardInterrupt):
        go_on(folder, seed)


def go_on(folder: Path, seed: int = 0) -> str:
    """Trains to the end; gives the checksum of the weights and the rest."""
    corpus, config = small.corpus(seed=seed), replace(CONFIG, seed=seed)
    result = small.train(config, corpus, folder, resume=True)
    return str([result.fingerprint, result.test["loss"], result.outcome.steps])


def predict(folder: Path) -> str:
    """The class names and probabilities of some texts."""
    run = lstm_jax.load(folder)
    return str([run.class_names, run.predict_proba(small.corpus().train.texts[:5]).tolist()])


@contextlib.contextmanager
def standard_error() -> Generator[Path]:
    """Where all that the process writes to standard error goes, libraries included."""
    with tempfile.NamedTemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            with (
                os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8") as text,
                contextlib.redirect_stderr(text),
            ):
                yield Path(file.name)
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def outcome(run: Callable[[Path], str], folder: Path, expected: str) -> tuple[str, str]:
    """Which of `OUTCOMES`, and what was said."""
    with standard_error() as written:
        try:
            found, said = run(folder), ""
        except REFUSALS as error:
            found, said = None, str(error)
        except BaseException:
            return "traceback", traceback.format_exc()
        logged = written.read_text(errors="replace")
    if "Traceback" in logged:
        return "traceback", logged
    if found is not None:
        return ("the same", "") if found == expected else ("SILENT DIFFERENCE", "")
    return ("many lines" if "\n" in said else "one line"), said


def sweep(
    run: Callable[[Path], str], whole: Path, other: Path, files: Sequence[Path]
) -> Iterator[tuple[Path, str, str, str]]:
    """Tries every damage to some files.

    Args:
        run: what is done with a folder.
        whole: the folder that is copied and damaged; it stays as it is.
        other: the folder of another run of the same kind.
        files: which, by their paths in the folder.

    Yields:
        The file, the damage, the outcome and what was said.
    """
    theirs, rng = files_of(other), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        shutil.copytree(whole, folder)
        expected = run(folder)
        for file in files:
            for damage in damages(whole / file, whole / file, rng):
                shutil.rmtree(folder)
                shutil.copytree(whole, folder)
                damages(folder / file, other / counterpart(file, theirs), rng)[damage]()
                yield file, damage, *outcome(run, folder, expected)


RUNS = {"predict": predict, "resume, finished": go_on, "resume, unfinished": go_on}


def try_files(kind: str, whole: Path, other: Path, files: Sequence[Path]) -> list[list[str]]:
    """What `sweep` gives of some files, in a process of its own.

    Thousands of programs compiled in one process exhaust the memory maps that Linux allows it.
    """
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.sweeps.damage"]
    command += ["--kind", kind, "--folders", str(whole), str(other), "--files", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return [[str(files), "one of five", "crash", f"{done.returncode} {done.stderr}"]]
    return [json.loads(line) for line in done.stdout.splitlines()]


def try_here(options: Sweep) -> None:
    """The trials of one process; prints a JSON list for each."""
    whole, other = options.folders
    for file, *rest in sweep(RUNS[options.kind], whole, other, options.files):
        print(json.dumps([str(file), *rest]), flush=True)


def main() -> None:
    """Makes the runs, tries everything, and prints how often each outcome came."""
    options, bad = tyro.cli(Sweep), 0
    if options.kind:
        try_here(options)
        return
    table = Table("what is done", "damage", *OUTCOMES, title="A damaged run")
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(2) as pool:
        runs = {name: Path(temporary) / name for name in ("a", "b", "c", "d")}
        for seed, (name, path) in enumerate(runs.items()):
            make(path, seed % 2, stop_at=None if name in "ab" else 14)
        for kind in RUNS:
            whole, other = (runs[name] for name in ("cd" if "unfinished" in kind else "ab"))
            files = files_of(whole)[:: options.every]
            tasks = [
                pool.submit(try_files, kind, whole, other, files[start : start + 6])
                for start in range(0, len(files), 6)
            ]
            counts: dict[str, Counter[str]] = {}
            for task in as_completed(tasks):
                for file, damage, found, said in task.result():
                    counts.setdefault(damage, Counter())[found] += 1
                    if found not in GOOD:
                        bad += 1
                        print(f"{kind}: {file} {damage}: {found}: {said[-1500:]}", flush=True)
            print(f"{kind}: {len(files)} files tried", flush=True)
            for damage, by_outcome in counts.items():
                table.add_row(kind, damage, *(str(by_outcome[outcome]) for outcome in OUTCOMES))
    Console(width=110).print(table)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
