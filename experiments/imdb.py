"""Sentiment of movie reviews, trained and measured on IMDB.

    python -m experiments.imdb                  a bidirectional LSTM, preset `bilstm`
    python -m experiments.imdb adversarial      begun with what the labelled reviews say
    python -m experiments.imdb finetuned        begun with what all reviews say, labels aside
    python -m experiments.imdb pretrained       it goes on, taught by three such and a linear model
    python -m experiments.imdb large            the preset `finetuned`, larger, for a GPU
    python -m experiments.imdb article          the article's experiment

With `--seeds 0 1 2 --record experiments/results/PRESET.json` accuracy and minutes of each seed are
kept, with command, machine, versions and date.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from rich.console import Console
from tyro.conf import arg

from experiments.presets import (
    ADVERSARIAL,
    ARTICLE,
    BILSTM,
    BUILTIN_BILSTM,
    FINETUNED,
    LABELLED_PRETRAINING,
    LARGE,
    LARGE_PRETRAINING,
    PRETRAINED,
    PRETRAINING,
)
from lstm_jax.checked import Seed, checked
from lstm_jax.cli import command_line, run_command
from lstm_jax.command_line import call
from lstm_jax.console import Sheet, doing, say
from lstm_jax.files import write_json
from lstm_jax.machine import provenance
from lstm_jax.resume import resumed_config, typed_options
from lstm_jax.run import load
from lstm_jax.stops import advise
from lstm_jax.teacher import check_parts, check_teachable, teach
from lstm_jax.text import Corpus, load_corpus
from lstm_jax.text.duplicates import near_duplicates
from lstm_jax.train.config import (
    Config,
)
from lstm_jax.train.folder import RunFolder
from lstm_jax.train.inputs import inputs_of_runs
from lstm_jax.train.loop import train
from lstm_jax.train.pretraining import pretrain


class Reading(NamedTuple):
    """What is read before any label: how, and whether reviews without labels too."""

    config: Config
    unlabelled: bool


class Preset(NamedTuple):
    """A run, and what comes before it, once for all seeds.

    It begins with the reading. If it has teachers, they do, and each seed goes on from one of them.
    On the built-in corpus it has the settings of `builtin`, if there are any.
    """

    description: str
    config: Config
    reading: Reading | None = None
    teachers: tuple[Config, ...] = ()
    builtin: Config | None = None


READ_ALL = Reading(PRETRAINING, unlabelled=True)
READ_LABELLED = Reading(LABELLED_PRETRAINING, unlabelled=False)
READ_ALL_LARGE = Reading(LARGE_PRETRAINING, unlabelled=True)
TEACHERS = tuple(replace(FINETUNED, seed=seed) for seed in range(3))
PRESETS = {
    "article": Preset("the article's experiment, its padding included", ARTICLE),
    "bilstm": Preset(
        "a bidirectional LSTM over words and phrases, pooled", BILSTM, builtin=BUILTIN_BILSTM
    ),
    "adversarial": Preset(
        "begun with what the labelled reviews say, labels aside", ADVERSARIAL, READ_LABELLED
    ),
    "finetuned": Preset("begun with what all reviews say, labels aside", FINETUNED, READ_ALL),
    "pretrained": Preset(
        "it goes on, taught by three such and a linear model", PRETRAINED, READ_ALL, TEACHERS
    ),
    "large": Preset("`finetuned` with four times the units, for a GPU", LARGE, READ_ALL_LARGE),
}

# What others reach on the same split. The article states its figure; benchmarks/results has the
# linear models'.
OTHERS = (
    ("the article's LSTM", 0.85),
    ("TF-IDF bigrams + logistic regression", 0.9083),
    ("NB-weighted trigrams + logistic regression", 0.9182),
)

# What a record has of each run, and to how many decimal places; docs/files.md says what each is.
RECORDED = {
    "seed": 0,
    "test_accuracy": 5,
    "test_accuracy_new": 5,
    "test_examples_new": 0,
    "test_calibration_error": 4,
    "test_calibration_error_unscaled": 4,
    "minutes": 2,
    "pretraining_minutes": 2,
    "teacher_minutes": 2,
    "memory_mib": 0,
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
    arguments = sys.argv[1:]
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["bilstm", *arguments]
    name = arguments[0]
    if name not in (*PRESETS, "-h", "--help"):
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    call(
        {name: _command(preset, arguments[1:]) for name, preset in PRESETS.items()},
        arguments,
        typed="python -m experiments.imdb",
        description=__doc__,
    )


def _command(preset: Preset, options: Sequence[str]) -> Callable[..., None]:
    """The function that runs a preset, with the preset's settings where no others are given."""

    def command(
        experiment: Annotated[Experiment, arg(name="")] = Experiment(preset.config),  # noqa: B008 - frozen
    ) -> None:
        with doing(Console(), f"reading {experiment.data}"):
            corpus = load_corpus(
                experiment.data, unlabelled=_reads_unlabelled(experiment.config, preset.reading)
            )
        if corpus.name == "builtin" and preset.builtin is not None:
            # The options once more, over other settings: only what they name is to be kept.
            experiment = call(_parser(preset.builtin), options, typed="python -m experiments.imdb")
        run(experiment, corpus, preset.reading, preset.teachers)

    command.__doc__ = preset.description
    return command


def _reads_unlabelled(config: Config, reading: Reading | None) -> bool:
    """Whether a run or what comes before it reads texts without labels."""
    if reading is None:
        return config.train.unlabelled > 0 or config.text.window > 0
    # What a reading leaves has word vectors already.
    return config.train.unlabelled > 0 or reading.unlabelled


