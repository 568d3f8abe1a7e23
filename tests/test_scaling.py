"""Figures on paper of docs/explanation/scaling.md; test_readme.py compares its tables."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.devices import MACHINES, STEPS, Machine, on_paper, transfer_seconds
from benchmarks.devices_step import SHAPES, batch_of
from experiments.imdb.command import PRESETS

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "scaling.md"


def test_parameters_are_those_of_the_equations():
    counted, _ = on_paper()["article"]
    of_lstm = 4 * 100 * (32 + 100 + 1)
    assert counted.of_tables == 6_000 * 32
    assert counted.all == counted.of_tables + of_lstm + 100 + 1
    counted, _ = on_paper()["bilstm"]
    assert counted.of_tables == (8_000 + 30_000 + 20_000) * 128
    assert counted.all - counted.of_tables < 0.04 * counted.all


def test_a_ring_sends_each_byte_nearly_twice():
    ring = Machine(4, 1e9, 0.0)
    assert transfer_seconds(ring, 4e9) == pytest.approx(2 * 3)  # 2 (n - 1) parts of a quarter
    late = Machine(4, 1e9, 0.5)
    assert transfer_seconds(late, 0) == pytest.approx(2 * 3 * 0.5)


def test_what_the_text_says_of_where_it_stops_is_so():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    rows = PRESETS["article"].config.train.batch_size
    steps = [-(-25_000 // (rows * devices)) for devices in (1, 8, 64)]
    assert "{} steps on one device, {} on 8, and {} on 64".format(*steps) in text
    counted, seconds = on_paper()["bilstm"]
    assert f"`bilstm` sends {counted.gradient_bytes / 1e6:.1f} MB a step" in text
    assert round(seconds["2 machines, 10 Gbit/s"] / STEPS["bilstm"]) == 5  # "five times as long"
    assert list(MACHINES) == ["8 H100", "TPU v5e-64", "2 machines, 10 Gbit/s"]


@pytest.mark.parametrize("preset", list(SHAPES))
def test_batches_that_are_timed_have_the_presets_lengths(preset):
    rows, width = SHAPES[preset]
    config = PRESETS[preset].config
    batch = batch_of(config, rows, width)
    assert batch.tokens.shape == (config.train.batch_size, width) == (rows, width)
    assert batch.tokens.max() < config.text.vocabulary_size
    assert (batch.lengths == width).all() == (config.text.pad == "front")
    assert np.unique(batch.labels).tolist() == [0, 1]
