"""What a corpus is like: classes, texts that repeat, lengths, scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_jax.data.buckets import Padding
from lstm_jax.data.corpus import Corpus, Examples
from lstm_jax.data.duplicates import (
    keys_of,
    near_duplicates,
    normalised,
    text_at,
    with_two_labels,
)
from lstm_jax.data.stored import taken
from lstm_jax.text.scripts import Choice, choose_tokenizer, scripts
from lstm_jax.text.tokenizer import WordTokenizer

# Lengths are measured in at most so many evenly spaced texts.
LENGTHS = 5_000
# Near duplicates are looked for among texts of about so many characters, some 30 seconds of work:
# with more, in evenly spaced texts.
NEAR_CHARACTERS = 66_000_000

_EXAMPLES = 3  # of what is wrong


@dataclass(frozen=True)
class Lengths:
    """How long the training texts are, in tokens.

    Attributes:
        median, most, longest: of half, of 95 %, of all texts at most.
        max_length: of a row.
        cut_texts: the share of texts that are longer, in [0, 1].
        cut_tokens: the share of tokens that are cut off, in [0, 1].
        sample: the length of each text that was looked at, no row longer than `max_length`.
    """

    median: int
    most: int
    longest: int
    max_length: int
    cut_texts: float
    cut_tokens: float
    sample: tuple[int, ...]


@dataclass(frozen=True)
class Repeats:
    """Texts that stand more than once; capitals and white space do not count.

    Attributes:
        training: training texts that repeat an earlier one.
        labels: texts of the whole corpus with more than one label.
        examples: some of them, each with its labels.
        test: test texts that are training texts too; None without test examples.
        near: further test texts that are nearly training texts; None where nobody looked.
        compared: how many test texts were looked at for that.
    """

    training: int
    labels: int
    examples: tuple[tuple[str, tuple[str, ...]], ...]
    test: int | None
    near: int | None
    compared: int


@dataclass(frozen=True)
class Description:
    """A corpus in numbers.

    Attributes:
        name: of the corpus.
        class_names: of its classes.
        training, test: examples of each class; of the test None if there is none.
        empty, empty_test: texts without any character but white space.
        repeats: texts that stand more than once.
        lengths: in tokens.
        scripts: the share of letters of each script, the most frequent first.
        tokenizer: the preset that the lengths are of.
        choice: the tokenizer that suits the texts.
    """

    name: str
    class_names: tuple[str, ...]
    training: tuple[int, ...]
    test: tuple[int, ...] | None
    empty: int
    empty_test: int
    repeats: Repeats
    lengths: Lengths
    scripts: dict[str, float]
    tokenizer: str
    choice: Choice

    def length(self) -> str:
        """The lengths in words."""
        found = self.lengths
        return (
            f"{found.median:,} tokens in the median, {found.most:,} for 95% of the texts at most,"
            f" {found.longest:,} for the longest"
        )

    def script(self) -> str:
        """The most frequent scripts in words."""
        return _letters(self.scripts)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        found = asdict(self)
        del found["lengths"]["sample"]
        found["choice"] = self.choice._asdict()
        return found


def summary(corpus: Corpus) -> list[str]:
    """Two lines for the start of a training.

    Args:
        corpus: all examples.

    Returns:
        How many examples there are, and the share of each of up to four classes, or of the most
        frequent and the rarest; and the scripts of the training texts.
    """
    counts = _counts(corpus.train, len(corpus.class_names))
    ranked = sorted(range(len(counts)), key=lambda number: -counts[number])

    def of(number: int) -> str:
        return f"{corpus.class_names[number]} {share(counts[number] / len(corpus.train))}"

    size = f"{len(corpus.train):,} training examples"
    if corpus.test is not None:
        size += f" and {len(corpus.test):,} test examples"
    shares = ", ".join(map(of, ranked))
    if len(ranked) > 4:
        shares = f"from {of(ranked[0])} to {of(ranked[-1])}"
    found = scripts(corpus.train.texts)
    letters = {name: count / found.total() for name, count in found.most_common()}
    return [f"{size} of {len(counts):,} classes: {shares}", f"Letters: {_letters(letters)}"]


def describe(
    corpus: Corpus, tokenizer: WordTokenizer, padding: Padding, *, near: bool = True
) -> Description:
    """Looks at a corpus.

    Args:
        corpus: all examples.
        tokenizer: made from its training texts; lengths are in its tokens.
        padding: how texts are cut.
        near: whether to look for test texts that are nearly training texts; takes a minute for
            50,000 reviews.

    Returns:
        What was found.
    """
    train, test, classes = corpus.train, corpus.test, len(corpus.class_names)
    found = scripts(train.texts)
    return Description(
        corpus.name,
        corpus.class_names,
        _counts(train, classes),
        None if test is None else _counts(test, classes),
        _empty(train),
        0 if test is None else _empty(test),
        _repeats(corpus, near=near),
        _lengths(tokenizer, train.texts, padding),
        {name: count / found.total() for name, count in found.most_common()},
        tokenizer.preset,
        choose_tokenizer(train.texts),
    )


def share(part: float) -> str:
    """A share as people say it; 0% and 100% are said only where nothing and everything is meant."""
    if 0 < part < 0.001:
        return "less than 0.1%"
    if 0 < part < 0.01 or 0.99 < part < 1:
        return f"{min(part, 0.999):.1%}"
    return f"{part:.0%}"


def _letters(shares: Mapping[str, float]) -> str:
    """Up to five scripts with their shares."""
    shown = [f"{name} {share(part)}" for name, part in shares.items()][:5]
    more = len(shares) - len(shown)
    return ", ".join(shown or ["none"]) + (f" and {more} more scripts" if more else "")


def _counts(examples: Examples, classes: int) -> tuple[int, ...]:
    return tuple(np.bincount(examples.labels, minlength=classes).tolist())


def _empty(examples: Examples) -> int:
    return sum(not text.strip() for text in examples.texts)


def _repeats(corpus: Corpus, *, near: bool) -> Repeats:
    known = keys = keys_of(corpus.train.texts)
    labels = corpus.train.labels
    test = compared = close = None
    if corpus.test is not None:
        of_test = keys_of(corpus.test.texts)
        same = np.isin(of_test, known)
        test = int(same.sum())
        keys = np.concatenate([known, of_test])
        labels = np.concatenate([labels, corpus.test.labels])
        if near:
            close, compared = near_in_test(corpus, same)
    both = with_two_labels(keys, labels)
    parts = [corpus.train.texts, [] if corpus.test is None else corpus.test.texts]
    examples = tuple(
        (normalised(text_at(parts, row)), tuple(corpus.class_names[label] for label in given))
        for row, given in both[:_EXAMPLES]
    )
    repeated = len(known) - len(np.unique(known))
    return Repeats(repeated, len(both), examples, test, close, compared or 0)


def near_in_test(corpus: Corpus, same: NDArray[np.bool_]) -> tuple[int, int]:
    """Counts test texts that are nearly training texts.

    Args:
        corpus: with test examples.
        same: which of those are training texts word for word [N]; they do not count.

    Returns:
        How many are, and how many were looked at: all, but for corpora of many characters.
    """
    assert corpus.test is not None
    rows = np.arange(len(same))[:: _step(chain(corpus.train.texts, corpus.test.texts))]
    others = corpus.train.texts[:: _step(corpus.train.texts)]
    nearly = near_duplicates(taken(corpus.test.texts, rows), others)
    return int((nearly & ~same[rows]).sum()), len(rows)


def _step(texts: Iterable[str]) -> int:
    """Every how many-th text is looked at for near duplicates."""
    return -(-sum(map(len, texts)) // NEAR_CHARACTERS) or 1


def _lengths(tokenizer: WordTokenizer, texts: Sequence[str], padding: Padding) -> Lengths:
    sample = texts[:: -(-len(texts) // LENGTHS) or 1]
    lengths = np.array([len(ids) for ids in tokenizer.encode_batch(sample)])
    rows = np.minimum(lengths, padding.max_length)
    median, most = np.percentile(lengths, [50, 95], method="inverted_cdf").tolist()
    return Lengths(
        median,
        most,
        int(lengths.max()),
        padding.max_length,
        float((lengths > padding.max_length).mean()),
        float((lengths - rows).sum() / lengths.sum()),
        tuple(rows.tolist()),
    )
