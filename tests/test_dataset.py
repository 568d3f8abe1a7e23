"""Examples as numbers: what is filled in, what a sum of two holds, what is refused."""

import numpy as np
import pytest

from lstm_jax.data import UNLABELLED, Batching, Dataset, Padding, evaluation_batches

IDS = [np.array([5, 6, 7]), np.array([8]), np.array([], np.int64)]


def of_floats(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_ids_alone_are_unlabelled_examples_of_weight_1_without_soft_labels():
    data = Dataset(IDS)
    assert len(data) == 3
    np.testing.assert_array_equal(data.labels, [UNLABELLED] * 3)
    np.testing.assert_array_equal(data.weights, [1, 1, 1])
    assert (data.labels.dtype, data.weights.dtype) == (np.int32, np.float32)
    assert data.soft_labels is None


def test_what_is_given_is_kept_as_the_types_that_batches_have():
    data = Dataset(IDS, [2, UNLABELLED, 0], [0.5, 1, 2], [[0.25], [0.5], [1]])  # pyright: ignore
    assert [ids.tolist() for ids in data.ids] == [[5, 6, 7], [8], []]
    np.testing.assert_array_equal(data.labels, [2, UNLABELLED, 0])
    np.testing.assert_array_equal(data.weights, [0.5, 1, 2])
    assert data.soft_labels is not None
    np.testing.assert_array_equal(data.soft_labels, [[0.25], [0.5], [1]])
    dtypes = [each.dtype for each in (data.labels, data.weights, data.soft_labels)]
    assert dtypes == [np.int32, np.float32, np.float32]


def test_there_may_be_no_example():
    data = Dataset([])
    assert len(data) == 0
    assert [each.shape for each in (data.labels, data.weights)] == [(0,), (0,)]
    assert len(data + Dataset(IDS)) == len(Dataset(IDS) + data) == 3


def test_a_sum_has_the_examples_of_the_first_and_then_those_of_the_second():
    one = Dataset(IDS[:2], np.array([1, 0]), np.array([2.0, 0.5]))
    both = one + Dataset(IDS[2:])
    assert [ids.tolist() for ids in both.ids] == [[5, 6, 7], [8], []]
    np.testing.assert_array_equal(both.labels, [1, 0, UNLABELLED])
    np.testing.assert_array_equal(both.weights, [2, 0.5, 1])
    assert both.soft_labels is None
    assert len(one) == 2
    both = Dataset(IDS[2:]) + one
    np.testing.assert_array_equal(both.labels, [UNLABELLED, 1, 0])
    np.testing.assert_array_equal(both.weights, [1, 2, 0.5])


@pytest.mark.parametrize("classes", [1, 3])
def test_a_part_without_soft_labels_has_zeros_beside_one_that_has_some(rng, classes):
    soft_labels = rng.random((2, classes)).astype(np.float32)
    labelled = Dataset(IDS[:1], np.array([1], np.int32))
    unlabelled = Dataset(IDS[1:], soft_labels=soft_labels)
    zeros = np.zeros((1, classes), np.float32)
    for both, expected in (
        (labelled + unlabelled, [zeros, soft_labels]),
        (unlabelled + labelled, [soft_labels, zeros]),
        (unlabelled + unlabelled, [soft_labels, soft_labels]),
        (labelled + unlabelled + labelled, [zeros, soft_labels, zeros]),
    ):
        assert both.soft_labels is not None
        assert both.soft_labels.dtype == np.float32
        np.testing.assert_array_equal(both.soft_labels, np.concatenate(expected))


def test_soft_labels_of_other_classes_cannot_be_added():
    two, three = (
        Dataset([np.array([5])], soft_labels=np.full((1, count), 0.5, np.float32))
        for count in (2, 3)
    )
    with pytest.raises(ValueError, match="as many columns, got 2 and 3"):
        _ = two + three


def test_batches_hold_the_weight_and_the_soft_labels_of_each_example():
    soft = of_floats([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    data = Dataset(IDS, np.array([1, UNLABELLED, 0]), np.array([0.5, 2.0, 3.0]), soft)
    batches = evaluation_batches(data, Batching(2, Padding(4), 1))
    seen = []
    for batch in batches:
        assert batch.soft_labels is not None
        assert batch.soft_labels.shape == (2, 2)
        for row, example in enumerate(batch.index):
            if example == -1:
                assert batch.weights[row] == batch.labels[row] == 0
                assert not batch.soft_labels[row].any()
                continue
            seen.append(example)
            assert batch.labels[row] == data.labels[example]
            assert batch.weights[row] == data.weights[example]
            np.testing.assert_array_equal(batch.soft_labels[row], soft[example])
    assert sorted(seen) == [0, 1, 2]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": [0, 1]}, r"labels must have shape \(3,\), got \(2,\)"),
        ({"labels": [[0], [1], [0]]}, r"labels must have shape \(3,\), got \(3, 1\)"),
        ({"labels": [0.0, 1.0, 0.0]}, "labels must be whole numbers, got float64"),
        ({"labels": [0, 1, -2]}, "labels must be at least -1, got -2 to 1"),
        ({"labels": [0, 1, 2**31]}, "labels must be at least -1, got 0 to 2147483648"),
        (
            {"weights": [1.0, 1.0]},
            r"weights must be a finite number above 0 for each of 3 examples, got shape \(2,\)",
        ),
        ({"weights": [[1.0]] * 3}, r"weights must be .* got shape \(3, 1\)"),
        ({"weights": [1.0, 0.0, 1.0]}, "weights must be a finite number above 0"),
        ({"weights": [1.0, -1.0, 1.0]}, "weights must be a finite number above 0"),
        ({"weights": [1.0, np.inf, 1.0]}, "weights must be a finite number above 0"),
        ({"weights": [1.0, np.nan, 1.0]}, "weights must be a finite number above 0"),
        (
            {"soft_labels": [0.1, 0.2, 0.3]},
            r"soft_labels must be a row for each of 3 examples, got shape \(3,\)",
        ),
        ({"soft_labels": [[0.5, 0.5]] * 2}, r"soft_labels must be .* got shape \(2, 2\)"),
        (
            {"ids": [*IDS[:2], np.array([0.5])]},
            r"ids\[2\] must be whole numbers of shape \(length,\), got float64 of shape \(1,\)",
        ),
        ({"ids": [*IDS[:2], np.array([[1]])]}, r"ids\[2\] must be .* got int64 of shape \(1, 1\)"),
        ({"ids": [*IDS[:2], np.array(["a"])]}, r"ids\[2\] must be whole numbers of shape"),
        ({"ids": [np.int64(1), *IDS[1:]]}, r"ids\[0\] must be .* got int64 of shape \(\)"),
    ],
    ids=str,
)
def test_what_is_not_as_described_is_refused_by_its_name(fields, message):
    with pytest.raises(ValueError, match=message) as caught:
        Dataset(**{"ids": IDS} | fields)
    assert "\n" not in str(caught.value)
