"""The built-in corpus: balanced, reproducible, and readable only by who minds the order.

Labels are recomputed from the finished text by `read`, a reader with rules and word lists of its
own, written from the module's docstring and not from its tables.
"""

import hashlib
import re

import numpy as np
import pytest

from lstm_jax.data.synthetic import (
    CLASS_NAMES,
    FIVE_CLASS_NAMES,
    KINDS,
    Dice,
    Plan,
    generate_reviews,
    plan_value,
    write_review,
)

GOOD = """absorbing|appealing|beautiful|captivating|charming|clever|compelling|delightful|elegant|
    enchanting|engaging|enjoyable|exciting|graceful|gripping|imaginative|impressive|inventive|
    likeable|memorable|moving|pleasing|polished|refreshing|rewarding|satisfying|skilful|
    thoughtful"""
BAD = """annoying|awkward|bland|boring|careless|clumsy|crude|disappointing|dreary|dull|feeble|flat|
    forgettable|grating|hollow|irritating|lame|lazy|lifeless|muddled|shallow|sloppy|stale|tedious|
    tiresome|trite|uninspired|unpleasant"""
STRONG = "thoroughly|completely|truly|wholly|profoundly|remarkably|supremely|deeply"
MILD = "rather|fairly|somewhat|mildly|moderately|faintly"
VERDICT = re.compile(rf"\b(?:({STRONG})|(?:{MILD}))\ (?:({GOOD})|(?:{BAD}))\b", re.VERBOSE)

# What a clause begins with, or what a sentence has somewhere in it.
DENIED = re.compile(
    "^(i would not|it is not fair|i cannot|there is no way|i never|nobody could claim|it would be f"
    "alse|at no point)"
)
UNIMPORTANT = re.compile(
    "^(although|even though|in spite|it hardly|it counts for very|never mind|it makes no diff|i do "
    "not hold|my view is not|i attach no|the critics|my neighbour|the poster|a man in|the trailer|"
    "i had read|according to|my .* had assured)"
)
RETRACTION = re.compile("take back|no longer|reverse my|i was wrong|overturned")
OVERRULES = re.compile("^but |^yet |^all the same|, however|, though")
DRAW = re.compile("weighs exactly|same extent|just as heavily|equal importance")


def read(text: str) -> int:
    """Reads a review sentence by sentence: its value, -2 to 2, as a careful person would say it."""
    believed, weighed = [], 0
    for sentence in re.split(r"\.(?: |<br /><br />|$)", text.lower()):
        parts = re.split(r", (?=although|even though|in spite)", sentence)
        if re.match("although|even though|in spite", sentence):
            parts = sentence.split(", ")  # the subordinate clause ends at the comma
        for part in parts:
            for strong, good in VERDICT.findall(part):
                weighed += 1
                if UNIMPORTANT.match(part):
                    continue
                if DRAW.search(part):
                    return 0
                if OVERRULES.search(part):
                    believed.clear()
                value = (1 if good else -1) * (2 if strong else 1)
                believed.append(-np.sign(value) if DENIED.match(part) else value)
        if RETRACTION.search(sentence) and not VERDICT.search(sentence):
            believed = [-np.sign(value) for value in believed]
    assert weighed in (1, 2), text
    assert len(believed) == 1, text
    return int(believed[0])


def test_same_seed_gives_same_texts():
    texts, labels = generate_reviews(50, seed=3)
    again, same_labels = generate_reviews(50, seed=np.int64(3))  # pyright: ignore[reportArgumentType]
    assert texts == again
    np.testing.assert_array_equal(labels, same_labels)


def test_the_bits_are_the_same_on_every_machine():
    """A changed word changes this number, and every figure measured on the corpus: mean it."""
    texts, labels = generate_reviews(100, seed=0)
    digest = hashlib.sha256("\n".join([*texts, *map(str, labels)]).encode()).hexdigest()
    assert digest[:16] == "b197bd78c4022343"


def test_train_and_test_share_no_texts():
    train, _ = generate_reviews(6000, seed=0)
    test, _ = generate_reviews(2000, seed=1)
    assert len(set(train)) == 6000
    assert not set(train) & set(test)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("count", [0, 1, 7, 1000])
