"""Data with few rows, rare classes or one class: a defined answer, and no bare NaN."""

import json
from dataclasses import replace

import numpy as np
import pytest
import small

from lstm_jax.data import Corpus, Examples

ONE_EPOCH = replace(
    small.CONFIG, train=replace(small.CONFIG.train, epochs=1, buckets=1, validation_fraction=0.05)
)


def rows(*counts: int) -> Examples:
    """So many examples of each class, with the name of the class in them."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return Examples([f"a verdict{label} film" for label in labels], labels)


def train(path, examples, test=None, config=ONE_EPOCH, **options):
    names = tuple(f"class {n}" for n in range(int(examples.labels.max()) + 1))
    corpus = Corpus("small", examples, test, names)
    return small.train(config, corpus, path, **options)


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.parametrize(("counts", "aside"), [((1, 2), 1), ((5, 5), 2), ((10,) * 20, 20)], ids=str)
def test_small_data_is_trained_and_validated_on(tmp_path, counts, aside):
    result = train(tmp_path / "run", rows(*counts))
    assert result.validation["examples"] == aside


def test_data_too_small_for_a_validation_part_is_refused_by_the_option(tmp_path):
    with pytest.raises(ValueError, match=r"2 examples of 2 classes; --train"):
        train(tmp_path / "run", rows(1, 1))
    without = replace(ONE_EPOCH, train=replace(ONE_EPOCH.train, validation_fraction=0))
    assert train(tmp_path / "other", rows(1, 1), config=without).validation == {}


def test_what_cannot_be_measured_is_left_out_of_every_file(tmp_path):
    # One class in the validation part, and one in the test part.
    result = train(tmp_path / "run", rows(20, 1), test=rows(3))
    content = (tmp_path / "run" / "result.json").read_text()
    saved = json.loads(content, parse_constant=no_constant)
    for found in (result.validation, result.test, saved["validation"], saved["test"]):
        assert "loss" in found
        assert "auc" not in found
    lines = small.lines(tmp_path / "run" / "metrics.jsonl")
    assert all(json.loads(line, parse_constant=no_constant) for line in lines)


def test_an_empty_part_of_the_test_examples_has_no_accuracy(tmp_path):
    subsets = {"new": np.zeros(4, bool)}
    result = train(tmp_path / "run", rows(20, 20), test=rows(2, 2), subsets=subsets)
    assert result.outcome.subsets == {"new": {"examples": 0}}
