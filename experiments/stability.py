"""Why the article's recipe is unstable, and what steadies it.

    python -m experiments.stability --seeds 0 1 2 --record experiments/results/stability.json

The article's model is trained in several variants on 90 % of the training reviews. Of each run is
kept: accuracy on the other 10 % after each epoch; the relapse, which is how far the training loss,
a mean over 1,600 reviews, rose above the lowest such mean before; and how far the largest gradient
norm lies above the median one. docs/explanation/article-recipe.md says what came of it. The test
reviews are not read.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import json
import statistics
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import jax
from rich.console import Console
from tyro.conf import arg

from experiments.imdb.article import CONFIG as ARTICLE
from lstm_jax import LSTMParams, init_lstm
from lstm_jax.checked import Seed, checked
from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import command_line, run_command
from lstm_jax.console import Sheet, doing, say
from lstm_jax.data import load_corpus
from lstm_jax.files import write_json
from lstm_jax.machine import environment
from lstm_jax.nn import layer as layers
from lstm_jax.recipes.supervised import supervised
from lstm_jax.train.config import Config
from lstm_jax.train.open_run import Request
from lstm_jax.train.report import read_metrics
from lstm_jax.train.run_folder import RunFolder

WINDOW = 1_600  # reviews; a multiple of both batch sizes


def keras_init(key: jax.Array, features: int, hidden_size: int, **options: Any) -> LSTMParams:
    """Initial weights as Keras draws them: one orthogonal matrix [H, 4H] for all gates together.

    Its rows are orthonormal, so the block of each gate has singular values near 1/2, not 1.
    """
    params = init_lstm(key, features, hidden_size, **options)
    kernel = jax.nn.initializers.orthogonal()(key, params.recurrent_kernel.shape)
    return params._replace(recurrent_kernel=kernel)


def variant(batch_size: int, clip_norm: float | None) -> Config:
    """The article's preset with another batch size and clipping, and a validation part."""
    return replace(
        ARTICLE,
        optimizer=replace(ARTICLE.optimizer, clip_norm=clip_norm),
        train=replace(ARTICLE.train, batch_size=batch_size, validation_fraction=0.1, log_every=1),
    )


# Name: configuration, initial weights.
VARIANTS: dict[str, tuple[Config, Callable[..., LSTMParams]]] = {
    "batch 32, no clipping, Keras's start": (variant(32, None), keras_init),
    "batch 32, no clipping": (variant(32, None), init_lstm),
    "batch 64, clipped to 1 (the preset)": (variant(64, 1.0), init_lstm),
}


@checked
class Study:
    """Which seeds, and where the results go."""

    seeds: tuple[Seed, ...] = (0, 1, 2)
    """A run of every variant for each of these."""
    data: str = "imdb"
    """imdb, or another corpus to try the program on."""
    runs: Path = Path("runs/stability")
    """The folder of the runs; finished ones are not run again."""
    record: Path | None = None
    """Write what came out, and how it was made, into this JSON file."""


@contextmanager
def initial_weights(init: Callable[..., LSTMParams]) -> Generator[None]:
    """LSTM layers start from `init` inside; an experiment's means, not the library's."""
    usual, layers.init_lstm = layers.init_lstm, init
    try:
        yield
    finally:
        layers.init_lstm = usual


def measure(folder: Path, batch_size: int) -> dict[str, Any]:
    """Accuracies, relapse and gradient norms of a finished run."""
    records = read_metrics(RunFolder(folder).metrics)
    batches = [record for record in records if "loss" in record]
    steps = WINDOW // batch_size
    windows = [batches[n : n + steps] for n in range(0, len(batches) - steps + 1, steps)]
    losses = [statistics.mean(record["loss"] for record in window) for window in windows]
    norms = [record["gradient_norm"] for record in batches]
    return {
        "validation_accuracy": [r["validation_accuracy"] for r in records if "epoch" in r],
        "relapse": max(loss - min(losses[:n]) for n, loss in enumerate(losses) if n > 0),
        "largest_over_median_norm": max(norms) / statistics.median(norms),
    }


def main() -> None:
    """Runs what the command line asks for."""
    call(run, sys.argv[1:], typed="python -m experiments.stability", description=__doc__)


def run(study: Annotated[Study, arg(name="")]) -> None:
    """Runs what is missing, and prints a row for each variant."""
    console = Console()
    with doing(console, f"reading {study.data}"):
        corpus = replace(load_corpus(study.data), test=None)
    results: dict[str, list[dict[str, Any]]] = {}
    for name, (config, init) in VARIANTS.items():
        for seed in study.seeds:
            folder = study.runs / f"{list(VARIANTS).index(name)}-seed{seed}"
            with initial_weights(init):
                supervised(
                    replace(config, name=name, seed=seed),
                    corpus,
                    Request(
                        folder,
                        command_line("experiments.stability"),
                        resume=True,
                        console=Console(quiet=True),
                    ),
                )
            found = {"seed": seed, **measure(folder, config.train.batch_size)}
            results.setdefault(name, []).append(found)
            say(console, f"{name} {json.dumps(found)}")
    console.print(summary(results))
    if study.record:
        about = {"command": command_line("experiments.stability"), **environment()}
        write_json(study.record, {"variants": results, "data": corpus.name, **about})


def summary(results: dict[str, list[dict[str, Any]]]) -> Sheet:
    """A row for each variant: what its seeds have in common and how far apart they are."""
    rows = []
    for name, runs in results.items():
        last = [run["validation_accuracy"][-1] for run in runs]
        row = (
            name,
            f"{min(last):.1%} to {max(last):.1%}",
            f"{max(run['relapse'] for run in runs):.3f}",
            f"{max(run['largest_over_median_norm'] for run in runs):.0f}",
        )
        rows.append(row)
    headers = (
        "variant",
        "last accuracy,\nlowest to highest",
        "worst\nrelapse",
        "norm,\nmax/median",
    )
    return Sheet(headers, rows)


if __name__ == "__main__":
    run_command(main)
