"""Which explanation finds the words that a prediction stands on?

    python -m experiments.faithfulness runs/imdb-bilstm-seed0 \
        --record experiments/results/faithfulness.json

Words of IMDB test reviews are taken away in the order that each method gives, the words that speak
most for the predicted class first (`lstm_jax.explain.faithfulness`). "random" is a random order.
No choice is made by it, and no label is read. docs/explanation/explanations.md says what came out.
A run that is in the record already is not measured again. Times are those of the processor, of all
cores together, so that what else runs on the machine hardly counts.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from tyro.conf import Positional, arg

import lstm_jax
from lstm_jax.checked import Seed, Size, checked
from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import command_line, run_command
from lstm_jax.console import Sheet, doing, say
from lstm_jax.data import load_corpus
from lstm_jax.explain.explanation import explain
from lstm_jax.explain.faithfulness import Faithfulness, agreement, measure_faithfulness
from lstm_jax.explain.names import METHODS, Method
from lstm_jax.files import write_json
from lstm_jax.machine import provenance
from lstm_jax.predictor import Predictor
from lstm_jax.train.metrics import probabilities

_TOGETHER = 64  # texts explained at a time


@checked
class Study:
    """Which runs are asked about which texts."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN")]
    """Folders of finished runs, trained on IMDB."""
    texts: Size = 1000
    """Test reviews, drawn at random."""
    seed: Seed = 0
    """Of the drawing, and of the random order."""
    methods: tuple[Method, ...] = METHODS
    """Which methods; all by default."""
    record: Path | None = None
    """Add what came out, and how it was made, to this JSON file."""


def main() -> None:
    """Runs what the command line asks for."""
    call(run, sys.argv[1:], typed="python -m experiments.faithfulness", description=__doc__)


def run(study: Annotated[Study, arg(name="")]) -> None:
    """Measures every method on every run, and prints a table for each run."""
    console = Console()
    results = recorded(study)
    about = provenance(command_line("experiments.faithfulness"))
    with doing(console, "reading imdb"):
        corpus = load_corpus("imdb")
    assert corpus.test is not None
    chosen = np.random.default_rng(study.seed).permutation(len(corpus.test))[: study.texts]
    texts = corpus.test.take(np.sort(chosen)).texts
    for path in study.runs:
        say(console, str(path), "bold", whole=True)
        if path.name not in results:
            found = measured(study, lstm_jax.load(path), texts, console)
            results[path.name] = {**found, **about}
        console.print(table(path.name, results[path.name]["methods"]))
        if study.record:
            write_json(study.record, {"texts": study.texts, "seed": study.seed, "runs": results})


def recorded(study: Study) -> dict[str, Any]:
    """What the record has of each run.

    Raises:
        ValueError: if it is of other texts.
    """
    if study.record is None or not study.record.exists():
        return {}
    before = json.loads(study.record.read_text(encoding="utf-8"))
    for name in ("texts", "seed"):
        if before[name] != getattr(study, name):
            raise ValueError(
                f"{name} must be {before[name]}, as in {study.record}, got {getattr(study, name)}"
            )
    return before["runs"]


def measured(
    study: Study, opened: Predictor, texts: Sequence[str], console: Console
) -> dict[str, Any]:
    """Each method's faithfulness, time and conservation; and how alike methods order words."""
    padding = opened.config.text.padding
    ids = [padding.cut(each) for each in opened.tokenizer.encode_batch(texts)]

    def predicted(rows: Sequence[NDArray[np.integer]]) -> NDArray[np.floating]:
        return probabilities(opened.logits_of_ids(rows))

    found, scores = {}, {}
    for method in study.methods:
        with doing(console, f"explaining {len(texts):,} texts by {method}"):
            began, explained = time.process_time(), []
            for first in range(0, len(texts), _TOGETHER):
                explained += explain(opened, texts[first : first + _TOGETHER], method=method)
            seconds = (time.process_time() - began) / len(texts)
            scores[method] = [
                np.array([token.score for token in each.tokens if token.score is not None])
                for each in explained
            ]
        errors = [each.error for each in explained if each.error is not None]
        about = faithful(predicted, ids, scores[method])
        found[method] = {
            **asdict(about),
            "processor_milliseconds_per_text": round(1000 * seconds, 2),
            "largest_error": max(errors) if errors else None,
            "mean_error": float(np.mean(errors)) if errors else None,
        }
        say(console, f"{method} {found[method]}")
    rng = np.random.default_rng(study.seed)
    by_chance = [rng.permutation(len(each)).astype(float) for each in scores[study.methods[0]]]
    found["random"] = asdict(faithful(predicted, ids, by_chance))
    return {"methods": found, "rank_correlation": agreement(scores)}


def faithful(
    predicted: Any, ids: Sequence[NDArray[np.integer]], scores: Sequence[NDArray[np.floating]]
) -> Faithfulness:
    """The faithfulness of scores; a text's last tokens are those that have one."""
    orders = [
        np.argsort(-each, kind="stable") + (len(row) - len(each))
        for row, each in zip(ids, scores, strict=True)
    ]
    return measure_faithfulness(predicted, ids, orders)


def table(name: str, found: dict[str, Any]) -> Sheet:
    """A row for each method, the most comprehensive first."""
    rows = [
        (
            method,
            f"{each['comprehensiveness']:.3f}",
            f"{each['sufficiency']:.3f}",
            f"{each['deletion']:.3f}",
            f"{each['insertion']:.3f}",
            f"{each.get('processor_milliseconds_per_text', 0):.1f}",
        )
        for method, each in sorted(found.items(), key=lambda pair: -pair[1]["comprehensiveness"])
    ]
    headers = (
        "method",
        "comprehen-\nsiveness",
        "suffi-\nciency",
        "deletion",
        "insertion",
        "ms of\na core",
    )
    return Sheet(headers, rows, name)


if __name__ == "__main__":
    run_command(main)
