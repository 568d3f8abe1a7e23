"""The IMDB reviews (Maas et al. 2011): prepared by TensorFlow Datasets, or as their archive.

However they come, the texts and their order are the same, so that a seed means the same training:
TFDS orders the examples of a split by a hash of their names in the archive, and so do the readers
of the archive and of its folder here. Nothing in this module needs TensorFlow.

Source: Maas et al. 2011, "Learning Word Vectors for Sentiment Analysis", ACL.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_jax.data.archive import read_members
from lstm_jax.data.corpus import Corpus, Examples
from lstm_jax.files import expanded

CLASS_NAMES = ("negative", "positive")

ARCHIVE_URL = "http://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"

# TFDS's names for the data set and its layout below a data directory.
PREPARED = Path("imdb_reviews", "plain_text", "1.0.0")

# How long to wait for an answer from the archive's server, the name look-up included.
PROBE_SECONDS = 6.0

_MEMBER = re.compile(r"(?:\./)?(aclImdb/(train|test)/(neg|pos|unsup)/\d+_\d+\.txt)")
# The two folders that a review is in, and the split that TFDS puts it into.
Place = tuple[str, str]
_SPLITS: dict[Place, str] = {
    ("train", "neg"): "train",
    ("train", "pos"): "train",
    ("test", "neg"): "test",
    ("test", "pos"): "test",
    ("train", "unsup"): "unsupervised",
}
_READ_AT_ONCE = 5000
# The longest review has 14 kB, and all 100,000 have 132 MB.
_REVIEW_BYTES, _ALL_BYTES = 1 << 20, 1 << 28

_logger = logging.getLogger(__name__)


class DataUnavailableError(FileNotFoundError):
    """The IMDB reviews are not here and cannot be fetched; the message says what to do."""


class Review(NamedTuple):
    """A review as the archive has it.

    Args:
        name: its path in the archive, `aclImdb/train/pos/0_9.txt`.
        folder: "neg", "pos" or "unsup".
        text: the text, without white space around it.
    """

    name: str
    folder: str
    text: str


def load_imdb(data_dir: str | Path | None = None, *, unlabelled: bool = False) -> Corpus:
    """Loads the reviews that TFDS has prepared; where it has not, downloads and prepares them.

    Args:
        data_dir: TFDS's data directory; without it the one that `TFDS_DATA_DIR` names, else
            `~/tensorflow_datasets`.
        unlabelled: whether to load the 50,000 reviews without labels too.

    Returns:
        The 25,000 training and 25,000 test reviews.

    Raises:
        DataUnavailableError: if they are not there and cannot be downloaded, or cannot be read.
    """
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    root = expanded(chosen)
    if str(root).startswith("~"):
        raise DataUnavailableError(_advice(f"looked for in {root}, but there is no such home"))
    if not (root / PREPARED / "dataset_info.json").is_file():
        reason = why_unreachable(ARCHIVE_URL, PROBE_SECONDS)
        if reason is not None:
            raise DataUnavailableError(_advice(f"not prepared in {root}, and {reason}"))
        from lstm_jax.data.imdb_builder import prepare

        _logger.warning("downloading the IMDB reviews (80 MB) into %s: takes minutes", root)
        try:
            prepare(root)
        except Exception as error:  # requests, TFDS and the file system each have their own
            raise DataUnavailableError(
                _advice(f"not prepared in {root}, and preparing them failed: {error}")
            ) from error
    return read_prepared(root / PREPARED, unlabelled=unlabelled)


def read_prepared(folder: str | Path, *, unlabelled: bool = False) -> Corpus:
    """Reads the reviews from the files that TFDS has prepared.

    Args:
        folder: with the files of one version, `.../imdb_reviews/plain_text/1.0.0`.
        unlabelled: whether to read the reviews without labels too.

    Returns:
        The reviews, in the order of the files.

    Raises:
        DataUnavailableError: if the files are in a format without random access, or broken.
    """
    import tensorflow_datasets as tfds

    def read(split: str) -> Examples:
        source = builder.as_data_source(split)  # pyright: ignore[reportCallIssue]
        texts, labels = [], np.empty(len(source), np.int32)
        for start in range(0, len(source), _READ_AT_ONCE):
            rows = list(range(start, min(start + _READ_AT_ONCE, len(source))))
            for row, example in zip(rows, source.__getitems__(rows), strict=True):
                texts.append(example["text"].decode())
                labels[row] = example["label"]
        return Examples(texts, labels)

    try:
        builder = tfds.builder_from_directory(str(folder))
        train, test = read("train"), read("test")
        rest = read("unsupervised").texts if unlabelled else []
    except Exception as error:  # of TFDS, array_record and protobuf
        raise DataUnavailableError(
            _advice(f"prepared in {folder}, but cannot be read from there: {error}")
        ) from error
    return Corpus("imdb", train, test, CLASS_NAMES, rest)


def read_archive(path: str | Path, *, unlabelled: bool = False) -> Corpus:
    """Reads the reviews from the original archive, or from the folder that it unpacks to.

    Nothing is unpacked: a name in the archive is only compared, never used as a path.

    Args:
        path: `aclImdb_v1.tar.gz`, or the folder `aclImdb`, or the folder with `aclImdb` in it.
        unlabelled: whether to keep the reviews without labels too.

    Returns:
        The reviews, in the order in which TFDS has them.

    Raises:
        ValueError: if it is not such an archive or folder, or broken, or some of it is missing.
    """
    splits = ordered_splits(path, unlabelled=unlabelled)
    examples = {
        split: Examples(
            [review.text for review in splits[split]],
            np.array([review.folder == "pos" for review in splits[split]], np.int32),
        )
        for split in ("train", "test")
    }
    rest = [review.text for review in splits["unsupervised"]]
    return Corpus("imdb", examples["train"], examples["test"], CLASS_NAMES, rest)


def ordered_splits(path: str | Path, *, unlabelled: bool) -> dict[str, list[Review]]:
    """Reads an archive or its folder into splits, each in TFDS's order.

    Args:
        path: as for `read_archive`.
        unlabelled: whether "unsupervised" is filled; it is empty otherwise.

    Returns:
        The reviews of "train", "test" and "unsupervised".

    Raises:
        ValueError: as `read_archive`.
    """
    path = Path(path)
    wanted = [place for place in _SPLITS if unlabelled or place[1] != "unsup"]
    read = _folder_reviews if path.is_dir() else _archive_reviews
    splits: dict[str, list[Review]] = {"train": [], "test": [], "unsupervised": []}
    found = dict.fromkeys(wanted, 0)
    names, total = set(), 0
    for name, place, content in read(path, wanted):
        found[place] += 1
        total += len(content)
        if total > _ALL_BYTES:
            raise ValueError(f"{path}: must have at most {_ALL_BYTES:,} bytes of reviews, got more")
        if name in names:
            raise ValueError(f"{path}: {name} is in it twice")
        names.add(name)
        try:
            # Stripped as bytes, as TFDS does: str.strip() takes more than ASCII's white space.
            text = content.strip().decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: {name} is not UTF-8: {error}") from error
        splits[_SPLITS[place]].append(Review(name, place[1], text))
    missing = ["aclImdb/{}/{}".format(*place) for place in wanted if not found[place]]
    if missing:
        raise ValueError(
            f"{path}: no reviews in {', '.join(missing)}; they must be laid out as in"
            " aclImdb_v1.tar.gz: aclImdb/{train,test}/{neg,pos}/NUMBER_RATING.txt"
        )
    for split, members in splits.items():
        members.sort(key=_tfds_order(split))
    return splits


def why_unreachable(url: str, seconds: float) -> str | None:
    """Asks a server for the head of a file, and gives up in time whatever happens.

    A look-up of a name has no time limit of its own, so the question is put on a thread that
    is left behind if it takes too long. Proxies are used as the environment names them.

    Args:
        url: the file.
        seconds: how long to wait.

    Returns:
        None if the server has the file, else what happened instead.
    """
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            # Not urlopen(), which keeps the proxies of its first call.
            with urllib.request.build_opener().open(request, timeout=seconds):
                outcome.append(None)
        except Exception as error:  # whatever goes wrong, the file is out of reach
            outcome.append(f"{url} is out of reach: {error}")

    thread = threading.Thread(target=ask, daemon=True, name="imdb-probe")
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else f"{url} gave no answer in {seconds:g} seconds"


def _archive_reviews(path: Path, wanted: Sequence[Place]) -> Iterator[tuple[str, Place, bytes]]:
    """The reviews of a tar.gz that are in the wanted places, in the order of the archive."""
    try:
        for match, content in read_members(path, _MEMBER, _REVIEW_BYTES):
            if match.groups()[1:] in wanted:
                yield match[1], (match[2], match[3]), content
    except ValueError as error:
        raise ValueError(f"{error}; download it again from {ARCHIVE_URL}") from error


def _folder_reviews(path: Path, wanted: Sequence[Place]) -> Iterator[tuple[str, Place, bytes]]:
    """The reviews of an unpacked archive that are in the wanted places."""
    root = path / "aclImdb" if (path / "aclImdb").is_dir() else path
    for place in wanted:
        for file in root.joinpath(*place).glob("*.txt"):
            name = f"aclImdb/{place[0]}/{place[1]}/{file.name}"
            if _MEMBER.fullmatch(name) and file.is_file():
                with file.open("rb") as opened:
                    content = opened.read(_REVIEW_BYTES + 1)
                if len(content) > _REVIEW_BYTES:
                    raise ValueError(f"{file}: must have at most {_REVIEW_BYTES:,} bytes, got more")
                yield name, place, content


def _tfds_order(split: str) -> Callable[[Review], bytes]:
    """The key by which TFDS sorts the examples of a split: md5 of the split's name and theirs."""
    salt = hashlib.md5(split.encode(), usedforsecurity=False)

    def key(review: Review) -> bytes:
        digest = salt.copy()
        digest.update(review.name.encode())
        return digest.digest()

    return key


def _advice(problem: str) -> str:
    return (
        f"the IMDB reviews are {problem.rstrip('.')}.\n"
        "What to do, one of:\n"
        "  - set TFDS_DATA_DIR to the directory in which TensorFlow Datasets has prepared them\n"
        f"    (it has {PREPARED.as_posix()}/ in it, with array_record files);\n"
        f"  - download {ARCHIVE_URL}\n"
        "    elsewhere, and give its path in place of the name (--data PATH);\n"
        '  - run again with a network, or with the corpus "builtin".'
    )
