"""Bucketed batches: every example once, the same bits from a seed, least padding."""

import itertools
import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_jax.data import (
    UNLABELLED,
    Batches,
    Batching,
    BatchIterator,
    Dataset,
    Padding,
    evaluation_batches,
    training_batches,
)

PADDING = Padding(40)


def make_data(count, seed=0, longest=60):
    """Sequences whose ids tell which example they belong to."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest, count)
    sequences = [
        (3 + 1000 * row + np.arange(length)).astype(np.int32) for row, length in enumerate(lengths)
    ]
    return sequences, generator.integers(0, 3, count).astype(np.int32)


@pytest.fixture
def data():
    return make_data(203)


def batching(**changes):
    settings = {"batch_size": 16, "padding": PADDING, "buckets": 3} | changes
    return Batching(**settings)


def make_evaluation(data, **changes):
    return evaluation_batches(Dataset(*data), batching(**changes))


def make_training(data, **changes):
    order = {name: changes.pop(name) for name in ("seed", "epochs") if name in changes}
    return training_batches(Dataset(*data), batching(**changes), **({"seed": 7} | order))


def take(batches, count):
    return list(itertools.islice(batches, count))


def same(first, second):
    """Bit for bit, shapes and types included."""
    assert len(first) == len(second)
    return all(
        one.dtype == other.dtype and np.array_equal(one, other)
        for batch, twin in zip(first, second, strict=True)
        for one, other in zip(batch[:5], twin[:5], strict=True)
    )


def check_contents(batch, sequences, labels, padding):
    """Each row holds what `index` says it holds; padding rows hold nothing and weigh nothing."""
    assert [field.dtype for field in batch[:5]] == [np.int32] * 3 + [np.float32, np.int32]
    for tokens, length, label, weight, row in zip(*batch[:5], strict=True):
        if row == -1:
            assert (weight, label, length) == (0, 0, 0)
            assert not tokens.any()
            continue
        expected = padding.cut(sequences[row])
        assert (weight, label, length) == (1, labels[row], len(expected))
        assert np.array_equal(tokens[:length], expected)
        assert not tokens[length:].any()


def rows_of(batches):
    return np.concatenate([batch.index[batch.weights > 0] for batch in batches])


# Training.


def test_every_epoch_has_every_example_once(data):
    batches = make_training(data)
    for _ in range(3):
        epoch = take(batches, batches.batches_per_epoch)
        assert sorted(rows_of(epoch)) == list(range(203))
        for batch in epoch:
            check_contents(batch, *data, padding=PADDING)


def test_batches_per_epoch_is_the_sum_over_buckets(data):
    batches = make_training(data)
    edges = batches.batches.edges
    lengths = np.minimum([len(sequence) for sequence in data[0]], 40)
    counts = np.bincount(np.searchsorted(edges, lengths), minlength=len(edges))
    assert counts.min() > 0
    assert batches.batches_per_epoch == sum(-(-count // 16) for count in counts)


def test_batches_have_one_shape_for_each_bucket(data):
    batches = make_training(data)
    shapes = [batch.tokens.shape for batch in take(batches, 2 * batches.batches_per_epoch)]
    assert (
        sorted(set(shapes))
        == batches.batches.shapes
        == [(16, edge) for edge in batches.batches.edges]
    )
    assert len(set(shapes)) == 3


def test_examples_share_a_batch_with_others_of_their_bucket(data):
    batches = make_training(data)
    edges = (0, *batches.batches.edges)
    for batch in take(batches, batches.batches_per_epoch):
        width = batch.tokens.shape[1]
        narrower = edges[edges.index(width) - 1]
        lengths = batch.lengths[batch.weights > 0]
        assert lengths.min() > narrower
        assert lengths.max() <= width


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(data):
    first, second = take(make_training(data), 60), take(make_training(data), 60)
    assert same(first, second)
    assert not same(first, take(make_training(data, seed=8), 60))


def test_each_epoch_has_an_order_of_its_own(data):
    batches = make_training(data)
    first, second, third = (take(batches, batches.batches_per_epoch) for _ in range(3))
    assert len({tuple(rows_of(epoch)) for epoch in (first, second, third)}) == 3
    # Not only the order of the batches: who is in a batch with whom is drawn anew too.
    assert {frozenset(batch.index) for batch in first} != {frozenset(b.index) for b in second}
    # And batches of all widths are mixed.
    widths = [batch.tokens.shape[1] for batch in first]
    assert widths != sorted(widths)
    assert widths != [batch.tokens.shape[1] for batch in second]


def test_an_epoch_does_not_depend_on_those_before_it(data):
    batches = make_training(data).batches
    forwards = [batches[number] for number in range(50)]
    backwards = [batches[number] for number in reversed(range(50))]
    assert same(forwards, backwards[::-1])


def test_training_ends_after_the_epochs_asked_for_and_else_never(data):
    batches = make_training(data, epochs=2)
    assert len(list(batches)) == 2 * batches.batches_per_epoch
    with pytest.raises(StopIteration):
        next(batches)
    endless = make_training(data)
    far = {"next_index": 10**6 * endless.batches_per_epoch}
    endless.set_state(endless.get_state() | {"grain": far})
    assert sorted(rows_of(take(endless, endless.batches_per_epoch))) == list(range(203))


@pytest.mark.parametrize("epochs_before", [0, 1, 2.5])
def test_a_restored_iterator_goes_on_with_the_same_bits(data, epochs_before):
    whole = make_training(data)
    done = int(epochs_before * whole.batches_per_epoch) + 3
    take(whole, done)
    state = json.loads(json.dumps(whole.get_state()))
    # To the end of this epoch and through the next.
    rest = take(whole, 2 * whole.batches_per_epoch)
    restored = make_training(data)
    restored.set_state(state)
    assert same(rest, take(restored, len(rest)))
    # And one that has been somewhere else, with batches read ahead there.
    whole.set_state(state)
    assert same(rest, take(whole, len(rest)))


def test_a_position_does_not_fit_other_batches(data):
    state = make_training(data).get_state()
    others = [
        make_training(data, seed=8),
        make_training(data, batch_size=15),
        make_training(data, buckets=2),
        make_training(data, padding=Padding(39)),
        make_training(data, padding=Padding(40, "back")),
        make_training((data[0], 1 - np.minimum(data[1], 1))),
        make_training(([sequence + 1 for sequence in data[0]], data[1])),
    ]
    for other in others:
        with pytest.raises(ValueError, match="state must be a position in the batches"):
            other.set_state(state)
    make_training(data, row_multiple=8).set_state(state)


def test_the_number_of_devices_does_not_change_the_examples_of_a_batch(data):
    plain = take(make_training(data, batch_size=10), 60)
    for row_multiple, rows in ((1, 10), (2, 10), (4, 12), (8, 16), (32, 32)):
        padded = take(make_training(data, batch_size=10, row_multiple=row_multiple), 60)
        for batch, wider in zip(plain, padded, strict=True):
            assert wider.tokens.shape == (rows, batch.tokens.shape[1])
            for field, wider_field in zip(batch[:5], wider[:5], strict=True):
                assert np.array_equal(field, wider_field[:10])
            assert not wider.weights[10:].any()


def test_batches_are_built_on_one_thread_and_no_process(data):
    before = set(threading.enumerate())
    batches = make_training(data)
    next(batches)
    started = set(threading.enumerate()) - before
    assert [thread.name.startswith("grain-prefetch") for thread in started] == [True]
    import multiprocessing

    assert not multiprocessing.active_children()
    batches.close()
    (thread,) = started
    thread.join(timeout=5)
    assert not thread.is_alive()


# Evaluation.


def test_evaluation_counts_every_example_exactly_once_however_often(data):
    batches = make_evaluation(data)
    first, second = list(batches), list(batches)
    assert same(first, second)
    assert len(first) == len(batches) == batches.batches_per_epoch
    assert sorted(rows_of(first)) == list(range(203))
    assert sum(batch.weights.sum() for batch in first) == 203
    for batch in first:
        check_contents(batch, *data, padding=PADDING)
    lengths = np.concatenate([batch.lengths[batch.weights > 0] for batch in first])
    assert np.array_equal(lengths, np.sort(lengths))


def test_without_labels_all_are_unlabelled_and_count(data):
    (batch, *_) = make_evaluation((data[0],), buckets=1)
    assert (batch.labels == UNLABELLED).all()
    assert batch.weights.all()


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4))
def test_any_sizes_give_every_example_once(count, batch_size, buckets, row_multiple):
    batches = make_evaluation(
        make_data(count), batch_size=batch_size, buckets=buckets, row_multiple=row_multiple
    )
    every = [batches[number] for number in range(len(batches))]
    assert sorted(rows_of(every)) == list(range(count))
    assert {batch.tokens.shape for batch in every} == set(batches.shapes)
    assert all(len(batch.tokens) % row_multiple == 0 for batch in every)


def test_widths_can_be_given(data):
    batches = make_evaluation(data, buckets=(8, 30, 64, 99))
    assert batches.shapes == [(16, 8), (16, 30), (16, 64)]
    assert sorted(rows_of(list(batches))) == list(range(203))


def test_empty_sequences_are_rows_of_length_zero():
    empty = [np.array([], np.int32), np.array([5], np.int32)]
    (batch,) = make_evaluation((empty, [1, 0]), batch_size=2, buckets=2)
    assert batch.tokens.tolist() == [[0], [5]]
    assert batch.lengths.tolist() == [0, 1]
    assert batch.weights.tolist() == [1, 1]


# Rows.


def keras_pad_sequences(sequences, maxlen, padding, truncating):
    """keras.utils.pad_sequences."""
    rows = np.zeros((len(sequences), maxlen), "int32")
    for row, sequence in enumerate(sequences):
        cut = sequence[-maxlen:] if truncating == "pre" else sequence[:maxlen]
        if padding == "pre":
            rows[row, maxlen - len(cut) :] = cut
        else:
            rows[row, : len(cut)] = cut
    return rows


@pytest.mark.parametrize("truncate", ["front", "back"])
@pytest.mark.parametrize("max_length", [1, 7, 40, 100])
def test_front_padding_is_that_of_keras(data, truncate, max_length):
    padding = Padding(max_length, truncate, "front")
    batches = make_evaluation(data, padding=padding, buckets=4)
    assert batches.shapes == [(16, max_length)]
    keras = {"front": "pre", "back": "post"}[truncate]
    expected = keras_pad_sequences(data[0], max_length, "pre", keras)
    for batch in batches:
        real = batch.weights > 0
        assert np.array_equal(batch.tokens[real], expected[batch.index[real]])
        assert not batch.tokens[~real].any()
        assert (batch.lengths == max_length).all()


@pytest.mark.parametrize("truncate", ["front", "back"])
def test_back_padding_in_one_bucket_is_that_of_keras(data, truncate):
    padding = Padding(40, truncate, "back")
    keras = {"front": "pre", "back": "post"}[truncate]
    expected = keras_pad_sequences(data[0], 40, "post", keras)
    for batch in make_evaluation(data, batch_size=7, padding=padding, buckets=1):
        assert np.array_equal(batch.tokens, expected[batch.index] * (batch.index >= 0)[:, None])


@pytest.mark.parametrize(
    ("truncate", "kept"),
    [
        ("front", [4, 5, 6, 7, 8, 9, 10, 11]),
        ("back", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("middle", [0, 1, 6, 7, 8, 9, 10, 11]),
    ],
)
def test_truncation_keeps_what_it_says(truncate, kept):
    assert Padding(8, truncate).cut(np.arange(12)).tolist() == kept
    assert Padding(12, truncate).cut(np.arange(12)).tolist() == list(range(12))
    assert len(Padding(1, truncate).cut(np.arange(12))) == 1


# What is not allowed.


def test_batches_say_what_is_wrong_with_their_arguments(data):
    sequences, labels = data
    for name, changes in {
        "batch_size must be at least 1, got 0": {"batch_size": 0},
        "row_multiple must be at least 1, got 0": {"row_multiple": 0},
        "epochs must be at least 1, got 0": {"epochs": 0},
        "seed must be at least 0, got -1": {"seed": -1},
        "buckets must be at least 1, got 0": {"buckets": 0},
        r"buckets must be .* got \(8, 39\)": {"buckets": (8, 39)},
        r"buckets must be .* got \(50, 40\)": {"buckets": (50, 40)},
        r"buckets must be .* got \(\)": {"buckets": ()},
    }.items():
        with pytest.raises(ValueError, match=name):
            make_training(data, **changes)
    for name, wrong in {
        "number of examples must be at least 1, got 0": ([], []),
        r"labels must have shape \(203,\), got \(202,\)": (sequences, labels[1:]),
        "labels must be at least -1, got -2 to": (sequences, labels - 2),  # -1 is for none
        "labels must be whole numbers, got float64": (sequences, labels * 1.0),
        r"ids\[1\] must be whole .* got float64": (
            [sequences[0], sequences[1] * 0.5],
            labels[:2],
        ),
        r"ids\[0\] must be .* got int32 of shape \(1, ": ([sequences[0][None]], labels[:1]),
    }.items():
        with pytest.raises(ValueError, match=name):
            make_training(wrong)
    with pytest.raises(IndexError, match="got 9999"):
        make_evaluation(data, batch_size=4, buckets=1)[9999]
    assert isinstance(make_training(data), BatchIterator)
    assert isinstance(make_training(data).batches, Batches)
