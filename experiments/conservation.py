"""Do explanations add up? Every method, pooling and direction, in float32 and float64.

    python -m experiments.conservation --record experiments/results/conservation.json

Whether a method conserves the logit does not depend on what the weights were trained to, so they
are random here, as wide as those of `bilstm`; the texts are IMDB test reviews. A method that
promises no sum is not in the table.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import itertools
import sys
from pathlib import Path
from typing import Annotated, Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from tyro.conf import arg

from lstm_jax.checked import Seed, Size, checked
from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import command_line, run_command
from lstm_jax.console import Sheet, doing
from lstm_jax.data import load_corpus
from lstm_jax.explain.methods import attribute
from lstm_jax.explain.names import Method
from lstm_jax.explain.readout import class_target
from lstm_jax.files import write_json
from lstm_jax.machine import provenance
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.models.config import ModelConfig
from lstm_jax.nn.layer import Direction
from lstm_jax.nn.pooling import Pooling
from lstm_jax.text import NGrams, WordTokenizer

METHODS: tuple[Method, ...] = ("ledger", "lrp", "decomposition", "integrated_gradients")
# Tokens of each text that are read where that takes many times as long as the other methods.
_SHORTER = {"decomposition": 100, "integrated_gradients": 100}
_TOGETHER = 50


@checked
class Study:
    """How much is measured."""

    texts: Size = 1000
    """Test reviews, drawn at random."""
    longest: Size = 400
    """Tokens that are read of each."""
    poolings: tuple[Pooling, ...] = get_args(Pooling)
    """Which poolings; every direction of each."""
    size: Size = 100
    """Features of the vectors, and units of each direction."""
    seed: Seed = 0
    """Of the drawing, and of the weights."""
    record: Path | None = None
    """Write what came out, and how it was made, into this JSON file."""


def main() -> None:
    """Runs what the command line asks for."""
    call(run, sys.argv[1:], typed="python -m experiments.conservation", description=__doc__)


def run(study: Annotated[Study, arg(name="")]) -> None:
    """Measures every combination, and prints the largest errors."""
    console, found = Console(), []
    about = provenance(command_line("experiments.conservation"))
    with doing(console, "reading imdb"):
        corpus = load_corpus("imdb")
    assert corpus.test is not None
    rows = np.random.default_rng(study.seed).permutation(len(corpus.test))[: study.texts]
    tokenizer = WordTokenizer.train(
        corpus.train.texts, preset="punctuation", vocabulary_size=20_000
    )
    read = tokenizer.encode_batch(corpus.test.take(rows).texts)
    ids = sorted((each[: study.longest] for each in read), key=len)
    ngrams = NGrams.find(ids, tokenizer.vocabulary_size, (20_000,))
    for dtype in ("float32", "float64"):
        for pooling, direction in itertools.product(study.poolings, get_args(Direction)):
            with (
                doing(console, f"{dtype} {pooling} {direction}"),
                jax.enable_x64(dtype != "float32"),
            ):
                found.append(measured(study, ids, ngrams, (dtype, pooling, direction)))
    console.print(table(found))
    if study.record:
        write_json(study.record, {"texts": len(ids), "errors": found, **about})


def measured(
    study: Study, ids: list[Any], ngrams: NGrams, of: tuple[str, Pooling, Direction]
) -> dict[str, Any]:
    """The largest error of each method, in logits and as a share of the logit."""
    dtype, pooling, direction = of
    config = ModelConfig(
        embedding_size=study.size,
        hidden_size=study.size,
        embedding_scale=0.5,
        pooling=pooling,
        direction=direction,
        linear=True,
        implementation="auto" if dtype == "float32" else "scan",
    )
    model = TextClassifier(config, ngrams.vocabulary_size, 2, ngrams)
    tokens, lengths = jnp.zeros((1, 8), jnp.int32), jnp.ones(1, jnp.int32)
    params: Any = model.init(jax.random.key(study.seed), tokens, lengths)["params"]
    rng = np.random.default_rng(study.seed)
    shapes = {name: np.shape(array) for name, array in params["linear"].items()}
    linear = {name: 0.1 * np.abs(rng.normal(size=shape)) for name, shape in shapes.items()}
    params = {**params, "linear": linear}
    params = jax.tree.map(lambda array: jnp.asarray(array, dtype), params)
    errors: dict[str, Any] = {}
    for method in METHODS:
        longest = min(study.longest, _SHORTER.get(method, study.longest))
        missed, values = [], []
        for first in range(0, len(ids), _TOGETHER):
            batch = [each[:longest] for each in ids[first : first + _TOGETHER]]
            tokens = np.zeros((len(batch), longest), np.int32)
            for row, each in zip(tokens, batch, strict=True):
                row[: len(each)] = each
            lengths = jnp.array([len(each) for each in batch], jnp.int32)
            target = class_target(1, jnp.ones(len(batch), jnp.int32)).astype(dtype)
            found = attribute(model, params, jnp.asarray(tokens), lengths, target, method)
            missed += np.asarray(found.error).tolist()
            values += np.asarray(found.value).tolist()
        errors[method] = {
            "texts": len(ids),
            "longest": longest,
            "largest": float(np.max(missed)),
            "median": float(np.median(missed)),
            "median_logit": float(np.median(np.abs(values))),
        }
    return {"dtype": dtype, "pooling": pooling, "direction": direction, "methods": errors}


def table(found: list[dict[str, Any]]) -> Sheet:
    """The largest error of each method, a row for each combination."""
    rows = [
        (
            each["dtype"],
            each["pooling"],
            each["direction"],
            *(f"{each['methods'][method]['largest']:.1e}" for method in METHODS),
        )
        for each in found
    ]
    headers = ("type", "pooling", "direction", *(m.replace("_", "\n") for m in METHODS))
    return Sheet(headers, rows, "Largest error of a sum, in logits")


if __name__ == "__main__":
    run_command(main)
