"""`python -m lstm_jax check`."""

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from lstm_jax.cli.reading import read_corpus
from lstm_jax.cli.resume import typed_options
from lstm_jax.console import Sheet, doing, duration, fields, say
from lstm_jax.data import Corpus, Reading, check_reading, checks, split_validation
from lstm_jax.data.description import Description, describe, share
from lstm_jax.recipes.advice import before_training
from lstm_jax.recipes.defaults import choose_settings
from lstm_jax.text import WordTokenizer
from lstm_jax.train.config import Config
from lstm_jax.train.estimate import Estimate, Sizes, estimate

MOST = 10  # classes that are shown


def check(
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    config: Annotated[Config, arg(name="")] = Config(name="own"),  # noqa: B008 - frozen
    test: Path | None = None,
    reading: Annotated[Reading, arg(name="")] = Reading(),  # noqa: B008 - frozen
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Look at data before training: classes, repeated texts, lengths, scripts, and what is wrong.

    Nothing is trained and nothing is written.

    Example: lstm-jax check reviews.csv --test test.csv

    Args:
        data: what `train` takes: a file, a folder, imdb, builtin, or an archive.
        config: the settings that `train` is to have; those not given are chosen as there.
        test: a file with test examples.
        reading: how files are read.
        as_json: print a JSON object with everything.
    """
    console = Console()
    progress = Console(stderr=True)  # what is printed is the page, or the object
    check_reading([data], reading)
    corpus = read_corpus(progress, data, reading, test_path=test)
    config, reasons = choose_settings(corpus, config, typed_options(sys.argv[1:]))
    with doing(progress, "looking at the texts"):
        text = config.text
        tokenizer = WordTokenizer.train(
            corpus.train.texts, preset=text.tokenizer, vocabulary_size=text.vocabulary_size
        )
        description = describe(corpus, tokenizer, text.padding)
        warnings = problems(config, corpus, tokenizer, description)
    tested = [] if corpus.test is None else corpus.test.texts
    about = estimate(
        config,
        Sizes(
            len(corpus.train),
            len(tested),
            description.lengths.sample,
            tokenizer.vocabulary_size,
            sum(map(len, chain(corpus.train.texts, tested))),
        ),
    )
    if as_json:
        costs = {"seconds": round(about.seconds), "bytes": round(about.bytes)}
        found = {**description.as_dict(), "estimate": costs, "warnings": warnings}
        print(json.dumps(found, ensure_ascii=False))
        return
    for note in corpus.notes:
        say(console, note)
    console.print(classes_table(description))
    console.print(fields([*findings(description, about), *chosen(reasons)]))
    for warning in warnings:
        say(console, f"warning: {warning}", "yellow")
    if not warnings:
        say(console, "No problem was found.")


def chosen(reasons: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The settings that `train` would choose: beside a name, a line each."""
    for number, reason in enumerate(reasons):
        yield "" if number else "settings of train", reason


def problems(
    config: Config, corpus: Corpus, tokenizer: WordTokenizer, description: Description
) -> list[str]:
    """The warnings that `train` would give before it trains, and those of the description.

    Args:
        config: the settings.
        corpus: all examples.
        tokenizer: made from the training texts.
        description: of the corpus.

    Returns:
        A line each.
    """
    train, validation, refused = corpus.train, None, []
    fraction = config.train.validation_fraction
    if fraction > 0:
        try:
            kept, held_out = split_validation(train.labels, *config.validation_part)
        except ValueError as error:  # `train` refuses such data
            refused.append(str(error))
        else:
            train, validation = train.take(kept), train.take(held_out)
    parts = {"train": train, "validation": validation, "test": corpus.test}
    ids = tokenizer.encode_batch(corpus.train.texts)
    steps = config.train.epochs * -(-len(train) // config.train.batch_size)
    return [
        *refused,
        *checks.check_description(description),
        *before_training(config, corpus, parts, tokenizer, ids, steps, description.repeats),
    ]


def classes_table(description: Description) -> Sheet:
    """The examples of each class; of many, the most frequent and the rarest ones."""
    training, test = description.training, description.test
    total = max(1, sum(training))
    ranked = sorted(range(len(training)), key=lambda label: -training[label])
    shown = ranked
    if len(ranked) > MOST:
        shown = [*ranked[: MOST // 2], *ranked[-MOST // 2 :]]
    rows = []
    for label in shown:
        row = [
            description.class_names[label],
            f"{training[label]:,}",
            share(training[label] / total),
        ]
        rows.append([*row, *([] if test is None else [f"{test[label]:,}"])])
    headers = ["class", "training\nexamples", "share"]
    caption = ""
    if len(shown) < len(ranked):
        caption = (
            f"The {MOST // 2} most frequent and the {MOST // 2} rarest of {len(ranked):,} classes"
        )
    size = f"{total:,} training examples"
    if test is not None:
        size += f", {sum(test):,} test examples"
        headers.append("test\nexamples")
    sections = frozenset([MOST // 2]) if caption else frozenset()
    return Sheet(headers, rows, f"{description.name}: {size}", caption, sections)


def findings(description: Description, about: Estimate) -> Iterator[tuple[str, str]]:
    """What a person reads below the classes: a name and a sentence each."""
    found, total = description, sum(description.training)
    repeats, lengths = found.repeats, found.lengths
    yield "empty texts", f"{found.empty + found.empty_test:,}"
    yield "repeated texts", f"{repeats.training:,} ({share(repeats.training / max(1, total))})"
    examples = "; ".join(
        f"{key if len(key) <= 40 else key[:37] + '...'!r} with {' and '.join(map(repr, names))}"
        for key, names in repeats.examples
    )
    yield "with two labels", f"{repeats.labels:,}" + (f": {examples}" if examples else "")
    if found.test is not None:
        near = "" if repeats.near is None else f", and {repeats.near:,} nearly"
        if repeats.compared < sum(found.test):
            near += f" (looked for in {repeats.compared:,} of them)"
        yield "test in training", f"{repeats.test:,} test texts word for word{near}"
    yield "length", found.length()
    yield (
        "cut",
        f"--text.max-length {lengths.max_length} cuts {share(lengths.cut_texts)} of the texts, and"
        f" {share(lengths.cut_tokens)} of all tokens",
    )
    yield "letters", found.script()
    suits, reason = found.choice
    better = "which suits the texts" if suits == found.tokenizer else f"and {suits} suits the texts"
    yield "tokenizer", f"{found.tokenizer}, {better}: {reason}"
    yield "time", f"about {duration(about.seconds)} on this processor, if nothing else runs on it"
    yield "memory", f"about {about.bytes / 1e9:.1f} GB"
