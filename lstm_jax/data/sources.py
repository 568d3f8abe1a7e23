"""Where texts come from: IMDB, the built-in corpus, or a file or folder of the user's own."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lstm_jax.data import folders, formats, imdb
from lstm_jax.data.corpus import Corpus, Examples
from lstm_jax.data.reading import Reading
from lstm_jax.data.tables import Labelled, read_labelled
from lstm_jax.files import expanded

# The built-in corpus: its number of classes by name, and its sizes.
_BUILTIN = {"builtin": 2, "builtin5": 5}
BUILTIN_TRAIN, BUILTIN_TEST = 16_000, 4_000
_TRAIN_SEED, _TEST_SEED = 0, 1

NAMES = ("imdb", *_BUILTIN)
_ARCHIVES = (".tar.gz", ".tgz")
_REVIEW = re.compile(r"\d+_\d+\.txt")
_FIND_OUT = Reading()


def load_corpus(
    name: str | Path,
    reading: Reading = _FIND_OUT,
    *,
    test_path: str | Path | None = None,
    unlabelled: bool = False,
    data_dir: str | Path | None = None,
) -> Corpus:
    """Loads a corpus by its name, or from a path.

    Args:
        name: one of
            - "imdb": as TFDS has it prepared, else downloaded; never anything else;
            - "builtin", "builtin5": made-up reviews in two or five classes, made on the spot;
            - the path of a file of training examples, in a format of `formats.kind_of`;
            - the path of a folder with a folder of texts for each class, or with such folders in
              `train` and `test`;
            - the path of a folder that Hugging Face's `datasets` has saved;
            - the path of `aclImdb_v1.tar.gz`, or of the folder it unpacks to.
        reading: what is said of a file of examples; the rest is found out.
        test_path: for examples of one's own, a file or folder with the test examples, which is read
            with the same columns.
        unlabelled: for IMDB, whether to load the reviews without labels too.
        data_dir: for IMDB, TFDS's data directory; else `TFDS_DATA_DIR` or TFDS's default.

    Returns:
        The corpus. Print its `notes` and `warnings`.

    Raises:
        ValueError: if there is no such name or path, or what is there is not as described.
        DataUnavailableError: a `FileNotFoundError`, if "imdb" cannot be had; says what to do.
    """
    path = expanded(name)
    named = name in NAMES
    if test_path is not None and (named or _is_imdb(path)):
        raise ValueError(
            f"{test_path}: test examples go only with training examples of your own;"
            f" {name} has its own test examples"
        )
    if name == "imdb":
        return imdb.load_imdb(data_dir, unlabelled=unlabelled)
    if named:
        return _builtin(str(name))
    if path.exists():
        if _is_imdb(path):
            return imdb.read_archive(path, unlabelled=unlabelled)
        return _own(path, test_path, reading)
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


def check_reading(
    sources: Sequence[str | Path | None], reading: Reading, *, labelled: bool = True
) -> None:
    """Refuses what is said of files where no source of texts is a file of the user's own.

    Args:
        sources: names or paths as for `load_corpus`; None for one that is not given.
        reading: what is said.
        labelled: whether labels are read.

    Raises:
        ValueError: naming the option that would change nothing.
    """
    given = [str(source) for source in sources if source is not None]
    own = any(map(is_own, given))
    for name, value in reading.given().items():
        if name == "label_column" and not labelled:
            raise ValueError(f"--label-column goes only with labels that are read, got {value!r}")
        if not own:
            raise ValueError(
                f"--{name.replace('_', '-')} goes only with a file of your own, got {value!r} with"
                f" {' and '.join(given)}"
            )


def load_labelled(
    name: str | Path,
    class_names: tuple[str, ...],
    reading: Reading = _FIND_OUT,
    *,
    data_dir: str | Path | None = None,
) -> Labelled:
    """Loads the examples on which a classifier that is trained already is measured.

    Args:
        name, reading, data_dir: as for `load_corpus`. Of a source with test examples, they are
            taken. A file needs no more than a row.
        class_names: the classifier's classes.

    Returns:
        The examples, their labels as indices into `class_names`. Print the warnings, and the note
        if there is one.

    Raises:
        ValueError: if a label is none of the classes; and as `load_corpus`.
    """
    path = expanded(name)
    if is_own(name) and path.exists():
        train, test, _ = _parts(path)
        return read_labelled(test or train, reading, class_names, "the run's")
    corpus = load_corpus(name, reading, data_dir=data_dir)
    if unknown := set(corpus.class_names) - set(class_names):
        raise ValueError(
            f"{name}: labels must be among the run's, {', '.join(map(repr, class_names))}, got"
            f" {', '.join(map(repr, sorted(unknown)))}"
        )
    numbers = np.array([class_names.index(each) for each in corpus.class_names], np.int32)
    examples = corpus.test or corpus.train
    measured = Examples(examples.texts, numbers[examples.labels])
    return Labelled(measured, class_names, reading, "", ())


def is_own(name: str | Path) -> bool:
    """Whether a name or path is of a user's own file or folder, and not of IMDB or built in."""
    return name not in (*NAMES, "auto") and not _is_imdb(expanded(name))


