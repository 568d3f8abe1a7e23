"""Does an LSTM eliminate unused information?

    python -m experiments.elimination --runs runs --record experiments/results/elimination.json

The article says that an LSTM "works on the elimination of unused information". Here that is tested
on IMDB test reviews. What a word wrote into the memory and what the forget gates leave of it is
known exactly (`lstm_jax.explain.ledger`). Words are deleted in the order of several measures, those
that count least first; if the memory eliminates what is not needed, a review without the words that
survive least is classified as before.

No label is read but for the accuracy, and no choice is made by it.
docs/explanation/elimination.md says what came out.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from tyro.conf import arg

import lstm_jax
from lstm_jax.checked import Seed, Size, checked
from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import command_line, run_command
from lstm_jax.console import Sheet, doing, say
from lstm_jax.data import Examples, load_corpus
from lstm_jax.explain.explanation import explain
from lstm_jax.explain.faithfulness import part_of
from lstm_jax.explain.ledger import survival, written
from lstm_jax.explain.methods import exact
from lstm_jax.explain.trace import trace_classifier
from lstm_jax.files import write_json
from lstm_jax.machine import provenance
from lstm_jax.predictor import Predictor
from lstm_jax.train.metrics import probabilities

# The shares of words that are deleted.
SHARES = tuple(round(0.1 * n, 1) for n in range(10))
METHODS = ("ledger", "lrp", "integrated_gradients")
# Words by how frequent they are in the training part: the ranks at which a band ends.
BANDS = {"the 50 most frequent": 53, "to rank 500": 503, "to rank 5,000": 5003, "rarer": 10**9}
# Tokens from the end of a text, as the direction reads it.
DISTANCES = (0, 1, 2, 5, 10, 20, 50, 100, 200)
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)  # of the units' half-lives
_TOGETHER = 32


@checked
class Study:
    """Which runs are asked about which reviews."""

    runs: Path = Path("runs")
    """The folder of the runs that experiments.imdb made."""
    presets: tuple[str, ...] = ("article", "bilstm")
    """Which of them."""
    seeds: tuple[Seed, ...] = (0, 1, 2)
    """Of each preset, the run of each of these."""
    texts: Size = 2000
    """Test reviews, drawn at random, the same for every run."""
    seed: Seed = 0
    """Of the drawing and of the random order."""
    record: Path | None = None
    """Write what came out, and how it was made, into this JSON file."""


def main() -> None:
    """Runs what the command line asks for."""
    call(run, sys.argv[1:], typed="python -m experiments.elimination", description=__doc__)


def run(study: Annotated[Study, arg(name="")]) -> None:
    """Deletes words of reviews for every run, and prints a table for each preset."""
    console, found = Console(), {}
    about = provenance(command_line("experiments.elimination"))
    with doing(console, "reading imdb"):
        corpus = load_corpus("imdb")
    assert corpus.test is not None
    rows = np.random.default_rng(study.seed).permutation(len(corpus.test))[: study.texts]
    examples = corpus.test.take(np.sort(rows))
    for preset in study.presets:
        found[preset] = {}
        for seed in study.seeds:
            path = study.runs / f"imdb-{preset}-seed{seed}"
            say(console, str(path), "bold", whole=True)
            opened = lstm_jax.load(path)
            found[preset][str(seed)] = measured(study, opened, examples, console)
        console.print(table(preset, list(found[preset].values())))
    if study.record:
        write_json(study.record, {"texts": len(examples), "shares": SHARES, "runs": found, **about})


def measured(
    study: Study, opened: Predictor, examples: Examples, console: Console
) -> dict[str, Any]:
    """What is left of accuracy and probability without some words, and what gates let go."""
    padding = opened.config.text.padding
    ids = [padding.cut(each) for each in opened.tokenizer.encode_batch(examples.texts)]
    with doing(console, "looking at the memory"):
        survived, memory = remembered(opened, ids)
    scores: dict[str, list[NDArray[np.floating]]] = {"survival": survived}
    for method in METHODS:
        with doing(console, f"explaining by {method}"):
            explained = []
            for first in range(0, len(ids), _TOGETHER):
                texts = examples.texts[first : first + _TOGETHER]
                explained += explain(opened, texts, method=method)  # pyright: ignore
        scores[method] = [
            np.abs([token.score for token in each.tokens if token.score is not None])
            for each in explained
        ]
    rng = np.random.default_rng(study.seed)
    scores["random"] = [rng.permutation(len(each)).astype(float) for each in survived]
    # Frequent words have low ids.
    scores["rarity"] = [row[len(row) - len(s) :].astype(float) for row, s in zip(ids, survived)]  # noqa: B905
    whole = probabilities(opened.logits_of_ids(ids))
    labels, predicted = examples.labels, whole.argmax(axis=1)
    curves: dict[str, Any] = {}
    for name, of_texts in scores.items():
        curves[name] = {"accuracy": [], "same_prediction": [], "probability": []}
        with doing(console, f"deleting words by {name}"):
            for share in SHARES:
                rows = [
                    part_of(
                        row,
                        np.argsort(each, kind="stable") + len(row) - len(each),
                        share,
                        first=False,
                    )
                    for row, each in zip(ids, of_texts, strict=True)
                ]
                left = probabilities(opened.logits_of_ids(rows))
                curve = curves[name]
                curve["accuracy"].append(float((left.argmax(axis=1) == labels).mean()))
                curve["same_prediction"].append(float((left.argmax(axis=1) == predicted).mean()))
                of_class = left[np.arange(len(left)), predicted]
                curve["probability"].append(float(of_class.mean()))
    return {"curves": curves, "memory": memory}


def order(ids: NDArray[np.integer], scores: NDArray[np.floating]) -> NDArray[np.integer]:
    """The places of a text's words, the lowest score first; what has none stands before them."""
    return np.argsort(scores, kind="stable") + len(ids) - len(scores)


