"""The same classifier on a file with more classes than two, some of them rare.

    python -m experiments.five_classes --record experiments/results/five_classes.json

Reviews of the built-in corpus in five classes, of which the outermost are eight times as rare as
the middle one, are written to two CSV files and read back as a user's own. The preset `bilstm`
learns from one and is measured on the other: as it is, with class weights, with label smoothing.
docs/how-to/many-classes.md says what came of it.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from rich.console import Console
from tyro.conf import arg

from experiments.ablation import run_seeds
from experiments.imdb.bilstm import CONFIG as BILSTM
from lstm_jax.checked import Seed, checked
from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import command_line, run_command
from lstm_jax.console import Sheet, doing, say
from lstm_jax.data import Examples, load_corpus
from lstm_jax.files import write_json
from lstm_jax.machine import provenance

FRACTIONS = (1 / 8, 1 / 2, 1, 1 / 2, 1 / 8)  # of each class that are kept
# 7,200 texts are a third of the IMDB reviews: they are read more often than the preset would.
BASE = replace(BILSTM, train=replace(BILSTM.train, epochs=10))

VARIANTS = {
    "as it is": {},
    "class weights": {"class_weights": "balanced"},
    "label smoothing": {"label_smoothing": 0.1},
}

RECORDED = ("accuracy", "macro_f1", "loss", "calibration_error", "calibration_error_unscaled")


@checked
class Study:
    """Where the files and the results go."""

    seeds: tuple[Seed, ...] = (0, 1, 2)
    """A run of every variant for each of these."""
    runs: Path = Path("runs/five_classes")
    """The folder of the two CSV files and of the runs; finished ones are not run again."""
    record: Path | None = None
    """Write what came out, and how it was made, into this JSON file."""


def main() -> None:
    """Runs what the command line asks for."""
    call(run, sys.argv[1:], typed="python -m experiments.five_classes", description=__doc__)


def run(study: Annotated[Study, arg(name="")]) -> None:
    """Writes the files, runs what is missing, and prints a row for each variant."""
    console = Console()
    command = command_line("experiments.five_classes")
    about = provenance(command)
    with doing(console, "making the built-in corpus"):
        made = load_corpus("builtin5")
    assert made.test is not None
    paths = study.runs / "train.csv", study.runs / "test.csv"
    for path, examples in zip(paths, (made.train, made.test), strict=True):
        write_csv(path, some(examples), made.class_names)
    corpus = load_corpus(paths[0], test_path=paths[1])
    variants = {}
    rows = []
    for number, (name, settings) in enumerate(VARIANTS.items()):
        config = replace(BASE, name=name, train=replace(BASE.train, **settings))
        found = run_seeds(config, study.seeds, corpus, study.runs / str(number), command)
        variants[name] = {
            **{part: [round(run.test[part] or 0.0, 4) for run in found] for part in RECORDED},
            "confusion": np.sum([run.outcome.confusion for run in found], axis=0).tolist(),
            "minutes": [round(run.minutes, 2) for run in found],
        }
        names = ("accuracy", "macro_f1", "calibration_error", "minutes")
        accuracy, f1, error, minutes = (np.mean(variants[name][part]) for part in names)
        rows.append((name, f"{accuracy:.2%}", f"{f1:.3f}", f"{error:.3f}", f"{minutes:.1f}"))
        say(console, f"{name} {json.dumps(variants[name])}")
    headers = ("", "accuracy", "macro F1", "calibration\nerror", "minutes")
    console.print(Sheet(headers, rows, "Five classes"))
    if study.record:
        sizes = {"train": len(corpus.train), "test": len(corpus.test or ())}
        about = {"seeds_of_study": list(study.seeds), "variants": variants, **about}
        write_json(study.record, {"class_names": list(corpus.class_names), **sizes, **about})


def some(examples: Examples) -> Examples:
    """The first ones of each class, as many as its share."""
    rows = [np.flatnonzero(examples.labels == label) for label in range(len(FRACTIONS))]
    kept = [of[: round(len(of) * share)] for of, share in zip(rows, FRACTIONS, strict=True)]
    return examples.take(np.sort(np.concatenate(kept)))


def write_csv(path: Path, examples: Examples, class_names: tuple[str, ...]) -> None:
    """Columns `text` and `label`, the name of the class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for text, label in zip(examples.texts, examples.labels, strict=True):
            writer.writerow((text, class_names[label]))


if __name__ == "__main__":
    run_command(main)