def _builtin(name: str) -> Corpus:
    from lstm_jax.data import synthetic

    classes = _BUILTIN[name]
    train = synthetic.generate_reviews(BUILTIN_TRAIN, seed=_TRAIN_SEED, classes=classes)
    test = synthetic.generate_reviews(BUILTIN_TEST, seed=_TEST_SEED, classes=classes)
    names = synthetic.CLASS_NAMES if classes == 2 else synthetic.FIVE_CLASS_NAMES
    return Corpus(name, Examples(*train), Examples(*test), names)


def _own(path: Path, test_path: str | Path | None, reading: Reading) -> Corpus:
    train_path, test, about = _parts(path)
    if test_path is not None:
        test = expanded(test_path)
        if not test.exists():
            raise ValueError(f"{test_path}: no such file")
        test = _parts(test)[1] or test
    train = read_labelled(train_path, reading)
    if len(train.class_names) < 2:
        only = ", ".join(map(repr, train.class_names))
        raise ValueError(f"{path}: there must be at least two labels, got only {only}")
    tested = None
    if test is not None:
        tested = read_labelled(test, train.reading, train.class_names, "the training file's")
    both = [train] if tested is None else [train, tested]
    return Corpus(
        str(path),
        train.examples,
        None if tested is None else tested.examples,
        train.class_names,
        warnings=tuple(warning for each in both for warning in each.warnings),
        notes=(*about, *(each.note for each in both)),
    )


def _parts(path: Path) -> tuple[Path, Path | None, list[str]]:
    """Where the training and the test examples of a path are, and what must be said of the rest."""
    if not path.is_dir() or (path / formats.STATE).is_file():
        return path, None, []
    if not (path / formats.SPLITS).is_file():
        train, test = folders.parts(path)
        return train, test, []
    try:
        splits = list(map(str, json.loads((path / formats.SPLITS).read_bytes())["splits"]))
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path / formats.SPLITS}: must name the splits of a dataset") from None
    if "train" not in splits:
        raise ValueError(f"{path}: there must be a split 'train', got {', '.join(splits)}")
    others = [name for name in splits if name not in ("train", "test")]
    about = [f"{path}: not read: {', '.join(map(repr, others))}"] if others else []
    return path / "train", path / "test" if "test" in splits else None, about


def _is_imdb(path: Path) -> bool:
    """Whether a path is the archive of IMDB, or the folder it unpacks to."""
    if path.name.lower().endswith(_ARCHIVES):
        return True
    if not path.is_dir():
        return False
    if (path / "aclImdb").is_dir() or path.name == "aclImdb":
        return True
    reviews = path / "train" / "pos"
    return reviews.is_dir() and any(_REVIEW.fullmatch(each.name) for each in reviews.iterdir())
