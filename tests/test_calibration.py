"""When a temperature is fitted, and what is said when it is not."""

from dataclasses import replace

import numpy as np
import pytest
import small

import lstm_jax
from lstm_jax.data import Corpus, Examples
from lstm_jax.train.calibration import calibrate, check_calibration


def logits_with(examples: int, errors: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of which so many are wrong, all as certain as each other, and far too little."""
    labels = np.arange(examples) % 2
    signs = 2.0 * labels - 1
    signs[:errors] *= -1
    return 0.01 * signs[:, None], labels


@pytest.mark.parametrize(("examples", "errors"), [(6, 0), (6, 3), (49, 20), (2_000, 9)])
def test_too_few_examples_or_errors_leave_the_temperature_at_1(examples, errors):
    assert calibrate(*logits_with(examples, errors)) == 1
    (line,) = check_calibration(examples, 1 - errors / examples, 1.0)
    assert f"there are {examples:,} with {errors}:" in line


def test_enough_of_both_fit_it():
    logits, labels = logits_with(100, 10)
    temperature = calibrate(200 * logits, labels)  # 2.0, where log(9) = 2.2 is right
    assert temperature == pytest.approx(2 / np.log(9), abs=0.06)
    assert check_calibration(100, 0.9, temperature) == []


@pytest.mark.parametrize(("factor", "which"), [(1, "lowest"), (1e5, "highest")])
def test_a_temperature_at_its_bound_is_said(factor, which):
    logits, labels = logits_with(100, 10)
    temperature = calibrate(factor * logits, labels)
    (line,) = check_calibration(100, 0.9, temperature)
    assert f"the {which} allowed" in line


def test_a_run_keeps_a_temperature_only_if_it_could_be_fitted(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300).astype(np.int32)
    given = np.where(rng.random(300) < 0.25, 1 - labels, labels)  # a quarter is not as it says
    texts = [
        f"a verdict{label} {word}"
        for label, word in zip(given, rng.choice(small.WORDS, 300), strict=True)
    ]
    train = replace(small.CONFIG.train, epochs=2, validation_fraction=0.3, batch_size=16)
    config = replace(small.CONFIG, train=train)
    found = {}
    for name, rows in (("many", 300), ("few", 30)):
        corpus = Corpus("noisy", Examples(texts[:rows], labels[:rows]), None, ("a", "b"))
        path = tmp_path / name
        result = small.train(config, corpus, path)
        assert lstm_jax.load(path).temperature == result.validation["temperature"]
        said = any("temperature is not fitted" in line for line in result.outcome.warnings)
        found[name] = (result.validation["temperature"] == 1, said)
    assert found == {"many": (False, False), "few": (True, True)}
