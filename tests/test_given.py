"""Texts and labels from Python: lists, arrays, columns of data frames, scikit-learn's bunches."""

import numpy as np
import pandas
import pytest
from sklearn.utils import Bunch

from lstm_jax.data.given import as_examples

TEXTS, LABELS = ["good", "bad", "fine"], ["pos", "neg", "pos"]


@pytest.mark.parametrize(
    "column",
    [list, tuple, iter, np.array, pandas.Series, lambda v: pandas.Series(v, index=[7, 7, 9])],
)
def test_whatever_gives_one_after_the_other_is_taken(column):
    examples, names = as_examples(column(TEXTS), column(LABELS))
    assert (examples.texts, names) == (TEXTS, ("neg", "pos"))
    assert examples.labels.tolist() == [1, 0, 1]
    assert examples.labels.dtype == np.int32
    assert all(type(text) is str for text in examples.texts)


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        ([10, 9, 10], ("9", "10"), [1, 0, 1]),
        (np.array([1, 0, 1], np.uint8), ("0", "1"), [1, 0, 1]),
        ([True, False, True], ("false", "true"), [1, 0, 1]),
        (pandas.Series(LABELS, dtype="category"), ("neg", "pos"), [1, 0, 1]),
        (pandas.Series([1.0, 0.0, 1.0]), ("0", "1"), [1, 0, 1]),
    ],
)
def test_labels_are_strings_or_whole_numbers(labels, names, numbers):
    examples, found = as_examples(TEXTS, labels)
    assert (found, examples.labels.tolist()) == (names, numbers)


def test_names_of_classes_can_be_given_for_names_or_places():
    for labels in (LABELS, [0, 1, 0]):
        examples, names = as_examples(TEXTS, labels, ["pos", "neg", "other"])
        assert names == ("pos", "neg", "other")
        assert examples.labels.tolist() == [0, 1, 0]


def test_a_bunch_of_scikit_learn_is_texts_and_labels():
    bunch = Bunch(data=TEXTS, target=np.array([0, 1, 0]), target_names=["pos", "neg"])
    examples, names = as_examples(bunch)
    assert (examples.texts, names, examples.labels.tolist()) == (TEXTS, ("pos", "neg"), [0, 1, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TEXTS,), "labels must be given, unless texts is a Bunch"),
        (("good", LABELS), "texts must be a list, an array or a column, got a single string"),
        (({"a": 1}, LABELS), "texts must be a list, an array or a column, got dict"),
        ((5, LABELS), "texts must be a list, an array or a column, got int"),
        ((pandas.DataFrame({"a": TEXTS}), LABELS), "texts must have one dimension, got 2"),
        ((TEXTS, np.zeros((3, 2))), "labels must have one dimension, got 2"),
        ((TEXTS, LABELS[:2]), "labels must be as many as texts, 3, got 2"),
        (([], []), "texts must have at least one text, got none"),
        ((["a", None, "b"], LABELS), r"texts\[1\] must be a string, got NoneType"),
        ((["a", "\ud83d", "b"], LABELS), r"texts\[1\] must be valid Unicode"),
        ((TEXTS, ["a", None, "b"]), r"labels\[1\] must be a label, got no label"),
        ((TEXTS, ["a", float("nan"), "b"]), r"labels\[1\] must be a label, got no label"),
        ((TEXTS, [1, pandas.NA, 2]), r"labels\[1\] must be a label, got no label"),
        ((TEXTS, [1, 0.5, 2]), r"labels\[1\] must be a label, got the label must be a string or"),
        ((TEXTS, ["a", "a", "a"]), "labels must be of at least two classes, got 'a'"),
        ((TEXTS, LABELS, ["neg"]), r"labels\[0\] must be one of 'neg', got 'pos'"),
        ((TEXTS, [0, 2, 1], ["a", "b"]), r"labels\[1\] must be one of 'a', 'b', got '2'"),
        ((TEXTS, [0, 0, 0], ["a", "a"]), "class_names must be at least two different names"),
    ],
)
def test_what_cannot_be_examples_is_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as told:
        as_examples(*arguments)
    assert "\n" not in str(told.value)
