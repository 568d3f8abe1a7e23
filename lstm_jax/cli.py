"""`python -m lstm_jax`: train on one's own texts, evaluate, predict, ship."""

import contextlib
import io
import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NoReturn, cast

from rich.console import Console
from tyro.conf import Positional, arg

import lstm_jax.run
from lstm_jax.command_line import call, explain
from lstm_jax.console import Sheet, doing, say
from lstm_jax.files import expanded
from lstm_jax.machine import keep_memory, missing_platform
from lstm_jax.memory import memory_explained
from lstm_jax.metric_tables import Confusion, metrics_table
from lstm_jax.resume import complete_arguments, resumable
from lstm_jax.stops import Stopped, advise, leave
from lstm_jax.teacher import teach
from lstm_jax.text import check_columns, load_corpus, load_labelled, read_texts
from lstm_jax.text.formats import is_table
from lstm_jax.text.lines import lines
from lstm_jax.text.records import find_text_column
from lstm_jax.train.config import Config
from lstm_jax.train.folder import RunFolder
from lstm_jax.train.inputs import inputs_of_runs
from lstm_jax.train.loop import train as train_run
from lstm_jax.train.pretraining import pretrain as pretrain_run
from lstm_jax.train.settings import SAMPLES, Predicted


@resumable
def train(
    data: Annotated[Positional[str], arg(metavar="DATA")],
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    config: Annotated[Config, arg(name="")] = Config(name="own"),  # noqa: B008 - frozen
    test: Path | None = None,
    text_column: str = "text",
    label_column: str = "label",
    unlabelled: str | None = None,
    init: Path | None = None,
    teacher: tuple[Path, ...] = (),
    resume: bool = False,
) -> None:
    """Train a classifier on a CSV, TSV or JSONL file.

    Args:
        data: the file with the training examples; or imdb, builtin, or a local aclImdb archive.
        run: the folder to make for the run.
        config: the run's settings.
        test: a file with examples to measure the finished classifier on, once.
        text_column: where the text is.
        label_column: where the label is.
        unlabelled: a file with a text a line (.txt), or of labelled texts, whose labels are not
            looked at: for --train.unlabelled and --text.window. imdb and its archive bring their
            own.
        init: the folder of a run of `pretrain`, or of another classifier, to start from; the model
            settings, and those of --text that make the vocabulary, must be the same.
        teacher: the folders of one or more finished runs on the same examples, with the same seed
            or --train.validation-seed: what they and a linear model together say of texts without
            labels is learnt in the place of labels, of --train.unlabelled of them. Needs
            scikit-learn.
        resume: go on with the run in the folder; options that are not typed are what they were, and
            `--resume RUN` in the place of everything is enough.
    """
    console = Console()
    advise("--resume goes on")
    check_columns([data, unlabelled], text_column=text_column)
    check_columns([data], label_column=label_column)
    # What --init names has word vectors already.
    reads_unlabelled = config.train.unlabelled > 0 or (config.text.window > 0 and init is None)
    if unlabelled is not None and not reads_unlabelled:
        raise ValueError(
            "--unlabelled goes only with --train.unlabelled, or with --text.window and no --init,"
            f" got {unlabelled!r} without: it would change nothing"
        )
    if teacher and config.train.unlabelled == 0:
        raise ValueError("train.unlabelled must be above 0 with --teacher, got 0")
    with doing(console, f"reading {data}"):
        corpus = load_corpus(
            data,
            text_column=text_column,
            label_column=label_column,
            test_path=test,
            unlabelled=reads_unlabelled and unlabelled is None,
        )
    if unlabelled is not None:
        corpus = replace(corpus, unlabelled=_texts(unlabelled, text_column))
    if corpus.notice:
        say(console, corpus.notice, "bold yellow")
    result = train_run(
        config,
        corpus,
        run,
        command=command_line("lstm_jax"),
        init=init,
        teacher=partial(teach, [lstm_jax.run.load(folder) for folder in teacher])
        if teacher
        else None,
        inputs=inputs_of_runs(teachers=[RunFolder(folder) for folder in teacher]),
        resume=resume,
        console=console,
    )
    console.print(metrics_table(result))
    if "test_confusion" in result:
        whole = f"test_confusion in {run / 'result.json'}"
        console.print(Confusion(result["test_confusion"], corpus.class_names, whole))
    say(console, f'Try it: python -m lstm_jax predict {shlex.quote(str(run))} "some text"')


