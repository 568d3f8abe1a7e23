"""Where texts come from: IMDB, the built-in corpus, or a file of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lstm_jax.data import formats, imdb, labels, tables
from lstm_jax.data.corpus import Corpus, Examples
from lstm_jax.files import expanded

# The built-in corpus: its number of classes by name, and its sizes.
_BUILTIN = {"builtin": 2, "builtin5": 5}
BUILTIN_TRAIN, BUILTIN_TEST = 16_000, 4_000
_TRAIN_SEED, _TEST_SEED = 0, 1

NAMES = ("imdb", *_BUILTIN)
# What the columns of a file of examples are called, unless another name is given.
COLUMNS = {"text_column": "text", "label_column": "label"}
_ARCHIVES = (".tar.gz", ".tgz")


def load_corpus(
    name: str | Path,
    *,
    text_column: str = COLUMNS["text_column"],
    label_column: str = COLUMNS["label_column"],
    test_path: str | Path | None = None,
    unlabelled: bool = False,
    data_dir: str | Path | None = None,
) -> Corpus:
    """Loads a corpus by its name, or from a path.

    Args:
        name: one of
            - "imdb": as TFDS has it prepared, else downloaded; never anything else;
            - "builtin", "builtin5": made-up reviews in two or five classes, made on the spot;
            - the path of a `.csv`, `.tsv`, `.jsonl` or `.ndjson` file of training examples;
            - the path of `aclImdb_v1.tar.gz`, or of the folder it unpacks to.
        text_column: for a file of examples, where the text is; in any case if no column has
            exactly this name.
        label_column: for a file of examples, where the label is: a string or a whole number; in
            any case too.
        test_path: for a file of examples, another with the test examples.
        unlabelled: for IMDB, whether to load the reviews without labels too.
        data_dir: for IMDB, TFDS's data directory; else `TFDS_DATA_DIR` or TFDS's default.

    Returns:
        The corpus. Print its `warnings`.

    Raises:
        ValueError: if there is no such name or path, or what is there is not as described.
        DataUnavailableError: a `FileNotFoundError`, if "imdb" cannot be had; says what to do.
    """
    path = expanded(name)
    is_table = formats.is_table(path)
    if test_path is not None and not is_table:
        raise ValueError(
            f"{test_path}: a file of test examples goes only with a training file that ends in one"
            f" of {', '.join(formats.SUFFIXES)}; {name} has its own test examples"
        )
    if name == "imdb":
        return imdb.load_imdb(data_dir, unlabelled=unlabelled)
    if name in _BUILTIN:
        return _builtin(str(name))
    if is_table and path.is_file():
        return _own_file(path, test_path, text_column, label_column)
    if _has_folders_of_classes(path):
        raise ValueError(formats.refusal(path))
    if path.is_dir() or (path.is_file() and path.name.lower().endswith(_ARCHIVES)):
        return imdb.read_archive(path, unlabelled=unlabelled)
    if path.exists():
        raise ValueError(formats.unlabelled(path))
    known = "" if path.suffix else f"; the corpora are {', '.join(NAMES)}"
    raise ValueError(f"{name}: no such file{known}")


def imdb_or_builtin(
    *, unlabelled: bool = False, data_dir: str | Path | None = None
) -> tuple[Corpus, str | None]:
    """The IMDB reviews; or the built-in corpus where they cannot be had.

    Args:
        unlabelled, data_dir: as for `load_corpus`.

    Returns:
        The corpus, and what the user must be told before anything else, if it is not IMDB.
    """
    try:
        return imdb.load_imdb(data_dir, unlabelled=unlabelled), None
    except imdb.DataUnavailableError as error:
        notice = (
            "NOT THE REAL DATA: this run uses the built-in corpus of made-up reviews.\n"
            "Its results say nothing about IMDB or any other real text.\n"
            f"The reason: {error}"
        )
        return _builtin("builtin"), notice


def check_columns(sources: Sequence[str | Path | None], **columns: str) -> None:
    """Refuses the name of a column where no source of texts has columns.

    Args:
        sources: names or paths as for `load_corpus`; None for one that is not given.
        columns: `text_column` and `label_column`, as for `load_corpus`.

    Raises:
        ValueError: naming the option, if it has another value than its default.
    """
    given = [str(source) for source in sources if source is not None]
    if any(formats.is_table(Path(source)) for source in given):
        return
    for name, column in columns.items():
        if column != COLUMNS[name]:
            raise ValueError(
                f"--{name.replace('_', '-')} goes only with a file that has columns"
                f" ({', '.join(formats.SUFFIXES)}), got {column!r} with {' and '.join(given)}"
            )


def _has_folders_of_classes(path: Path) -> bool:
    """Whether it is a folder with one for each class, and not one of IMDB."""
    return not any((path / folder).is_dir() for folder in ("aclImdb", "train")) and any(
        path.glob("*/*.txt")
    )


def load_labelled(
    name: str | Path,
    class_names: tuple[str, ...],
    *,
    text_column: str = COLUMNS["text_column"],
    label_column: str = COLUMNS["label_column"],
    data_dir: str | Path | None = None,
) -> Examples:
    """Loads the examples on which a classifier that is trained already is measured.

    Args:
        name, text_column, label_column, data_dir: as for `load_corpus`. Of a corpus with test
            examples, they are taken. A file needs no more than a row.
        class_names: the classifier's classes.

    Returns:
        The examples, their labels as indices into `class_names`.

    Raises:
        ValueError: if a label is none of the classes; and as `load_corpus`.
    """
    path = expanded(name)
    if formats.is_table(path) and path.is_file():
        rows = tables.read_rows(path, text_column, label_column)
        return tables.number_rows(path, rows, class_names, "the run's")
    corpus = load_corpus(
        name, text_column=text_column, label_column=label_column, data_dir=data_dir
    )
    if unknown := set(corpus.class_names) - set(class_names):
        raise ValueError(
            f"{name}: labels must be among the run's, {', '.join(map(repr, class_names))}, got"
            f" {', '.join(map(repr, sorted(unknown)))}"
        )
    numbers = np.array([class_names.index(each) for each in corpus.class_names], np.int32)
    examples = corpus.test or corpus.train
    return Examples(examples.texts, numbers[examples.labels])


def _builtin(name: str) -> Corpus:
    from lstm_jax.data import synthetic

    classes = _BUILTIN[name]
    train = synthetic.generate_reviews(BUILTIN_TRAIN, seed=_TRAIN_SEED, classes=classes)
    test = synthetic.generate_reviews(BUILTIN_TEST, seed=_TEST_SEED, classes=classes)
    names = synthetic.CLASS_NAMES if classes == 2 else synthetic.FIVE_CLASS_NAMES
    return Corpus(name, Examples(*train), Examples(*test), names)


def _own_file(
    path: Path, test_path: str | Path | None, text_column: str, label_column: str
) -> Corpus:
    rows = tables.read_rows(path, text_column, label_column)
    names, whose = tables.class_names(path, rows), "the training file's"
    train, test = tables.number_rows(path, rows, names, whose), None
    if test_path is not None:
        test_file = expanded(test_path)
        if not test_file.is_file():
            raise ValueError(f"{test_path}: no such file")
        test_rows = tables.read_rows(test_file, text_column, label_column)
        test = tables.number_rows(test_file, test_rows, names, whose)
    warning = labels.near_equal_warning([row.label for row in rows])
    warnings = () if warning is None else (f"{path}: {warning}",)
    return Corpus(str(path), train, test, names, warnings=warnings)
