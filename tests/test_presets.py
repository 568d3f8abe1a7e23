"""The presets of the experiment, trained for real."""

from dataclasses import replace

import numpy as np
import pytest

from experiments import imdb
from lstm_jax.text import load_corpus
from lstm_jax.train.loop import train


@pytest.mark.slow
def test_the_bilstm_reads_the_builtin_corpus(tmp_path):
    result = train(imdb.BILSTM, load_corpus("builtin"), tmp_path / "run", command="test")
    assert result["test_accuracy"] >= 0.97
    assert result["minutes"] <= 4, "two minutes on two quiet cores; half as fast on a busy machine"


@pytest.mark.real_data
@pytest.mark.slow
def test_a_tenth_of_the_reviews_teaches_far_more_than_chance(tmp_path):
    corpus = load_corpus("imdb")
    rows = np.random.default_rng(0).choice(25_000, 2_500, replace=False)
    fewer = replace(corpus, train=corpus.train.take(rows), test=None)
    config = replace(imdb.BILSTM, train=replace(imdb.BILSTM.train, validation_fraction=0.2))
    result = train(config, fewer, tmp_path / "run", command="test")
    assert result["validation_examples"] == 500
    assert result["validation_auc"] >= 0.8  # chance is 0.5, and its standard error here 0.03
