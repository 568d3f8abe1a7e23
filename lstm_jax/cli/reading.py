"""The texts that a command line names."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console

from lstm_jax.console import doing, say
from lstm_jax.data import Corpus, Reading, imdb_or_builtin, load_corpus, read_texts
from lstm_jax.data.faults import Faults
from lstm_jax.data.sources import is_own
from lstm_jax.data.stored import Collected
from lstm_jax.files import expanded

_FIND_OUT = Reading()


class Unlabelled(NamedTuple):
    """Texts without labels.

    Attributes:
        texts: one or more.
        warnings: a line each on rows that cannot be used.
    """

    texts: Sequence[str]
    warnings: tuple[str, ...] = ()


def read_corpus(
    console: Console,
    name: str,
    reading: Reading = _FIND_OUT,
    *,
    unlabelled: bool = False,
    **options: Any,
) -> Corpus:
    """Loads a corpus, and says so; says it loudly where "auto" is not IMDB.

    Args:
        console: where it is said.
        name: as for `lstm_jax.data.load_corpus`, or "auto": IMDB, or else the built-in corpus.
        reading: what is said of a file of the user's own.
        unlabelled: whether to load IMDB's reviews without labels too.
        options: of `load_corpus`.
    """
    with doing(console, f"reading {name}"):
        if name != "auto":
            return load_corpus(name, reading=reading, unlabelled=unlabelled, **options)
        corpus, notice = imdb_or_builtin(unlabelled=unlabelled)
    if notice:
        say(console, notice, "bold yellow")
    return corpus


def read_without_labels(name: str, reading: Reading) -> Unlabelled:
    """The texts of a file or a corpus, without their labels and without test examples.

    Empty lines are left out.
    """
    path = expanded(name)
    if is_own(name) and path.exists():
        faults = Faults(path, reading)
        texts = Collected(text for text in read_texts(path, reading, faults) if text.strip()).found
        warning = faults.warning()
        return Unlabelled(texts, () if warning is None else (warning,))
    corpus = load_corpus(name, unlabelled=True)
    return Unlabelled([*corpus.train.texts, *corpus.unlabelled])
