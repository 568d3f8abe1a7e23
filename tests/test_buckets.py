"""Padding and the widths of buckets: nothing wastes less."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_jax.data import Padding, bucket_edges


def total_padding(lengths, edges):
    return sum(min(edge for edge in edges if edge >= length) - length for length in lengths)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=25),
    st.integers(1, 4),
    st.sampled_from([1, 3, 4, 8]),
)
def test_no_other_edges_waste_less(lengths, buckets, multiple):
    longest = max(*lengths, 1)
    edges = bucket_edges(lengths, buckets, multiple)
    assert list(edges) == sorted(set(edges))
    assert 1 <= len(edges) <= buckets
    assert edges[-1] == longest
    assert all(edge % multiple == 0 for edge in edges[:-1])
    allowed = range(multiple, longest, multiple)
    least = min(
        total_padding(lengths, (*others, longest))
        for count in range(buckets)
        for others in itertools.combinations(allowed, count)
    )
    assert total_padding(lengths, edges) == least


def test_more_buckets_waste_less_and_one_is_enough_for_one_length():
    lengths = np.minimum(np.random.default_rng(0).lognormal(5.3, 0.65, 20000).astype(int), 1000)
    waste = [total_padding(lengths, bucket_edges(lengths, buckets)) for buckets in (1, 2, 4, 8)]
    assert waste[0] > 1.8 * waste[1] > 3 * waste[2]
    assert waste[2] > waste[3]
    assert bucket_edges([17] * 5, 8) == (17,)


def test_padding_and_edges_say_what_is_wrong_with_their_arguments():
    for message, arguments in {
        "max_length must be at least 1, got 0": (0,),
        "truncate must be one of .* got 'pre'": (5, "pre"),
        "pad must be one of .* got 'post'": (5, "front", "post"),
    }.items():
        with pytest.raises(ValueError, match=message):
            Padding(*arguments)
    for message, arguments in {
        "lengths must be one or more numbers": ([], 1),
        "numbers of 0 or more": ([3, -1], 1),
        "buckets must be at least 1, got 0": ([3], 0),
        "multiple must be at least 1, got 0": ([3], 1, 0),
    }.items():
        with pytest.raises(ValueError, match=message):
            bucket_edges(*arguments)
