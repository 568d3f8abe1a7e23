"""The part of the training examples that is set aside for validation."""

import zlib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lstm_jax.data import split_validation


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=20, max_size=200), st.sampled_from([0.1, 0.25, 0.5]))
def test_validation_takes_the_same_share_of_each_class(labels, fraction):
    training, validation = split_validation(labels, fraction, seed=3)
    assert sorted([*training, *validation]) == list(range(len(labels)))
    assert sorted(training) == list(training)
    labels = np.array(labels)
    for label in np.unique(labels):
        aside, count = np.sum(labels[validation] == label), np.sum(labels == label)
        assert abs(aside - fraction * count) <= 0.5 or aside == min(1, count - 1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=60), st.sampled_from([0.01, 0.05, 0.5, 0.99])
)
def test_every_class_with_two_rows_is_on_both_sides_and_one_row_is_trained_on(labels, fraction):
    counts = np.bincount(labels)
    assume((counts >= 2).any())
    training, validation = split_validation(labels, fraction, seed=1)
    labels = np.array(labels)
    for label in np.unique(labels):
        assert (labels[training] == label).any()
        assert (labels[validation] == label).any() == (counts[label] >= 2)


@pytest.mark.parametrize(
    ("counts", "aside"),
    [([10] * 20, [1] * 20), ([5, 5], [1, 1]), ([2, 1], [1, 0]), ([25, 25], [1, 1])],
    ids=str,
)
def test_small_data_is_split_at_the_usual_fraction(counts, aside):
    labels = np.repeat(np.arange(len(counts)), counts)
    _, validation = split_validation(labels, 0.05, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[validation], minlength=len(counts)), aside)


def test_a_rare_class_among_large_ones_is_validated():
    labels = np.repeat([0, 1, 2], [1000, 1000, 5])
    _, validation = split_validation(labels, 0.05, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[validation]), [50, 50, 1])


@pytest.mark.parametrize(
    ("labels", "fraction", "seed", "checksum"),
    [
        (np.arange(25_000) % 2, 0.05, 0, 66191594),
        (np.arange(16_000) % 5, 0.05, 0, 3168099457),
        (np.zeros(75_000, int), 0.01, 0, 1587835882),
    ],
    ids=["reviews", "five classes", "texts without labels"],
)
def test_the_part_of_large_classes_is_the_one_of_the_records(labels, fraction, seed, checksum):
    _, validation = split_validation(labels, fraction, seed)
    assert zlib.crc32(validation.tobytes()) == checksum


def test_validation_is_a_function_of_the_seed():
    labels = np.arange(1000) % 2
    first, second, other = (split_validation(labels, 0.2, seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_validation_says_what_is_wrong_with_its_arguments():
    for fraction in (0, 1, -0.5, float("nan")):
        with pytest.raises(ValueError, match="must be above 0 and below 1, got "):
            split_validation([0, 1] * 10, fraction, 0)
    for arguments in (([0, 1], 0.1, 0), ([], 0.5, 0)):
        with pytest.raises(ValueError, match=r"--train\.validation-fraction 0 trains without"):
            split_validation(*arguments)
    with pytest.raises(ValueError, match="labels must be at least 0, got -1 to 1"):
        split_validation([-1, 1], 0.5, 0)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        split_validation([0, 1], 0.5, -1)
