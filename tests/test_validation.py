"""The part of the training examples that is set aside for validation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_jax.text import split_validation


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=20, max_size=200), st.sampled_from([0.1, 0.25, 0.5]))
def test_validation_takes_the_same_share_of_each_class(labels, fraction):
    training, validation = split_validation(labels, fraction, seed=3)
    assert sorted([*training, *validation]) == list(range(len(labels)))
    assert sorted(training) == list(training)
    labels = np.array(labels)
    for label in np.unique(labels):
        aside = np.sum(labels[validation] == label)
        assert abs(aside - fraction * np.sum(labels == label)) <= 0.5


def test_validation_is_a_function_of_the_seed():
    labels = np.arange(1000) % 2
    first, second, other = (split_validation(labels, 0.2, seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_validation_says_what_is_wrong_with_its_arguments():
    for fraction in (0, 1, -0.5, float("nan")):
        with pytest.raises(ValueError, match="fraction: "):
            split_validation([0, 1] * 10, fraction, 0)
    for arguments in (([0, 1], 0.1, 0), ([], 0.5, 0)):
        with pytest.raises(ValueError, match="leaves nothing on one side"):
            split_validation(*arguments)
    with pytest.raises(ValueError, match="labels: -1 to 1"):
        split_validation([-1, 1], 0.5, 0)
    with pytest.raises(ValueError, match="seed: -1"):
        split_validation([0, 1], 0.5, -1)
