"""A run that goes on with other settings: what may change, and more epochs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_run_folder import QUICK, TEXTS, finished, refused, run, stop_after, train, unfinished

import lstm_jax
from lstm_jax.train.config import Config

__all__ = ["finished", "run", "unfinished"]  # the fixtures


# Settings that may change, and more epochs.


def test_what_changes_no_bit_may_change_when_a_run_goes_on(unfinished, finished):
    training = replace(QUICK.train, checkpoint_every=3, log_every=5, keep_checkpoints=1)
    config = replace(QUICK, train=training)
    train(unfinished, config, resume=True)
    assert Config.load(unfinished / "config.json") == config
    expected, found = (lstm_jax.load(path) for path in (finished, unfinished))
    np.testing.assert_array_equal(found.predict_proba(TEXTS), expected.predict_proba(TEXTS))


CONSTANT = replace(QUICK, optimizer=replace(QUICK.optimizer, schedule="constant"))


@pytest.mark.parametrize("finish", [True, False])
def test_more_epochs_end_at_the_bits_of_a_run_of_so_many(tmp_path, monkeypatch, finish):
    longer = replace(CONSTANT, train=replace(CONSTANT.train, epochs=3))
    train(tmp_path / "at once", longer)
    with monkeypatch.context() as patch:
        if not finish:
            stop_after(patch, 6)
        try:
            train(tmp_path / "run", CONSTANT)
        except KeyboardInterrupt:
            assert not finish
    result = train(tmp_path / "run", longer, resume=True)
    assert result.outcome.steps == 3 * 11
    expected, found = (lstm_jax.load(tmp_path / name) for name in ("at once", "run"))
    np.testing.assert_array_equal(found.predict_proba(TEXTS), expected.predict_proba(TEXTS))
    assert train(tmp_path / "run", longer, resume=True) == result


def test_more_epochs_are_refused_where_every_step_depends_on_them(run):
    longer = replace(QUICK, train=replace(QUICK.train, epochs=3))
    said = refused(train, run, longer, resume=True)
    assert "train.epochs: 1, not 3 (with optimizer.schedule cosine" in said
    assert lstm_jax.load(run)


@pytest.mark.parametrize("killed_at", ["data.json", "config.json"])
def test_more_epochs_broken_off_while_they_are_written_down(tmp_path, monkeypatch, killed_at):
    train(tmp_path / "run", CONSTANT)
    longer = replace(CONSTANT, train=replace(CONSTANT.train, epochs=2))
    write = Path.replace

    def kill(self, target):
        if Path(target).name == killed_at:
            raise KeyboardInterrupt
        return write(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", longer, resume=True)
    assert train(tmp_path / "run", CONSTANT, resume=True).outcome.steps == 11
    assert train(tmp_path / "run", longer, resume=True).outcome.steps == 22