def test_labels_are_balanced(count: int, classes: int):
    texts, labels = generate_reviews(count, seed=2, classes=classes)
    counts = np.bincount(labels, minlength=classes)
    assert len(texts) == len(labels) == count
    assert labels.dtype == np.int32
    assert counts.max() - counts.min() <= 1
    assert len(counts) == classes == len(CLASS_NAMES if classes == 2 else FIVE_CLASS_NAMES)


def test_labels_are_shuffled():
    _, labels = generate_reviews(1000, seed=2)
    assert 400 < np.count_nonzero(np.diff(labels)) < 600


def test_a_careful_reader_agrees_with_every_label():
    texts, labels = generate_reviews(3000, seed=4)
    np.testing.assert_array_equal([read(text) > 0 for text in texts], labels == 1)
    texts, labels = generate_reviews(3000, seed=5, classes=5)
    np.testing.assert_array_equal([read(text) + 2 for text in texts], labels)


@pytest.mark.parametrize("kind", KINDS)
def test_exchanging_praise_and_blame_turns_the_label(kind: str):
    """The same dice write the same review with only the adjectives exchanged."""
    for seed in range(20):
        plan = Plan(kind, praise=bool(seed % 2), strong=bool(seed % 3))
        other = plan._replace(praise=not plan.praise)
        text, turned = (write_review(p, Dice(seed)) for p in (plan, other))
        changed = [
            pair for pair in zip(text.split(), turned.split(), strict=True) if len({*pair}) > 1
        ]
        assert len(changed) == len(VERDICT.findall(text.lower()))
        ours, theirs = (VERDICT.findall(t.lower()) for t in (text, turned))
        assert [bool(good) for _, good in ours] == [not good for _, good in theirs]
        assert read(text) == plan_value(plan) == -plan_value(other) == -read(turned)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("affirmed", "denied"),
        ("confirmed", "retracted"),
        ("concession", "contrast"),
        ("although last", "although first"),
        ("hearsay last", "hearsay first"),
        ("concession", "conceded first"),
    ],
)
def test_one_early_or_distant_cue_turns_the_label(one: str, other: str):
    for seed in range(20):
        plans = [Plan(kind, praise=bool(seed % 2), strong=bool(seed % 3)) for kind in (one, other)]
        texts = [write_review(plan, Dice(seed)) for plan in plans]
        first, second = (VERDICT.findall(text.lower()) for text in texts)
        assert [bool(good) for _, good in first] == [bool(good) for _, good in second]
        assert read(texts[0]) * read(texts[1]) < 0


def test_texts_read_like_short_reviews():
    texts, _ = generate_reviews(2000, seed=6)
    lengths = [len(text.replace("<br />", " ").split()) for text in texts]
    assert min(lengths) >= 20
    assert max(lengths) <= 130
    assert 40 <= np.mean(lengths) <= 80
    assert len({word for text in texts for word in re.findall(r"\w+", text.lower())}) > 500
    assert 0.2 < np.mean(["<br /><br />" in text for text in texts]) < 0.8
    for text in texts:
        assert not re.search(r"[{}]|<(?!br />)|  | [.,]|\.\.|(^|\. |/>)[a-z]|[^.]$", text), text


def test_a_linear_model_cannot_read_it():
    features = pytest.importorskip("sklearn.feature_extraction.text")
    linear = pytest.importorskip("sklearn.linear_model")
    (train, train_labels), (test, test_labels) = (
        generate_reviews(count, seed=seed) for count, seed in ((6000, 7), (2000, 8))
    )
    for longest in (1, 2, 4):
        vectorizer = features.TfidfVectorizer(ngram_range=(1, longest))
        model = linear.LogisticRegression(max_iter=1000)
        model.fit(vectorizer.fit_transform(train), train_labels)
        assert model.score(vectorizer.transform(test), test_labels) <= 0.75


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": -1, "seed": 0}, "count must be an integer of 0 or more, got -1"),
        ({"count": 2.0, "seed": 0}, r"count must be an integer of 0 or more, got 2\.0"),
        ({"count": True, "seed": 0}, "count must be an integer of 0 or more, got True"),
        ({"count": 1, "seed": -3}, "seed must be an integer of 0 or more, got -3"),
        ({"count": 1, "seed": "0"}, "seed must be an integer of 0 or more, got '0'"),
        ({"count": 1, "seed": 0, "classes": 3}, "classes must be 2 or 5, got 3"),
        ({"count": 1, "seed": 0, "classes": None}, "classes must be .* got None"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        generate_reviews(**arguments)