@resumable
def pretrain(
    texts: Annotated[Positional[str], arg(metavar="TEXTS")],
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    config: Annotated[Config, arg(name="")] = Config(name="pretrained"),  # noqa: B008 - frozen
    text_column: str = "text",
    predict: Predicted = "halves",
    samples: int = SAMPLES,
    init: Path | None = None,
    resume: bool = False,
) -> None:
    """Train on texts without labels, for `train --init` to start from.

    Args:
        texts: a file with a text a line (.txt), or a CSV, TSV or JSONL file, of which labels are
            not read; or imdb or builtin, of which test examples are not read.
        run: the folder to make for the run.
        config: the run's settings; those that are about labels must be the defaults.
        text_column: where the text is, of a file with columns.
        predict: halves: one half of a text predicts the words and phrases of the other;
            next_words: a language model.
        samples: of next_words, words drawn for each batch to estimate the loss with.
        init: the folder of another run of `pretrain` to start from, such as one of next_words.
        resume: go on with the run in the folder; options that are not typed are what they were, and
            `--resume RUN` in the place of everything is enough.
    """
    advise("--resume goes on")
    check_columns([texts], text_column=text_column)
    console = Console()
    with doing(console, f"reading {texts}"):
        read = _texts(texts, text_column)
    result = pretrain_run(
        config,
        read,
        run,
        name=texts,
        predict=predict,
        samples=samples,
        init=init,
        command=command_line("lstm_jax"),
        resume=resume,
        console=console,
    )
    if "validation_perplexity" in result:
        say(console, f"perplexity on held-out texts: {result['validation_perplexity']:.1f}")
    say(console, f"Try it: python -m lstm_jax train DATA RUN --init {shlex.quote(str(run))}")


