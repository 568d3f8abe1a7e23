"""The settings that `train` chooses by itself, beside TF-IDF and a logistic regression.

    python -m experiments.defaults --record experiments/results/defaults.json

For each data set and seed a run with settings chosen from the data (`lstm_jax.recipes.defaults`),
and once scikit-learn's TfidfVectorizer and LogisticRegression: of words and pairs of words, of
names of 1 to 5 characters, of text without spaces of 1 to 3. `C` is scikit-learn's default, 1, and
10, which is better here; the better of the two on the *test* texts is what the LSTM is held to.
docs/explanation/defaults.md says how they are chosen.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import sys
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rich.console import Console
from tyro.conf import arg

from experiments.defaults_data import data_sets
from lstm_jax.checked import Seed, checked
from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import command_line, run_command
from lstm_jax.console import Sheet, doing, say
from lstm_jax.data import Corpus
from lstm_jax.files import write_json
from lstm_jax.machine import provenance
from lstm_jax.recipes.defaults import choose_settings
from lstm_jax.recipes.supervised import supervised
from lstm_jax.train.config import Config
from lstm_jax.train.open_run import Request

_STRENGTHS = (1.0, 10.0)


@checked
class Study:
    """Which data sets, and where the results go."""

    data: tuple[str, ...] = ()
    """Names such as imdb-500; all of them by default."""
    seeds: tuple[Seed, ...] = (0, 1, 2)
    """A run on every data set for each of these."""
    runs: Path = Path("runs/defaults")
    """The folder of the runs; finished ones are not run again."""
    archive: Path = Path("../shared/data/aclImdb_v1.tar.gz")
    """IMDB's archive, for the ratings."""
    record: Path | None = None
    """Write what came out, and how it was made, into this JSON file."""


def main() -> None:
    """Runs what the command line asks for."""
    call(run, sys.argv[1:], typed="python -m experiments.defaults", description=__doc__)


def run(study: Annotated[Study, arg(name="")]) -> None:
    """Runs what is missing, and prints a row for each data set."""
    console, found = Console(), {}
    about = provenance(command_line("experiments.defaults"))
    makers = data_sets(study.archive)
    if unknown := sorted({*study.data} - {*makers}):
        raise ValueError(f"data must be among {', '.join(makers)}, got {', '.join(unknown)}")
    for name in study.data or makers:
        with doing(console, f"making {name}"):
            corpus = makers[name]()
        with doing(console, f"fitting a linear model to {name}"):
            linear = tf_idf(corpus, name)
        found[name] = {"name": corpus.name, **linear, **measured(study, corpus, name, console)}
        say(console, f"{name} {found[name]}")
    console.print(table(found))
    if study.record:
        write_json(study.record, {"seeds_of_study": list(study.seeds), "data": found, **about})


def measured(study: Study, corpus: Corpus, name: str, console: Console) -> dict[str, Any]:
    """What the runs of each seed came to."""
    results = []
    for seed in study.seeds:
        say(console, f"{corpus.name}, seed {seed}")
        config = choose_settings(corpus, Config(name=name, seed=seed)).config
        path = study.runs / f"{name}-{seed}"
        request = Request(path, command_line("experiments.defaults"), True, Console(quiet=True))
        results.append(supervised(config, corpus, request))

    def each(member: str) -> list[float]:
        members = [result.outcome.members.get(member, {}) for result in results]
        return [round(of.get("accuracy") or 0.0, 4) for of in members]

    return {
        "accuracy": [round(result.test["accuracy"] or 0.0, 4) for result in results],
        "macro_f1": [round(result.test["macro_f1"] or 0.0, 4) for result in results],
        "calibration_error": [
            round(result.test["calibration_error"] or 0, 4) for result in results
        ],
        "validation_accuracy_of_lstm": each("lstm"),
        "validation_accuracy_of_linear": each("linear"),
        "minutes": [round(result.minutes, 2) for result in results],
        "memory_mib": [result.memory_mib for result in results],
    }


def tf_idf(corpus: Corpus, name: str) -> dict[str, Any]:
    """The test accuracies of scikit-learn's linear models, and the minutes of the slower one."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    assert corpus.test is not None
    features: dict[str, Any] = {"ngram_range": (1, 2)}
    if name.startswith("names"):
        features = {"analyzer": "char_wb", "ngram_range": (1, 5)}
    if name.startswith("unspaced"):
        features = {"analyzer": "char", "ngram_range": (1, 3)}
    accuracies, slowest = {}, 0.0
    for strength in _STRENGTHS:
        began = time.monotonic()
        vectorizer = TfidfVectorizer(**features)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged after 1,000 iterations
            model = LogisticRegression(C=strength, max_iter=1000)
            model.fit(vectorizer.fit_transform(corpus.train.texts), corpus.train.labels)
        predicted = model.predict(vectorizer.transform(corpus.test.texts))
        right = np.equal(predicted, corpus.test.labels)
        accuracies[f"{strength:g}"] = round(float(right.mean()), 4)
        slowest = max(slowest, time.monotonic() - began)
    return {"tf_idf_accuracy_by_C": accuracies, "tf_idf_minutes": round(slowest / 60, 2)}


def table(found: dict[str, Any]) -> Sheet:
    """A row for each data set."""
    rows = []
    for each in found.values():
        best, default = (
            max(each["tf_idf_accuracy_by_C"].values()),
            each["tf_idf_accuracy_by_C"]["1"],
        )
        accuracy = float(np.mean(each["accuracy"]))
        rows.append(
            (
                each["name"],
                f"{accuracy:.1%}",
                f"{np.std(each['accuracy']):.1%}",
                f"{default:.1%}",
                f"{best:.1%}",
                f"{100 * (accuracy - best):+.1f}",
                f"{max(each['minutes']):.1f}",
            )
        )
    headers = (
        "data",
        "train",
        "spread",
        "TF-IDF\nC = 1",
        "better of\nC = 1, 10",
        "points",
        "minutes",
    )
    return Sheet(headers, rows, "Accuracy with the settings that train chooses")


if __name__ == "__main__":
    run_command(main)
