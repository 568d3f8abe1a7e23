"""What came out of an experiment: a table for people, a record for experiments/results."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from lstm_jax.console import Sheet
from lstm_jax.data import Corpus
from lstm_jax.train.result import Result

# What others reach on the same split. The article states its figure; benchmarks/results has the
# linear models'.
OTHERS = (
    ("the article's LSTM", 0.85),
    ("TF-IDF bigrams + logistic regression", 0.9083),
    ("NB-weighted trigrams + logistic regression", 0.9182),
)

DEDUPLICATED = "deduplicated"  # test reviews without a near duplicate in the training part

# What comes before all seeds, in a table and in a record.
STAGES = {"pretraining": "pretraining", "ensemble": "the ensemble's runs"}


def comparison(
    corpus: Corpus, results: Sequence[Result], minutes_before: Mapping[str, float] | None = None
) -> Sheet:
    """This experiment's accuracy beside others'; on the built-in corpus there are no others.

    Args:
        corpus: what was measured on.
        results: a run each.
        minutes_before: of the stages before all of them, by their names in `STAGES`.
    """
    rows = []
    for result in results:
        name = f"this run: {result.name}, seed {result.seed}"
        rows.append((name, f"{result.test['accuracy']:.2%}", f"{result.minutes:.1f}"))
    for stage, minutes in (minutes_before or {}).items():
        rows.append((f"{STAGES[stage]}, once for all seeds", "", f"{minutes:.1f}"))
    if len(results) > 1:
        accuracies = [result.test["accuracy"] or 0.0 for result in results]
        spread = f"{statistics.mean(accuracies):.2%} ± {statistics.stdev(accuracies):.2%}"
        rows.append(("mean and standard deviation", spread, ""))
    ours, caption = len(rows), ""
    if corpus.name == "imdb":
        rows += [(name, f"{accuracy:.2%}", "") for name, accuracy in OTHERS]
    else:
        caption = "Not IMDB: these figures cannot be compared with published ones."
    headers = ("", "test accuracy", "minutes")
    return Sheet(headers, rows, f"Data: {corpus.name}", caption, frozenset({ours}))


def record(results: Sequence[Result], minutes_before: Mapping[str, float]) -> dict[str, Any]:
    """What came out, for experiments/results/PRESET.json; docs/reference/files.md explains it."""
    subsets = [result.outcome.subsets.get(DEDUPLICATED, {}) for result in results]
    columns = {
        "test_accuracy": ([result.test["accuracy"] for result in results], 5),
        "test_accuracy_deduplicated": ([subset.get("accuracy") for subset in subsets], 5),
        "test_examples_deduplicated": ([subset.get("examples") for subset in subsets], 0),
        "test_calibration_error": ([result.test["calibration_error"] for result in results], 4),
        "test_calibration_error_unscaled": (
            [result.test["calibration_error_unscaled"] for result in results],
            4,
        ),
        "minutes": ([result.minutes for result in results], 2),
        **{f"{stage}_minutes": ([minutes_before.get(stage)] * len(results), 2) for stage in STAGES},
        "memory_mib": ([result.memory_mib for result in results], 0),
    }
    return {
        "preset": results[0].name,
        "data": results[0].outcome.data,
        "seeds": [result.seed for result in results],
        **{
            name: [None if value is None else round(value, digits) for value in values]
            for name, (values, digits) in columns.items()
        },
    }
