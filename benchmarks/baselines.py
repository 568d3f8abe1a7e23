"""What the LSTM is worth: linear models on the same split, `python -m benchmarks.baselines`.

TF-IDF of words and bigrams with logistic regression, and naive Bayes weights on words, bigrams and
trigrams with logistic regression, both by scikit-learn. The strength of the penalty is chosen on a
tenth of the training reviews; then the model is fitted to all of them, and the test reviews are
read once. With `--run`, also the mean of such a model's log-odds and a trained run's: both know the
run's training part only, and their shares are chosen on its validation part.

Source: Wang & Manning (2012), "Baselines and Bigrams: Simple, Good Sentiment and Topic
Classification", section 2.
"""

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
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import lstm_jax
from benchmarks.harness import write_record
from lstm_jax.cli import run_command
from lstm_jax.text import Examples, load_corpus, split_validation
from lstm_jax.train.metrics import compute_metrics

PENALTIES = (0.1, 1.0, 10.0)  # scikit-learn's C: larger is weaker
WORDS = r"\w+|[^\w\s]"  # punctuation marks count


class TfIdf:
    """Words and bigrams, weighted by how rare they are."""

    name = "TF-IDF bigrams + logistic regression"

    def __init__(self, texts: Sequence[str], labels: NDArray) -> None:
        self._vectorizer = TfidfVectorizer(
            ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=WORDS
        ).fit(texts)

    def __call__(self, texts: Sequence[str]) -> Any:
        """Features [N, n-grams], sparse."""
        return self._vectorizer.transform(texts)


class NaiveBayes:
    """Whether each word, bigram and trigram occurs, times the log-ratio of how often by class."""

    name = "NB-weighted trigrams + logistic regression"

    def __init__(self, texts: Sequence[str], labels: NDArray) -> None:
        self._vectorizer = CountVectorizer(
            ngram_range=(1, 3), min_df=2, binary=True, token_pattern=WORDS, dtype=np.float32
        )
        occurs = self._vectorizer.fit_transform(texts)
        shares = []
        for label in (1, 0):
            counts = 1 + np.asarray(occurs[labels == label].sum(0)).ravel()
            shares.append(counts / counts.sum())
        self._ratio = np.log(shares[0] / shares[1]).astype(np.float32)

    def __call__(self, texts: Sequence[str]) -> Any:
        """Features [N, n-grams], sparse."""
        return self._vectorizer.transform(texts).multiply(self._ratio).tocsr()


def log_odds(kind: Any, train: Examples, penalty: float, *others: Sequence[str]) -> list[NDArray]:
    """The log-odds [N, 1] of class 1 for each of the other sets of texts."""
    features = kind(train.texts, train.labels)
    model = LogisticRegression(C=penalty, solver="liblinear", dual=kind is NaiveBayes)
    model.fit(features(train.texts), train.labels)
    return [model.decision_function(features(texts))[:, None] for texts in others]


@dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    data: str = "imdb"
    """As for `experiments.imdb`; two classes."""
    run: Path | None = None
    """The folder of a trained run, to be blended with the second model."""


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
    for kind in (TfIdf, NaiveBayes):
        began = time.monotonic()
        accuracies = {}
        for penalty in PENALTIES:
            (odds,) = log_odds(kind, part, penalty, validation.texts)
            accuracies[penalty] = compute_metrics(odds, validation.labels).accuracy
        penalty = max(accuracies, key=accuracies.__getitem__)
        (odds,) = log_odds(kind, corpus.train, penalty, corpus.test.texts)
        add(kind.name, odds, began, C=penalty)
    if benchmark.run is not None:
        began = time.monotonic()
        run = lstm_jax.load(benchmark.run)
        share, odds = blend(run, corpus.train, penalty, corpus.test.texts)
        add(f"the second and {run.config.name}, blended", odds, began, share_of_run=share)
    console.print(table)
    write_record("baselines", {"data": corpus.name, "models": results}, console)


def blend(
    run: lstm_jax.Run, train: Examples, penalty: float, texts: Sequence[str]
) -> tuple[float, NDArray]:
    """The run's share, chosen on its validation part, and the blended log-odds of `texts`."""
    config = run.config
    if config.train.validation_fraction == 0:
        raise ValueError("run must have a validation part to choose the shares on")
    kept, held_out = split_validation(train.labels, config.train.validation_fraction, config.seed)
    validation = train.take(held_out)
    linear = log_odds(NaiveBayes, train.take(kept), penalty, validation.texts, texts)
    neural = [run.logits(validation.texts), run.logits(texts)]

    def mixed(share: float, place: int) -> NDArray:
        return share * neural[place] + (1 - share) * linear[place]

    shares = np.linspace(0, 1, 21)
    losses = [compute_metrics(mixed(share, 0), validation.labels).loss for share in shares]
    best = float(shares[int(np.argmin(losses))])
    return best, mixed(best, 1)


if __name__ == "__main__":
    run_command(main)