def _parser(config: Config) -> Callable[..., Experiment]:
    """The function that gives an experiment, with these settings where no others are given."""

    def parse(
        experiment: Annotated[Experiment, arg(name="")] = Experiment(config),  # noqa: B008 - frozen
    ) -> Experiment:
        return experiment

    return parse


def run(
    experiment: Experiment,
    corpus: Corpus,
    reading: Reading | None = None,
    teachers: Sequence[Config] = (),
) -> None:
    """Runs every seed of an experiment, after what comes before: see `Preset`.

    Args:
        experiment: what to run.
        corpus: what its `data` names, with the texts without labels if they are to be read.
        reading, teachers: what comes before, as a `Preset` has it.
    """
    console, command = Console(), command_line("experiments.imdb")
    about = provenance(command)  # before the runs: the code may have changed by their end
    advise("--resume goes on")
    config = experiment.config
    configs = [replace(config, seed=seed) for seed in experiment.seeds or (config.seed,)]

    def path_of(config: Config) -> Path:
        return experiment.runs / f"{Path(corpus.name).name}-{config.name}-seed{config.seed}"

    if experiment.resume:  # what is not typed is as it was
        configs = [
            resumed_config(RunFolder(path_of(chosen)), chosen, typed_options(sys.argv[1:]))
            for chosen in configs
        ]
        if not corpus.unlabelled and any(_reads_unlabelled(c, reading) for c in configs):
            corpus = load_corpus(experiment.data, unlabelled=True)
    if corpus.notice:
        say(console, corpus.notice, "bold yellow")
    if teachers:
        check_teachable(corpus)
        for chosen in configs:
            check_parts(teachers, chosen.validation_part)
    apart = {}
    if experiment.record and corpus.test is not None:
        apart["new"] = ~near_duplicates(corpus.test.texts, corpus.train.texts)

    def folder_of(config: Config) -> Path:
        folder = path_of(config)
        say(console, str(folder), "bold")
        return folder

    how: Any = {"command": command, "resume": experiment.resume, "console": console}
    read, before = None, {}
    if reading is not None:
        read = folder_of(reading.config)
        texts = [*corpus.train.texts, *(corpus.unlabelled if reading.unlabelled else ())]
        found = pretrain(reading.config, texts, read, name=corpus.name, **how)
        before["pretraining_minutes"] = found["minutes"]

    def train_one(config: Config, init: Path | None, **more: Any) -> tuple[Path, dict[str, Any]]:
        folder = folder_of(config)
        return folder, train(config, corpus, folder, init=init, apart=apart, **more, **how)

    trained = [train_one(teacher, read) for teacher in teachers]
    if trained:
        before["teacher_minutes"] = sum(found["minutes"] for _, found in trained)

    @cache  # once for all seeds: they hold out the same part
    def taught(part: tuple[float, int]) -> Corpus:
        return teach([load(path) for path, _ in trained], corpus, part)

    folder, results = experiment.runs, []
    for chosen in configs:
        init, more = read, {}
        if trained:
            init, _ = trained[chosen.seed % len(trained)]
            more = {
                "teacher": lambda _, part: taught(part),
                "inputs": inputs_of_runs(teachers=[RunFolder(path) for path, _ in trained]),
            }
        folder, result = train_one(chosen, init, **more)
        results.append({**result, **before})
    console.print(comparison(corpus, results))
    command = f"python -m lstm_jax predict {shlex.quote(str(folder))}"
    say(console, f'Try it: {command} "A film I will not forget."')
    if experiment.record:
        write_json(experiment.record, {**record(results), **about})
        say(console, f"wrote {experiment.record}")


def comparison(corpus: Corpus, results: list[dict[str, Any]]) -> Sheet:
    """This experiment's accuracy beside others'; on the built-in corpus there are no others."""
    rows = []
    for result in results:
        name = f"this run: {result['name']}, seed {result['seed']}"
        rows.append((name, f"{result['test_accuracy']:.2%}", f"{result['minutes']:.1f}"))
    for what, name in (("pretraining", "pretraining_minutes"), ("teachers", "teacher_minutes")):
        if (minutes := results[0].get(name)) is not None:
            rows.append((f"{what}, once for all seeds", "", f"{minutes:.1f}"))
    if len(results) > 1:
        accuracies = [result["test_accuracy"] for result in results]
        spread = f"{statistics.mean(accuracies):.2%} ± {statistics.stdev(accuracies):.2%}"
        rows.append(("mean and standard deviation", spread, ""))
    ours, caption = len(rows), ""
    if corpus.name == "imdb":
        rows += [(name, f"{accuracy:.2%}", "") for name, accuracy in OTHERS]
    else:
        caption = "Not IMDB: these figures cannot be compared with published ones."
    headers = ("", "test accuracy", "minutes")
    return Sheet(headers, rows, f"Data: {corpus.name}", caption, frozenset({ours}))


def record(results: list[dict[str, Any]]) -> dict[str, Any]:
    """What came out, for experiments/results/PRESET.json."""
    first = results[0]
    of_each = {
        name: [
            None if result.get(name) is None else round(result[name], digits) for result in results
        ]
        for name, digits in RECORDED.items()
    }
    return {
        "preset": first["name"],
        "data": first["data"],
        "seeds": of_each.pop("seed"),
        **of_each,
    }


if __name__ == "__main__":
    run_command(main)
