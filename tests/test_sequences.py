"""The classifier of sequences: padding never counts, missing values, folders, scikit-learn."""

import pickle
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from lstm_jax.sequences import SequenceClassifier
from lstm_jax.sequences.arrays import as_sequences
from lstm_jax.sequences.batches import Examples, batches
from lstm_jax.sequences.scaling import Scaling
from lstm_jax.sequences.training import validation_fraction

TINY = {"hidden_size": 8, "convolutions": (3,), "epochs": 2, "random_state": 0}


def tiny(**parameters: Any) -> SequenceClassifier:
    return SequenceClassifier(**{**TINY, **parameters})


def walks(count: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Random sequences [5 to 19, 2], missing values in the second channel, and labels."""
    rng = np.random.default_rng(seed)
    X = [rng.normal(5, 3, (rng.integers(5, 20), 2)) for _ in range(count)]
    for sequence in X[::3]:
        sequence[rng.integers(0, 5), 1] = np.nan
    return X, np.array(["down", "up"])[np.array([int(each[0, 0] > 5) for each in X])]


X, Y = walks(24)


@pytest.fixture(scope="module")
def fitted() -> SequenceClassifier:
    return tiny().fit(X, Y)


def test_which_of_two_bumps_came_first_is_learnt():
    def bumps(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
        rng = np.random.default_rng(seed)
        first = rng.integers(0, 2, count)
        sequences = []
        for upward in first:
            length = rng.integers(20, 40)
            early, late = sorted(rng.choice(length, 2, replace=False))
            values = rng.normal(0, 0.1, length)
            values[early] += 1 if upward else -1
            values[late] += -1 if upward else 1
            sequences.append(values)
        return sequences, first

    classifier = tiny(convolutions=(), hidden_size=16, epochs=25, learning_rate=1e-2)
    classifier.fit(*bumps(120, 0))
    # Both classes have the same values: only their order tells them apart.
    assert classifier.score(*bumps(100, 1)) > 0.95


def test_the_answers_are_the_same_alone_and_in_a_batch(fitted):
    together = fitted.predict_proba(X)
    alone = np.concatenate([fitted.predict_proba([each]) for each in X[:6]])
    np.testing.assert_allclose(together[:6], alone, atol=1e-6)
    reordered = fitted.predict_proba(X[::-1])[::-1]
    np.testing.assert_allclose(together, reordered, atol=1e-6)


def test_what_stands_in_the_padding_changes_nothing(fitted):
    (batch,) = batches(Examples([fitted.scaling_(X[0])], np.zeros(1, np.int32)), 1)
    valid = np.arange(batch.inputs.shape[1]) < batch.lengths[0]
    assert not valid.all()
    others = np.where(valid[None, :, None], batch.inputs, np.nan).astype(np.float32)
    first, second = (
        fitted.loss_.predict(fitted.params_, batch._replace(inputs=inputs))
        for inputs in (batch.inputs, others)
    )
    np.testing.assert_array_equal(first, second)


def test_each_sequence_is_in_one_batch_and_padded_with_zeros(rng):
    sequences = [np.full((length, 1), length, np.float32) for length in (1, 9, 30, 8, 9)]
    found = list(batches(Examples(sequences, np.arange(5)), 2, rng))
    rows = np.concatenate([batch.rows[batch.weights > 0] for batch in found])
    assert sorted(rows.tolist()) == list(range(5))
    for batch in found:
        for row, inputs, length in zip(batch.rows, batch.inputs, batch.lengths, strict=True):
            assert (inputs[:length] == (0 if row < 0 else len(sequences[row]))).all()
            assert (inputs[length:] == 0).all()
            assert length == (0 if row < 0 else len(sequences[row]))


def test_scaling_is_that_of_the_training_sequences_and_flags_what_is_missing(fitted):
    steps = np.concatenate(X)
    np.testing.assert_allclose(fitted.scaling_.mean, np.nanmean(steps, axis=0))
    np.testing.assert_allclose(fitted.scaling_.deviation, np.nanstd(steps, axis=0))
    assert fitted.scaling_.flagged == (1,)
    features = fitted.scaling_(np.array([[fitted.scaling_.mean[0], np.nan], [np.nan, 100.0]]))
    assert features[0].tolist() == [0, 0, 1]  # a mean, an imputed mean, the flag
    assert features[1, 0] == 0  # no flag where training had none missing
    assert features[1, 2] == 0


def test_a_constant_channel_is_not_blown_up():
    scaling = Scaling.fit([np.full((3, 1), 0.1), np.full((4, 1), 0.1)])
    np.testing.assert_allclose(scaling(np.array([[0.1], [0.2]])), [[0], [0.1]], atol=1e-6)


def test_missing_values_can_decide_the_class():
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(8, 1)) for _ in range(40)]
    labels = np.arange(40) % 2
    for sequence, label in zip(sequences, labels, strict=True):
        sequence[rng.integers(0, 8)] = np.nan if label else 0
    classifier = tiny(epochs=20, learning_rate=1e-2).fit(sequences, labels)
    assert classifier.score(sequences, labels) > 0.9


def test_the_same_seed_gives_the_same_bits_and_another_one_others(fitted):
    probabilities = fitted.predict_proba(X)
    again, other = tiny().fit(X, Y), tiny(random_state=1).fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), probabilities)
    assert not np.array_equal(other.predict_proba(X), probabilities)


def test_a_saved_classifier_gives_the_same_bits(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    opened = SequenceClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(opened.predict_proba(X), fitted.predict_proba(X))
    assert opened.predict(X).tolist() == fitted.predict(X).tolist()
    assert opened.get_params() == fitted.get_params()
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.predict_proba(X), fitted.predict_proba(X))
    with pytest.raises(ValueError, match="exists already"):
        fitted.save(tmp_path / "model")


@pytest.mark.parametrize(
    "labels", [np.array([3, 1, 2] * 8), Y.astype(object)], ids=["int", "object"]
)
def test_classes_are_the_labels_as_they_were_given(labels, tmp_path):
    classifier = tiny(epochs=1).fit(X, labels)
    classifier.save(tmp_path / "model")
    opened = SequenceClassifier.load(tmp_path / "model")
    for each in (classifier, opened):
        np.testing.assert_array_equal(each.classes_, np.unique(labels))
        assert each.predict(X).dtype == labels.dtype
    shape = (24,) if len(np.unique(labels)) == 2 else (24, 3)
    assert opened.decision_function(X).shape == shape


def test_damage_to_a_folder_is_named(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    file = tmp_path / "model" / "model.json"
    file.write_text(file.read_text(encoding="utf-8").replace("up", "UP"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"model\.json: its checksum"):
        SequenceClassifier.load(tmp_path / "model")
    with pytest.raises(ValueError, match="path must be the folder of a SequenceClassifier"):
        SequenceClassifier.load(tmp_path)


def test_equal_shapes_lists_and_channels_first_are_the_same_sequences():
    rng = np.random.default_rng(0)
    array = rng.normal(size=(4, 6, 2))
    for found in (
        as_sequences(array),
        as_sequences(list(array)),
        as_sequences(array.transpose(0, 2, 1), channels_first=True),
        as_sequences([each.T for each in array], channels_first=True),
        as_sequences([pandas.DataFrame(each) for each in array]),
    ):
        np.testing.assert_array_equal(found, array)
    flat = array[:, :, 0]
    for found in (as_sequences(flat), as_sequences(list(flat)), as_sequences(flat[:, :, None])):
        np.testing.assert_array_equal(found, flat[:, :, None])
    assert as_sequences(flat, channels_first=True)[0].shape == (6, 1)


def test_validation_stops_early_and_keeps_the_best_epoch():
    rng = np.random.default_rng(0)
    noise, labels = list(rng.normal(size=(40, 6, 1))), np.arange(40) % 2  # nothing to learn
    settings = {"validation_fraction": 0.4, "epochs": 60, "patience": 5, "learning_rate": 3e-2}
    classifier = tiny(**settings).fit(noise, labels)
    losses = classifier.history_["validation_loss"]
    assert len(losses) < 60
    assert len(losses) == int(np.argmin(losses)) + 1 + 5


def test_few_sequences_are_not_set_aside_unless_it_is_asked_for():
    assert validation_fraction(None, 499) == 0
    assert validation_fraction(None, 500) == 0.1
    assert validation_fraction(0.3, 10) == 0.3
    assert "validation_loss" not in tiny(epochs=1).fit(X, Y).history_


def test_scikit_learn_copies_and_cross_validates_it():
    estimator = tiny(epochs=1)
    assert is_classifier(estimator)
    copied: Any = clone(estimator)
    assert copied.get_params() == estimator.get_params()
    assert "epochs=1" in repr(estimator)
    rows = np.random.default_rng(0).normal(size=(24, 6))
    assert cross_val_score(estimator, rows, Y, cv=2).shape == (2,)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


ONE = [np.zeros((3, 1)), np.ones((4, 1))]


@pytest.mark.parametrize(
    ("sequences", "labels", "message"),
    [
        (5, [0], "X must be a list of arrays [T, D], or one array [N, T, D], got int"),
        ([], [], "X must have at least one sequence, got none"),
        ([np.zeros((0, 1)), ONE[0]], [0, 1], "X[0] must have at least one step and channel, got"),
        ([ONE[0], np.zeros((3, 2))], [0, 1], "X[1] must have 1 channels, as the others, got 2"),
        ([ONE[0], np.zeros((3, 1, 1))], [0, 1], "X[1] must be of shape [T, D], got shape (3, 1, 1"),
        ([ONE[0], np.array(["a"])], [0, 1], "X[1] must be an array of numbers, got could not"),
        (
            [ONE[0], np.array([np.inf])],
            [0, 1],
            "X[1] must be finite, or NaN where a value is",
        ),
        (
            [np.full((3, 1), np.nan)] * 2,
            [0, 1],
            "X must have a value that is not NaN, got only NaN",
        ),
        (ONE, [0], "y must be as many as X, 2, got 1"),
        (ONE, [1, 1], "y must be of at least two classes, got one class, 1"),
        (ONE, None, "y must be given, got None"),
    ],
)
def test_wrong_data_is_refused_in_one_line(sequences, labels, message):
    with pytest.raises(ValueError) as error:
        tiny().fit(sequences, labels)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ({"convolutions": (3, 0)}, "convolutions must be widths of at least 1, got (3, 0)"),
        ({"output_dropout": 1.0}, "output_dropout must be below 1, got 1.0"),
        (
            {"direction": "up"},
            "direction must be 'forward', 'backward' or 'bidirectional', got",
        ),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"validation_fraction": 1.0}, "validation_fraction must be at least 0 and below 1, got 1"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(parameters, message):
    with pytest.raises(ValueError) as error:
        tiny(**parameters).fit(X, Y)
    assert str(error.value).startswith(message)


def test_other_channels_than_in_training_are_refused(fitted):
    with pytest.raises(ValueError, match=r"X\[0\] must have 2 channels, .* channels_first=True"):
        fitted.predict([np.zeros((5, 3))])
