"""`lstm-jax pretrain`."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from lstm_jax.cli.program import command_line
from lstm_jax.cli.reading import read_without_labels
from lstm_jax.cli.resume import resumable
from lstm_jax.console import doing, say
from lstm_jax.data import Reading, check_reading
from lstm_jax.recipes.pretrain import Task
from lstm_jax.recipes.pretrain import pretrain as run_pretraining
from lstm_jax.recipes.settings import SAMPLES, PretrainingObjective
from lstm_jax.stops import advise
from lstm_jax.train.config import Config
from lstm_jax.train.open_run import Request
from lstm_jax.train.processes import Distributed, connect, first_console


@dataclass(frozen=True)
class Learns:
    """What a model of texts learns to predict, and from where it starts."""

    objective: PretrainingObjective = "two_view"
    """two_view: one half of a text predicts the bag of n-grams of the other; next_word: a language
    model."""
    samples: int = SAMPLES
    """Of next_word, words drawn for each batch to estimate the loss with."""
    init: Path | None = None
    """The folder of another run of `pretrain` to start from, such as one of next_word."""


@resumable
def pretrain(
    texts: Annotated[Positional[str], arg(metavar="TEXTS")],
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    config: Annotated[Config, arg(name="")] = Config(name="pretrained"),  # noqa: B008 - frozen
    reading: Annotated[Reading, arg(name="")] = Reading(),  # noqa: B008 - frozen
    learns: Annotated[Learns, arg(name="")] = Learns(),
    distributed: Distributed = Distributed(),  # noqa: B008 - frozen
    resume: bool = False,
) -> None:
    """Train on texts without labels, for `train --init` to start from.

    Example: lstm-jax pretrain texts.txt runs/pretrained

    Args:
        texts: a file with a text a line (.txt), or a file or folder as for `train`, of which labels
            are not read; or imdb or builtin, of which test examples are not read.
        run: the folder to make for the run.
        config: the run's settings; those that are about labels must be the defaults.
        reading: how files are read.
        learns: what it learns to predict, and from where it starts.
        distributed: of many processes, which one this is.
        resume: go on with the run in the folder; options that are not typed are what they were, and
            `--resume RUN` in the place of everything is enough.
    """
    advise("--resume goes on")
    check_reading([texts], reading, labelled=False)
    connect(distributed)
    console = first_console()
    with doing(console, f"reading {texts}"):
        read, warnings = read_without_labels(texts, reading)
    for warning in warnings:
        say(console, warning, "yellow")
    request = Request(run, command_line("lstm_jax"), resume, console)
    result = run_pretraining(
        config, read, Task(texts, learns.objective, learns.samples), request, init=learns.init
    )
    if (perplexity := result.validation.get("perplexity")) is not None:
        say(console, f"perplexity on held-out texts: {perplexity:.1f}")
    say(console, f"Try it: lstm-jax train DATA RUN --init {shlex.quote(str(run))}", whole=True)