def evaluate(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    text_column: str = "text",
    label_column: str = "label",
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Measure a trained run on labelled texts.

    Args:
        run: the folder of a trained run.
        data: a CSV, TSV or JSONL file; or imdb or builtin, whose test examples are taken.
        text_column: where the text is.
        label_column: where the label is.
        as_json: print a JSON object with everything, the whole table of confused classes included.
    """
    check_columns([data], text_column=text_column, label_column=label_column)
    opened = lstm_jax.run.load(run)
    examples = load_labelled(
        data, opened.class_names, text_column=text_column, label_column=label_column
    )
    console, measured = Console(), opened.evaluate(examples)
    if as_json:
        names = {"class_names": opened.class_names, "confusion": measured.confusion}
        print(json.dumps({**measured.as_dict(), **names}, ensure_ascii=False))
        return
    console.print(metrics_table(measured.as_dict()))
    console.print(Confusion(measured.confusion, opened.class_names, "--json prints them"))


def predict(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    texts: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXTS")] = (),
    /,
    file: Annotated[Path | None, arg(aliases=["-f"])] = None,
    text_column: str | None = None,
    json_lines: Annotated[bool, arg(name="json")] = False,
    batch_size: int = 128,
) -> None:
    r"""Classify texts: from the command line, a file, or standard input if neither is given.

    Prints a line for each: the likeliest class, its probability and the text, with tabs between
    them. A tab, a line break or a backslash in a text stands there as \t, \n, \r or \\.

    Args:
        run: the folder of a trained run.
        texts: the texts.
        file: a CSV, TSV or JSONL file, whose other columns are not looked at; of any other name, a
            file with one text a line.
        text_column: where the text is in a file with columns; else in `text`, or in the only column
            that has something else than numbers in it.
        json_lines: print a JSON object a line, with the probability of every class.
        batch_size: texts computed at a time; with 1, each line of standard input is answered at
            once.
    """
    if texts and file:
        raise ValueError("texts and --file cannot be given together")
    opened = lstm_jax.run.load(run)
    if text_column is None and file is not None and is_table(file):
        text_column = find_text_column(file)
        if text_column.casefold() != "text":
            print(f"{file}: the texts are taken from {text_column!r}", file=sys.stderr)
    if texts:
        source = map(_in_utf8, texts)
    elif file is not None:
        source = read_texts(file, text_column)
    else:
        stream = cast(io.BufferedReader, sys.stdin.buffer)
        source = (line.rstrip("\r\n") for line in lines(stream, "standard input"))
    # JSON has escapes for what the output's encoding lacks.
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    for prediction in opened.stream(source, batch_size=batch_size):
        if json_lines:
            line = json.dumps(
                {
                    "label": prediction.label,
                    "probabilities": prediction.probabilities,
                    "text": prediction.text,
                },
                ensure_ascii=ascii_only,
            )
        else:
            label, text = _escaped(prediction.label), _escaped(prediction.text)
            line = f"{label}\t{prediction.probability:.4f}\t{text}"
        print(line, flush=True)


def export(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    format: Literal["onnx", "stablehlo"] = "onnx",
) -> None:
    """Make a folder that scores texts without lstm_jax, and prove that it scores them alike.

    Args:
        run: the folder of a trained run.
        out: the folder to make; it gets the model, the tokenizer and score.py.
        format: onnx runs on onnxruntime; stablehlo on JAX, on a CPU, GPU or TPU.
    """
    from lstm_jax.interop.export import export_run  # JAX's exporter, which no other command needs

    opened = lstm_jax.run.load(run)
    proof = export_run(opened, out, format)
    rows = [
        (
            text if len(text) <= 40 else f"{text[:37]}...",
            opened.class_names[ours.argmax()],
            f"{ours.max():.6f}",
            f"{theirs[ours.argmax()]:.6f}",
        )
        for text, ours, theirs in zip(*proof, strict=True)
    ]
    console = Console()
    console.print(Sheet(("text", "class", "the run", "score.py"), rows))
    difference = abs(proof.run - proof.script).max()
    say(console, f"largest difference over all classes: {difference:.1e}")
    say(console, f'Try it: python {shlex.quote(str(out / "score.py"))} "some text"')


def _texts(name: str, text_column: str) -> list[str]:
    """The texts of a file or a corpus, without their labels and without test examples."""
    path = expanded(name)
    if path.is_file() and is_table(path):
        return list(read_texts(path, text_column))
    if path.suffix.lower() == ".txt":
        return [text for text in read_texts(path) if text.strip()]
    corpus = load_corpus(name, unlabelled=True)
    return [*corpus.train.texts, *corpus.unlabelled]


def _in_utf8(argument: str) -> str:
    """An argument; if its bytes are not in the locale's encoding, read as UTF-8."""
    try:
        argument.encode()
    except UnicodeEncodeError:  # Python has put surrogates in their place
        with contextlib.suppress(UnicodeDecodeError):
            return os.fsencode(argument).decode()
    return argument


_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _escaped(text: str) -> str:
    """The text as it stands in a column of TSV."""
    return text.translate(_ESCAPES)


def command_line(module: str) -> str:
    """What the user typed, to be written beside a result."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def run_command(main: Callable[[], object], program: str | None = None) -> None:
    """Runs a program with its memory kept.

    What a user can mend becomes one line and exit status 2, not a traceback. If nobody reads the
    output any more (`| head`), the program ends without a word, with the status that a shell gives
    to one that SIGPIPE ended: 141. How it ends when it is told to stop is in `lstm_jax.stops`.

    What the encoding of the output lacks is written as `\\u2026`.

    Args:
        main: what to run.
        program: what the line begins with; by default the module that Python was started with.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    keep_memory()
    try:
        with memory_explained("the batches, the texts or the model"):
            main()
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_pipe()
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        print(f"{program or _module()}: {explain(error)}", file=sys.stderr)
        sys.exit(2)
    except (AssertionError, RuntimeError):
        if not (reason := missing_platform()):
            raise
        print(f"{program or _module()}: {reason}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # rich makes it an exit
            _leave_pipe()
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _leave_pipe()
        raise
    except Stopped as stopped:
        leave(stopped.number)


def _leave_pipe() -> NoReturn:
    """Ends the program; what is still to be written goes nowhere, or Python would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    sys.exit(128 + 13)


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    return Path(sys.argv[0]).name if spec is None else spec.name


COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "pretrain": pretrain,
    "export": export,
}


def main() -> None:
    """The entry point of `python -m lstm_jax`."""
    run_command(_call, "lstm-jax")


def _call() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] in (["train"], ["pretrain"]):
        arguments[1:] = complete_arguments(COMMANDS[arguments[0]], arguments[1:])
    call(COMMANDS, arguments, typed="python -m lstm_jax")
