"""The texts that a command line names."""

from typing import Any

from rich.console import Console

from lstm_jax.console import doing, say
from lstm_jax.data import Corpus, imdb_or_builtin, load_corpus, read_texts
from lstm_jax.data.formats import is_table
from lstm_jax.files import expanded


def read_corpus(console: Console, name: str, *, unlabelled: bool = False, **options: Any) -> Corpus:
    """Loads a corpus, and says so; says it loudly where "auto" is not IMDB.

    Args:
        console: where it is said.
        name: as for `lstm_jax.data.load_corpus`, or "auto": IMDB, or else the built-in corpus.
        unlabelled: whether to load IMDB's reviews without labels too.
        options: of `load_corpus`.
    """
    with doing(console, f"reading {name}"):
        if name != "auto":
            return load_corpus(name, unlabelled=unlabelled, **options)
        corpus, notice = imdb_or_builtin(unlabelled=unlabelled)
    if notice:
        say(console, notice, "bold yellow")
    return corpus


def read_without_labels(name: str, text_column: str) -> list[str]:
    """The texts of a file or a corpus, without their labels and without test examples."""
    path = expanded(name)
    if path.is_file() and is_table(path):
        return list(read_texts(path, text_column))
    if path.suffix.lower() == ".txt":
        return [text for text in read_texts(path) if text.strip()]
    corpus = load_corpus(name, unlabelled=True)
    return [*corpus.train.texts, *corpus.unlabelled]
