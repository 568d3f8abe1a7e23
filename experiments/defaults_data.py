"""Data sets of different kinds and sizes, to try the settings on that `train` chooses by itself."""

import re
import tarfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from lstm_jax.data import Corpus, Examples, generate_reviews, load_corpus

_RATING = re.compile(r"aclImdb/(train|test)/(?:pos|neg)/\d+_(\d+)\.txt")
_TESTED = 5_000  # test examples at most: a share of 90 % is then known to 0.8 points either way


def builtin(count: int) -> Corpus:
    """So many generated reviews in two classes; what turns a sentence round decides."""
    texts, labels = generate_reviews(count, seed=0)
    return _corpus(f"builtin, {count:,}", (texts, labels), generate_reviews(2_000, seed=1))


def imdb(count: int) -> Corpus:
    """So many of the IMDB training reviews, drawn at random, and 5,000 of the test reviews."""
    whole = load_corpus("imdb")
    assert whole.test is not None
    return Corpus(
        f"IMDB, {count:,}", _some(whole.train, count), _some(whole.test, _TESTED), whole.class_names
    )


def ratings(archive: Path, count: int) -> Corpus:
    """The eight ratings of IMDB reviews, 1 to 4 and 7 to 10, as classes; of unequal size.

    Args:
        archive: `aclImdb_v1.tar.gz`; the names of its files have the ratings.
        count: training reviews.
    """
    rows: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    with tarfile.open(archive) as files:
        for member in files:
            if (found := _RATING.fullmatch(member.name)) and (content := files.extractfile(member)):
                rows[found[1]].append((content.read().decode(), int(found[2])))
    names = tuple(map(str, sorted({rating for _, rating in rows["train"]})))

    def numbered(part: list[tuple[str, int]]) -> Examples:
        numbers = np.array([names.index(str(rating)) for _, rating in part], np.int32)
        return Examples([text for text, _ in part], numbers)

    train, test = _some(numbered(rows["train"]), count), _some(numbered(rows["test"]), _TESTED)
    return Corpus(f"IMDB ratings, {count:,}", train, test, names)


def names(count: int) -> Corpus:
    """Invented names in two classes: their endings and letters tell, not always, which."""

    def made(count: int, seed: int) -> tuple[list[str], np.ndarray]:
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 2, count)
        starts = (
            "b",
            "d",
            "f",
            "g",
            "k",
            "l",
            "m",
            "n",
            "r",
            "s",
            "t",
            "v",
            "br",
            "kl",
            "sh",
            "tr",
        )
        vowels, ends = ("a", "e", "i", "o", "u", "ai", "ei"), ("n", "r", "s", "l", "k", "rd", "x")
        texts = []
        for label in labels:
            # The class that its sounds are drawn from is the other one for one name in twelve.
            sounds = label if generator.random() > 1 / 12 else 1 - label
            name = ""
            for _ in range(generator.integers(2, 4)):
                tilt = np.linspace(1, 2, len(starts)) if sounds else np.linspace(2, 1, len(starts))
                name += generator.choice(starts, p=tilt / tilt.sum()) + generator.choice(vowels)
            closed = generator.random() < (0.75 if sounds else 0.3)
            texts.append((name + (generator.choice(ends) if closed else "")).capitalize())
        return texts, labels

    return _corpus(f"invented names, {count:,}", made(count, 0), made(_TESTED, 1))


def topics(classes: int, count: int) -> Corpus:
    """Invented sentences on so many topics; some have a hundred times the texts of others.

    Each topic has words of its own, which neighbouring topics share in part, among common ones.
    """
    generator = np.random.default_rng(classes)
    frequencies = 1 / np.arange(1, classes + 1)
    frequencies /= frequencies.sum()
    words = _words(generator, 40 * classes + 400)
    common = words[:400]

    def made(count: int, seed: int) -> tuple[list[str], np.ndarray]:
        draw = np.random.default_rng(seed)
        labels = np.concatenate(
            [np.arange(classes).repeat(2), draw.choice(classes, count - 2 * classes, p=frequencies)]
        )
        texts = []
        for label in labels:
            own = words[400 + 40 * label :][:60]  # the last 20 are the next topic's first ones
            size = draw.integers(5, 20)
            texts.append(
                " ".join(draw.choice(own if draw.random() < 0.18 else common) for _ in range(size))
            )
        return texts, labels

    return _corpus(f"{classes} topics, {count:,}", made(count, 1), made(_TESTED, 2))


def unspaced(count: int) -> Corpus:
    """The built-in reviews with each word as one to three Chinese characters, without spaces."""
    corpus = builtin(count)
    assert corpus.test is not None
    generator, known = np.random.default_rng(0), {}

    def written(text: str) -> str:
        pieces = re.findall(r"\w+|[^\w\s]", text.lower())
        for piece in pieces:
            if piece not in known:
                codes = generator.integers(0x4E00, 0x4E00 + 1500, generator.integers(1, 4))
                known[piece] = "".join(map(chr, codes)) if piece.isalnum() else "。"
        return "".join(known[piece] for piece in pieces)

    train, test = (
        Examples([written(text) for text in part.texts], part.labels)
        for part in (corpus.train, corpus.test)
    )
    return Corpus(f"text without spaces, {count:,}", train, test, corpus.class_names)


def data_sets(archive: Path) -> dict[str, Callable[[], Corpus]]:
    """All of them, by short names; each is made when it is called."""
    return {
        **{f"builtin-{count}": partial(builtin, count) for count in (300, 3_000, 30_000)},
        **{f"imdb-{count}": partial(imdb, count) for count in (500, 2_500, 25_000)},
        "ratings-5000": partial(ratings, archive, 5_000),
        **{f"names-{count}": partial(names, count) for count in (1_000, 20_000)},
        "topics-5": partial(topics, 5, 2_000),
        "topics-50": partial(topics, 50, 5_000),
        "unspaced-3000": partial(unspaced, 3_000),
    }


def _words(generator: np.random.Generator, count: int) -> list[str]:
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(generator.choice(syllables, generator.integers(2, 4)))] = None
    return list(found)


def _some(examples: Examples, count: int) -> Examples:
    """So many of them, drawn at random, always the same."""
    return examples.take(np.random.default_rng(0).permutation(len(examples))[:count])


def _corpus(
    name: str, train: tuple[Sequence[str], np.ndarray], test: tuple[Sequence[str], np.ndarray]
) -> Corpus:
    known, tested = (
        Examples(list(texts), labels.astype(np.int32)) for texts, labels in (train, test)
    )
    classes = int(known.labels.max()) + 1
    return Corpus(name, known, tested, tuple(f"class {number}" for number in range(classes)))
