"""`python -m lstm_jax train`."""

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from lstm_jax.cli.program import command_line
from lstm_jax.cli.reading import read_corpus, read_without_labels
from lstm_jax.cli.resume import resumable, typed_options
from lstm_jax.cli.tables import Confusion, metrics_table, say_summary
from lstm_jax.console import say
from lstm_jax.data import Reading, check_reading
from lstm_jax.data.description import summary
from lstm_jax.recipes.defaults import choose_pretraining, choose_settings
from lstm_jax.recipes.distill import Ensemble, distill
from lstm_jax.recipes.pretrain import Task, pretrain
from lstm_jax.recipes.supervised import supervised
from lstm_jax.reports import MISTAKES, REPORT
from lstm_jax.stops import advise
from lstm_jax.train.config import Config
from lstm_jax.train.open_run import Request
from lstm_jax.train.processes import Distributed, connect, first_console
from lstm_jax.train.run_folder import RunFolder, finished_run


@dataclass(frozen=True)
class Files:
    """What a run reads beside DATA, and how."""

    test: Path | None = None
    """A file with examples to measure the finished classifier on, once."""
    reading: Annotated[Reading, arg(name="")] = Reading()  # noqa: RUF009 - frozen
    """How files are read."""
    unlabelled: str | None = None
    """A file with a text a line, or of labelled texts, whose labels are not looked at: for
    --train.unlabelled and --text.cooccurrence-window. imdb and its archive bring their own."""
    init: Path | None = None
    """The folder of a run of `pretrain`, or of another classifier, to start from; the sizes of the
    model and the vocabulary are taken from it."""
    pretrain: bool = False
    """Read the training texts, and those of --unlabelled, before: one half of a text is to predict
    the other. The run of that is in the folder RUN.pretrained. It pays for texts of many words."""
    distill_from: tuple[Path, ...] = ()
    """The folders of one or more finished runs on the same examples, with the same seed or
    --train.validation-seed: what they and a linear model together predict for --train.unlabelled of
    the texts without labels is learnt as soft labels. Needs scikit-learn."""


@resumable
def train(
    data: Annotated[Positional[str], arg(metavar="DATA")],
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    config: Annotated[Config, arg(name="")] = Config(name="own"),  # noqa: B008 - frozen
    files: Annotated[Files, arg(name="")] = Files(),
    distributed: Distributed = Distributed(),  # noqa: B008 - frozen
    resume: bool = False,
    quiet: bool = False,
) -> None:
    """Train a classifier on a file of texts with labels.

    Settings that are not given are chosen from the data, and said. The defaults below hold where
    nothing is chosen.

    Example: lstm-jax train reviews.csv runs/mine --test test.csv

    Args:
        data: the training examples: a CSV, TSV, JSON, JSONL, Parquet, Feather, Excel or fastText
            file, compressed or not; a folder of class folders, or of Hugging Face's datasets; or
            imdb, builtin, or a local aclImdb archive.
        run: the folder to make for the run.
        config: the run's settings.
        files: what else is read, and how.
        distributed: of many processes, which one this is.
        resume: go on with the run in the folder; options that are not typed are what they were, and
            `--resume RUN` in the place of everything is enough.
        quiet: print one line, the accuracy.
    """
    connect(distributed)
    console = first_console(quiet=quiet)
    reading, unlabelled = files.reading, files.unlabelled
    if files.pretrain and files.init is not None:
        raise ValueError(f"--pretrain goes only without --init, got --init {files.init}")
    advise("--resume goes on")
    check_reading([data, unlabelled], replace(reading, label_column=None))
    check_reading([data], reading)
    if files.distill_from and config.train.unlabelled == 0:
        raise ValueError("train.unlabelled must be above 0 with --distill-from, got 0")
    typed = typed_options(sys.argv[1:])
    if unlabelled is not None and (files.init is not None or "text.cooccurrence_window" in typed):
        check_unlabelled(config, files)
    corpus = read_corpus(
        console,
        data,
        reading,
        test_path=files.test,
        unlabelled=unlabelled is None and reads_unlabelled(config, files),
    )
    for note in corpus.notes:
        say(console, note)
    for line in summary(corpus):
        say(console, line)
    given, begun = config, resume and RunFolder(run).config.exists()
    if not begun:
        source = finished_run(files.init)
        start = None if source is None else Config.load(source.config)
        config, reasons = choose_settings(corpus, given, typed, start)
        for reason in reasons:
            say(console, reason)
    if unlabelled is not None:
        check_unlabelled(config, files)
        more = read_without_labels(unlabelled, reading)
        warnings = (*corpus.warnings, *more.warnings)
        corpus = replace(corpus, unlabelled=more.texts, warnings=warnings)
    request = Request(run, command_line("lstm_jax"), resume, console)
    init = files.init
    if files.pretrain:
        before = choose_pretraining(config, len(corpus.train) + len(corpus.unlabelled))
        init = run.with_name(f"{run.name}.pretrained")
        if not begun:
            say(console, f"Pretraining for {before.train.epochs} epochs in {init}", whole=True)
            texts = [*corpus.train.texts, *corpus.unlabelled]
            task = Task(corpus.name)
            pretrain(before, texts, task, replace(request, path=init, resume=True))
            config = choose_settings(corpus, given, typed, before).config
    if files.distill_from:
        ensemble = Ensemble(files.distill_from, corpus, config.validation_part)
        result = distill(config, corpus, request, ensemble, init=init)
    else:
        result = supervised(config, corpus, request, init=init)
    console.print(metrics_table({"validation": result.validation, "test": result.test}))
    if result.outcome.confusion:
        whole = f"confusion in {run / 'result.json'}"
        console.print(Confusion(result.outcome.confusion, corpus.class_names, whole))
    files_written = [path for name in (REPORT, MISTAKES) if (path := run / name).exists()]
    say_summary(console, result.outcome.summary, files_written)
    say(console, f'Try it: lstm-jax predict {shlex.quote(str(run))} "some text"', whole=True)


def check_unlabelled(config: Config, files: Files) -> None:
    """Refuses texts without labels that would not be read."""
    if not reads_unlabelled(config, files):
        raise ValueError(
            "--unlabelled goes only with --train.unlabelled, --pretrain, or"
            f" --text.cooccurrence-window and no --init, got {files.unlabelled!r} without: it would"
            " change nothing"
        )


def reads_unlabelled(config: Config, files: Files) -> bool:
    """Whether texts without labels are read; what `init` names has word vectors already."""
    counted = config.text.cooccurrence_window > 0 and files.init is None
    return files.pretrain or config.train.unlabelled > 0 or counted
