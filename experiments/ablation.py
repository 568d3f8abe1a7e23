"""What the pieces of `bilstm` and of adversarial training are worth, on films held out as a whole.

    python -m experiments.ablation aclImdb_v1.tar.gz --record experiments/results/ablation.json

The archive numbers the reviews of a film in a row, so the training reviews from number 10,000 on
are of films that the others do not speak of. "The preset" is `bilstm` with `--train.adversarial 0.3
--model.precision auto`; each variant has one piece of it changed, and is trained on the others (a
part of them for validation) and measured on these 5,000. The test reviews are not read.
docs/explanation/accuracy.md says what came of it.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import json
import re
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rich.console import Console
from tyro.conf import Positional, arg

from experiments.imdb.bilstm import CONFIG as BILSTM
from experiments.imdb.finetuned import CONFIG as FINETUNED
from lstm_jax.checked import Seed, checked
from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import command_line, run_command
from lstm_jax.console import Sheet, doing, say
from lstm_jax.data import Corpus, Examples
from lstm_jax.data.imdb import CLASS_NAMES, ordered_splits
from lstm_jax.files import write_json
from lstm_jax.machine import provenance
from lstm_jax.recipes.supervised import supervised
from lstm_jax.train.config import Config
from lstm_jax.train.open_run import Request
from lstm_jax.train.result import Result

FIRST_HELD_OUT = 10_000  # of 12,500 a class


def changed(name: str, **parts: dict[str, Any]) -> Config:
    """The preset with other settings in some of its parts."""
    of_parts = {part: replace(getattr(BASE, part), **fields) for part, fields in parts.items()}
    return replace(BASE, name=name, **of_parts)


BASE = replace(
    BILSTM,
    name="the preset",
    model=replace(BILSTM.model, precision="auto"),
    train=replace(BILSTM.train, adversarial=FINETUNED.train.adversarial),
)
VARIANTS = (
    BASE,
    changed("the last states in place of max and mean pooling", model={"pooling": "last"}),
    changed("no adversarial training", train={"adversarial": 0.0}),
    changed("no vectors for n-grams", text={"ngrams": ()}, model={"ngram_dropout": 0.0}),
    changed("no moving average of the weights", train={"ema_decay": 0.0}),
    changed("embedding dropout 0.2, not 0.5", model={"embedding_dropout": 0.2}),
    changed("embeddings start from co-occurrence, window 8", text={"cooccurrence_window": 8}),
)


@checked
class Study:
    """On what, and where the results go."""

    archive: Annotated[Positional[Path], arg(metavar="ARCHIVE")]
    """aclImdb_v1.tar.gz, or the folder it unpacks to."""
    seeds: tuple[Seed, ...] = (0,)
    """A run of every variant for each of these."""
    runs: Path = Path("runs/ablation")
    """The folder of the runs; finished ones are not run again."""
    record: Path | None = None
    """Write what came out, and how it was made, into this JSON file."""


def held_out_films(archive: Path) -> Corpus:
    """The training reviews, those of the last films as the test part."""
    reviews = ordered_splits(archive, unlabelled=False)["train"]
    labels = np.array([review.folder == "pos" for review in reviews], np.int32)
    numbers = [int(re.findall(r"(\d+)_\d+\.txt$", review.name)[0]) for review in reviews]
    held = np.array(numbers) >= FIRST_HELD_OUT
    every = Examples([review.text for review in reviews], labels)
    kept, held_out = (every.take(np.flatnonzero(rows)) for rows in (~held, held))
    return Corpus("imdb, held-out films", kept, held_out, CLASS_NAMES)


def run_seeds(
    config: Config, seeds: tuple[int, ...], corpus: Corpus, path: Path, command: str
) -> list[Result]:
    """The results of a run for each seed, in the folder PATH-seedSEED; finished ones are kept."""
    return [
        supervised(
            replace(config, seed=seed),
            corpus,
            Request(path.with_name(f"{path.name}-seed{seed}"), command, True, Console(quiet=True)),
        )
        for seed in seeds
    ]


def main() -> None:
    """Runs what the command line asks for."""
    call(run, sys.argv[1:], typed="python -m experiments.ablation", description=__doc__)


def run(study: Annotated[Study, arg(name="")]) -> None:
    """Runs what is missing, and prints a row for each variant."""
    console = Console()
    command = command_line("experiments.ablation")
    about = provenance(command)
    with doing(console, f"reading {study.archive}"):
        corpus = held_out_films(study.archive)
    rows = []
    results: dict[str, dict[str, Any]] = {}
    for number, config in enumerate(VARIANTS):
        found = run_seeds(config, study.seeds, corpus, study.runs / str(number), command)
        columns = {
            "test_accuracy": [each.test["accuracy"] for each in found],
            "test_loss": [each.test["loss"] for each in found],
            "minutes": [each.minutes for each in found],
        }
        results[config.name] = {
            name: [round(value or 0.0, 4) for value in values] for name, values in columns.items()
        }
        accuracy, loss, minutes = (statistics.mean(results[config.name][name]) for name in columns)
        rows.append((config.name, f"{accuracy:.2%}", f"{loss:.3f}", f"{minutes:.1f}"))
        say(console, f"{config.name} {json.dumps(results[config.name])}")
        if study.record:
            content = {"data": corpus.name, "seeds_of_study": list(study.seeds)}
            write_json(study.record, {**content, "variants": results, **about})
    console.print(Sheet(("", "accuracy", "loss", "minutes"), rows, corpus.name))


if __name__ == "__main__":
    run_command(main)
