"""`python -m experiments.imdb`: its command line."""

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from experiments.imdb import adversarial, article, bilstm, distilled, finetuned
from experiments.imdb.preset import Preset
from experiments.imdb.results import DEDUPLICATED, comparison, record
from experiments.imdb.session import Session, run_path
from lstm_jax.checked import Seed, checked
from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import command_line
from lstm_jax.cli.reading import read_corpus
from lstm_jax.cli.resume import resumed_config, typed_options
from lstm_jax.console import say
from lstm_jax.data import Corpus
from lstm_jax.data.duplicates import near_duplicates
from lstm_jax.files import write_json
from lstm_jax.machine import provenance
from lstm_jax.stops import advise
from lstm_jax.train.config import Config
from lstm_jax.train.processes import connect, first_console, is_first
from lstm_jax.train.run_folder import RunFolder

MODULES = (article, bilstm, adversarial, finetuned, distilled)
PRESETS: dict[str, Preset] = {module.CONFIG.name: module.PRESET for module in MODULES}

# What presets were called before version 0.2.
RENAMED = {
    "pretrained": "it is distilled now",
    "large": "it is gone; give finetuned other sizes (--model.hidden-size, --model.embedding-size)",
}


@checked
class Experiment:
    """What to run, on what, and where it goes."""

    config: Annotated[Config, arg(name="")]
    data: str = "auto"
    """imdb, builtin, the path of a local aclImdb archive or folder, or auto: imdb if it can be had,
    else the built-in corpus. On that one, bilstm has other settings than those shown here."""
    seeds: tuple[Seed, ...] = ()
    """Several seeds, one run after the other, in place of --seed."""
    runs: Path = Path("runs")
    """The folder in which each run gets a folder of its own."""
    resume: bool = False
    """Go on with runs that are there, and start those that are not."""
    record: Path | None = None
    """Write accuracy and minutes of these runs, and how they were made, into this JSON file."""


def main() -> None:
    """Trains and measures a preset, and prints how it compares."""
    from experiments.imdb import __main__ as program

    arguments = sys.argv[1:]
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["bilstm", *arguments]
    name = arguments[0]
    if name in RENAMED:
        raise ValueError(f"no preset {name}: {RENAMED[name]}")
    if name not in (*PRESETS, "-h", "--help"):
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    call(
        {name: _command(preset, arguments[1:]) for name, preset in PRESETS.items()},
        arguments,
        typed="python -m experiments.imdb",
        description=program.__doc__,
    )


def _command(preset: Preset, options: Sequence[str]) -> Callable[..., None]:
    """The function that runs a preset, with the preset's settings where no others are given."""

    def command(
        experiment: Annotated[Experiment, arg(name="")] = Experiment(preset.config),  # noqa: B008 - frozen
    ) -> None:
        connect()
        needed = preset.needs_unlabelled(experiment.config)
        corpus = read_corpus(first_console(), experiment.data, unlabelled=needed)
        if corpus.name == "builtin" and preset.builtin is not None:
            # The options once more, over other settings: only what they name is to be kept.
            experiment = call(_parser(preset.builtin), options, typed="python -m experiments.imdb")
        run(preset, experiment, corpus)

    command.__doc__ = preset.description
    return command


def _parser(config: Config) -> Callable[..., Experiment]:
    """The function that gives an experiment, with these settings where no others are given."""

    def parse(
        experiment: Annotated[Experiment, arg(name="")] = Experiment(config),  # noqa: B008 - frozen
    ) -> Experiment:
        return experiment

    return parse


def run(preset: Preset, experiment: Experiment, corpus: Corpus) -> None:
    """Runs every seed of an experiment, after the stages that come before.

    Args:
        preset: what is done.
        experiment: what was asked for.
        corpus: what its `data` names, with the texts without labels if they are to be read.
    """
    console, command = first_console(), command_line("experiments.imdb")
    about = provenance(command)  # before the runs: the code may have changed by their end
    advise("--resume goes on")
    seeds = experiment.seeds or (experiment.config.seed,)
    configs = [replace(experiment.config, seed=seed) for seed in seeds]
    if experiment.resume:  # what is not typed is as it was
        typed = typed_options(sys.argv[1:])
        folders = [RunFolder(run_path(experiment.runs, corpus, config)) for config in configs]
        configs = [
            resumed_config(folder, config, typed)
            for folder, config in zip(folders, configs, strict=True)
        ]
        if not corpus.unlabelled and any(map(preset.needs_unlabelled, configs)):
            corpus = read_corpus(console, experiment.data, unlabelled=True)
    subsets = {}
    if experiment.record and corpus.test is not None:
        subsets[DEDUPLICATED] = ~near_duplicates(corpus.test.texts, corpus.train.texts)
    session = Session(
        corpus, configs, experiment.runs, command, experiment.resume, console, subsets
    )
    trained = preset.run(session)
    results = [each.result for each in trained]
    console.print(comparison(corpus, results, session.minutes_before))
    folder = shlex.quote(str(trained[-1].path))
    say(
        console,
        f'Try it: python -m lstm_jax predict {folder} "A film I will not forget."',
        whole=True,
    )
    if experiment.record and is_first():
        write_json(experiment.record, {**record(results, session.minutes_before), **about})
        say(console, f"wrote {experiment.record}")
