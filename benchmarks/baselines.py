"""What the LSTM is worth: linear models on the same split, `python -m benchmarks.baselines`.

TF-IDF of words and bigrams with logistic regression, and naive Bayes weights on words, bigrams and
trigrams with logistic regression, both by scikit-learn. The strength of the penalty is chosen on a
tenth of the training reviews; then the model is fitted to all of them, and the test reviews are
read once. With `--run`, also the sum of such a model's log-odds and a trained run's: both know the
run's training part only, and their weights are chosen on its validation part.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import lstm_jax
from benchmarks.harness import write_record
from lstm_jax.cli.program import run_command
from lstm_jax.data import load_corpus, split_validation
from lstm_jax.recipes.distill import Ensemble
from lstm_jax.recipes.linear import WORDS, LinearModel, fit_linear
from lstm_jax.train.metrics import compute_metrics

PENALTIES = (0.1, 1.0, 10.0)  # scikit-learn's C: larger is weaker


def fit_tf_idf(
    texts: Sequence[str], labels: NDArray[np.integer], classes: int, *, penalty: float
) -> LinearModel:
    """Words and bigrams, weighted by how rare they are, into a logistic regression."""
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=WORDS
    )
    model = LogisticRegression(C=penalty, solver="liblinear")
    model.fit(vectorizer.fit_transform(texts), labels)
    return lambda texts: model.decision_function(vectorizer.transform(texts))[:, None]


LINEAR = {
    "TF-IDF bigrams + logistic regression": fit_tf_idf,
    "NB-weighted trigrams + logistic regression": fit_linear,
}


@dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    data: str = "imdb"
    """As for `experiments.imdb`; two classes."""
    run: Path | None = None
    """The folder of a trained run, to form an ensemble with the second model."""


def main() -> None:
    """Fits both models, prints their accuracy and writes the record."""
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.baselines"), Console()
    corpus = load_corpus(benchmark.data)
    if corpus.test is None or len(corpus.class_names) != 2:
        raise ValueError(f"data must have two classes and test examples, got {benchmark.data}")
    table = Table("", "test accuracy", "minutes", title=f"Data: {corpus.name}")
    results: dict[str, Any] = {}

    def add(name: str, odds: NDArray, began: float, **settings: float) -> None:
        assert corpus.test is not None
        accuracy = compute_metrics(odds, corpus.test.labels).accuracy
        minutes = (time.monotonic() - began) / 60
        results[name] = {"test_accuracy": accuracy, "minutes": minutes, **settings}
        table.add_row(name, f"{accuracy:.2%}", f"{minutes:.1f}")

    kept, held_out = split_validation(corpus.train.labels, 0.1, seed=0)
    part, validation = corpus.train.take(kept), corpus.train.take(held_out)
    penalty = 0.0
    for name, fitted in LINEAR.items():
        began = time.monotonic()
        accuracies = {}
        for penalty in PENALTIES:
            model = fitted(part.texts, part.labels, 2, penalty=penalty)
            odds = model(validation.texts)
            accuracies[penalty] = compute_metrics(odds, validation.labels).accuracy
        penalty = max(accuracies, key=accuracies.__getitem__)
        model = fitted(corpus.train.texts, corpus.train.labels, 2, penalty=penalty)
        add(name, model(corpus.test.texts), began, C=penalty)
    if benchmark.run is not None:
        began = time.monotonic()
        run = lstm_jax.load(benchmark.run)
        part_of_run = run.config.validation_part
        ensemble = Ensemble([benchmark.run], corpus, part_of_run, penalty=penalty)
        weights = dict(zip(("weight_of_run", "weight_of_linear"), ensemble.weights, strict=True))
        name = f"ensemble of the second and {run.config.name}"
        add(name, ensemble.logits(corpus.test.texts), began, **weights)
    console.print(table)
    write_record("baselines", {"data": corpus.name, "models": results}, console)


if __name__ == "__main__":
    run_command(main)
