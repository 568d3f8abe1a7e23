"""How well does one unit classify, by one threshold on its value?

    python -m experiments.units runs/imdb-bilstm-seed0 --record experiments/results/units.json

Radford, Jozefowicz & Sutskever (2017) found one unit of 4,096 that classifies IMDB with 92.3 %, in
a model that had read 82 million product reviews and no label. Here the units are the pooled
features of runs on IMDB: of a classifier, which has seen the labels, or of `pretrain`, which has
not. The unit and its threshold are chosen on training reviews, and measured once on the test
reviews.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from tyro.conf import Positional, arg

from lstm_jax.checked import Seed, Size, checked
from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import command_line, run_command
from lstm_jax.console import Sheet, doing, say
from lstm_jax.data import Examples, load_corpus
from lstm_jax.explain.ledger import written
from lstm_jax.explain.trace import trace_classifier
from lstm_jax.explain.units import best_threshold, classify, describe_unit
from lstm_jax.files import write_json
from lstm_jax.machine import provenance
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.models.encoder import ENCODER
from lstm_jax.shapes import Params
from lstm_jax.text import WordTokenizer
from lstm_jax.train.checkpoints import load_encoder
from lstm_jax.train.config import Config
from lstm_jax.train.run_folder import RunFolder

_TOGETHER = 64


@checked
class Study:
    """Which runs, and on how much a unit is chosen."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN")]
    """Folders of finished runs on IMDB, of classifiers or of `pretrain`."""
    train: Size = 10_000
    """Training reviews on which the unit and its threshold are chosen."""
    described: Size = 500
    """Test reviews from which the words that drive it are read."""
    seed: Seed = 0
    """Of the drawing."""
    record: Path | None = None
    """Write what came out, and how it was made, into this JSON file."""


def main() -> None:
    """Runs what the command line asks for."""
    call(run, sys.argv[1:], typed="python -m experiments.units", description=__doc__)


def run(study: Annotated[Study, arg(name="")]) -> None:
    """Chooses a unit of each run, and measures it."""
    console, found = Console(), {}
    about = provenance(command_line("experiments.units"))
    with doing(console, "reading imdb"):
        corpus = load_corpus("imdb")
    assert corpus.test is not None
    rows = np.random.default_rng(study.seed).permutation(len(corpus.train))[: study.train]
    for path in study.runs:
        say(console, str(path), "bold", whole=True)
        found[path.name] = measured(study, path, (corpus.train.take(rows), corpus.test), console)
        say(console, str(found[path.name]))
    console.print(table(found))
    if study.record:
        write_json(study.record, {"reviews_chosen_on": len(rows), "runs": found, **about})


def measured(
    study: Study, path: Path, parts: tuple[Examples, Examples], console: Console
) -> dict[str, Any]:
    """The best unit of a run, its accuracy on both parts, and what it is about."""
    model, params, tokenizer, config = encoder(path)
    values = []
    for part in parts:
        with doing(console, f"reading {len(part):,} reviews"):
            ids = [config.text.padding.cut(each) for each in tokenizer.encode_batch(part.texts)]
            values.append(features(model, params, ids))
    train, test = parts
    rules = [best_threshold(column, train.labels) for column in values[0].T]
    unit = int(np.argmax([rule.accuracy for rule in rules]))
    right = classify(rules[unit], values[1][:, unit]) == test.labels
    some = test.take(np.arange(0, len(test), max(1, len(test) // study.described)))
    # Features stand in the order of pools, directions, units.
    direction, number = divmod(unit, config.model.hidden_size)
    return {
        "features": values[0].shape[1],
        "unit": unit,
        "pool": "max" if unit < values[0].shape[1] // 2 else "mean",
        "train_accuracy": round(rules[unit].accuracy, 4),
        "test_accuracy": round(float(right.mean()), 4),
        **about_unit((model, params, tokenizer), some.texts, config, (direction % 2, number)),
    }


def encoder(path: Path) -> tuple[TextClassifier, Params, WordTokenizer, Config]:
    """The embedding and LSTMs of a run, whatever it was trained for."""
    folder = RunFolder(path)
    config, tokenizer = Config.load(folder.config), folder.load_tokenizer()
    model = TextClassifier(config.model, tokenizer.vocabulary_size, 2, folder.load_ngrams())
    read = load_encoder(folder.weights)
    return model, {name: read[name] for name in ENCODER}, tokenizer, config


@partial(jax.jit, static_argnames="model")
def _pooled(model: TextClassifier, params: Params, tokens: Any, lengths: Any) -> Any:
    embeddings = model.apply({"params": params}, tokens, method="embed")
    encoding = model.apply({"params": params}, embeddings, lengths, method="encode")
    return model.apply({"params": params}, encoding, lengths, method="pool")


def features(
    model: TextClassifier, params: Params, ids: Sequence[NDArray[np.integer]]
) -> NDArray[np.floating]:
    """The pooled features [N, F] of texts."""
    order = np.argsort([len(each) for each in ids], kind="stable")
    found: list[NDArray[np.floating]] = []
    for first in range(0, len(order), _TOGETHER):
        batch = [ids[row] for row in order[first : first + _TOGETHER]]
        width = -(-max(map(len, batch)) // 64) * 64
        tokens, lengths = np.zeros((_TOGETHER, width), np.int32), np.zeros(_TOGETHER, np.int32)
        for place, each in enumerate(batch):
            tokens[place, : len(each)], lengths[place] = each, len(each)
        pooled = _pooled(model, params, jnp.asarray(tokens), jnp.asarray(lengths))
        found.append(np.asarray(pooled)[: len(batch)])
    values = np.concatenate(found)
    return values[np.argsort(order)]


def about_unit(
    run: tuple[TextClassifier, Params, WordTokenizer],
    texts: Sequence[str],
    config: Config,
    place: tuple[int, int],
) -> dict[str, Any]:
    """Which words drive a unit of the last layer, and for how long it remembers."""
    (model, params, tokenizer), (direction, number) = run, place
    forget, wrote, words = [], [], []
    for text in texts:
        ids = config.text.padding.cut(tokenizer.encode_batch([text])[0])
        width = -(-len(ids) // 64) * 64
        tokens = jnp.asarray(np.pad(ids, (0, width - len(ids))))[None]
        trace = trace_classifier(model, params, tokens, jnp.array([len(ids)]))
        steps = trace.layers[-1].directions[direction].steps
        forget.append(np.asarray(steps.forget)[0, : len(ids), number])
        wrote.append(np.asarray(written(steps))[0, : len(ids), number])
        words += tokenizer.words(ids)
    unit = describe_unit(number, np.concatenate(forget), np.concatenate(wrote), words)
    return {"direction": ("forward", "backward")[direction], **asdict(unit)}


def table(found: dict[str, Any]) -> Sheet:
    """A row for each run."""
    rows = [
        (
            name,
            f"{each['features']:,}",
            f"{each['train_accuracy']:.1%}",
            f"{each['test_accuracy']:.1%}",
            f"{each['half_life']:.1f}",
        )
        for name, each in found.items()
    ]
    headers = ("run", "units", "chosen on", "test", "half-life")
    return Sheet(headers, rows, "One unit, one threshold")


if __name__ == "__main__":
    run_command(main)