def remembered(
    opened: Predictor, ids: Sequence[NDArray[np.integer]]
) -> tuple[list[NDArray[np.floating]], dict[str, Any]]:
    """Of each word the share of its writing that survives; and statistics of each direction."""
    model, front = exact(opened.model), opened.config.text.pad == "front"
    width = opened.config.text.max_length
    per_word: list[list[NDArray[np.floating]]] = [[] for _ in ids]
    sums: dict[str, dict[str, Any]] = {}
    for first in range(0, len(ids), _TOGETHER):
        batch = ids[first : first + _TOGETHER]
        tokens = np.zeros((len(batch), width), np.int32)
        for row, each in zip(tokens, batch, strict=True):
            row[width - len(each) if front else 0 :][: len(each)] = each
        lengths = np.array([width if front else len(each) for each in batch], np.int32)
        trace = trace_classifier(model, opened.params, jnp.asarray(tokens), jnp.asarray(lengths))
        for direction in trace.layers[-1].directions:
            name = "backward" if direction.reverse else "forward"
            wrote = np.abs(np.asarray(written(direction.steps)))
            kept = np.asarray(
                survival(direction.steps, jnp.asarray(lengths), reverse=direction.reverse)
            )
            forget = np.asarray(direction.steps.forget)
            of_direction = sums.setdefault(name, new_sums(wrote.shape[-1]))
            for n, each in enumerate(batch):
                start = width - len(each) if front else 0
                part = slice(start, start + len(each))
                add(
                    of_direction,
                    each,
                    wrote[n, part],
                    kept[n, part],
                    forget[n, part],
                    direction.reverse,
                )
                left = (kept[n, part] * wrote[n, part]).sum(-1) / wrote[n, part].sum(-1)
                per_word[first + n].append(left)
    # The start token is no word.
    survived = [
        np.mean(of_text, axis=0)[1 if row[0] == 1 else 0 :]
        for of_text, row in zip(per_word, ids, strict=True)
    ]
    return survived, {name: summed_up(each) for name, each in sums.items()}


def new_sums(units: int) -> dict[str, Any]:
    """What is added up over texts."""
    return {
        "steps": 0,
        "log_forget": np.zeros(units),
        "wrote": np.zeros(units),
        "left": np.zeros(units),
        "by_band": {name: np.zeros(3) for name in BANDS},  # words, written, left
        "by_distance": {distance: np.zeros(2) for distance in DISTANCES},  # written, left
        "by_part": np.zeros((10, 2)),  # tenths of the text: written, left
    }


def add(
    sums: dict[str, Any],
    ids: NDArray[np.integer],
    wrote: NDArray[np.floating],
    kept: NDArray[np.floating],
    forget: NDArray[np.floating],
    reverse: bool,
) -> None:
    """Adds one text; `wrote`, `kept` and `forget` are [T, H]."""
    left = wrote * kept
    sums["steps"] += len(ids)
    sums["log_forget"] += np.log(np.clip(forget, 1e-12, 1)).sum(axis=0)
    sums["wrote"] += wrote.sum(axis=0)
    sums["left"] += left.sum(axis=0)
    of_words, left_of_words = wrote.sum(axis=1), left.sum(axis=1)
    below = 0
    for name, end in BANDS.items():
        inside = (ids >= max(below, 2)) & (ids < end)
        sums["by_band"][name] += inside.sum(), of_words[inside].sum(), left_of_words[inside].sum()
        below = end
    from_end = np.arange(len(ids)) if reverse else np.arange(len(ids))[::-1]
    for distance in DISTANCES:
        at = from_end == distance
        sums["by_distance"][distance] += of_words[at].sum(), left_of_words[at].sum()
    tenths = np.minimum(10 * np.arange(len(ids)) // len(ids), 9)
    np.add.at(sums["by_part"], tenths, np.stack([of_words, left_of_words], axis=1))


def summed_up(sums: dict[str, Any]) -> dict[str, Any]:
    """Shares and half-lives, from the sums of a direction."""
    half_lives = -np.log(2) / (sums["log_forget"] / sums["steps"])
    quantiles = {str(part): float(np.quantile(half_lives, part)) for part in QUANTILES}
    return {
        "survives": float(sums["left"].sum() / sums["wrote"].sum()),
        "half_lives": quantiles,
        "by_band": {
            name: {
                "words": float(words / sums["steps"]),
                "written": float(of_band / max(words, 1)),
                "survives": float(left / of_band) if of_band else None,
            }
            for name, (words, of_band, left) in sums["by_band"].items()
        },
        "by_distance": {
            str(distance): float(left / of_all) if of_all else None
            for distance, (of_all, left) in sums["by_distance"].items()
        },
        "by_tenth": [float(left / of_all) if of_all else None for of_all, left in sums["by_part"]],
    }


def table(preset: str, runs: Sequence[dict[str, Any]]) -> Sheet:
    """The accuracy that is left, a row for each measure, the mean over seeds."""
    rows = []
    for name in runs[0]["curves"]:
        accuracy = np.mean([each["curves"][name]["accuracy"] for each in runs], axis=0)
        rows.append((name, *(f"{100 * accuracy[place]:.1f}" for place in (0, 1, 3, 5, 7, 9))))
    headers = ("least first by", "whole", "-10%", "-30%", "-50%", "-70%", "-90%")
    return Sheet(
        headers, rows, f"{preset}: accuracy without the words that count least, in percent"
    )


if __name__ == "__main__":
    run_command(main)
