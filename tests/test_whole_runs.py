"""Whole runs on odd paths, on a disk that is full, and with checkpoints that are damaged."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import small
from rich.console import Console
from test_checkpoints import damage, small_disk

import lstm_jax
from lstm_jax.train import loop
from lstm_jax.train.step import train_step

CONFIG = replace(small.CONFIG, train=replace(small.CONFIG.train, epochs=2, checkpoint_every=4))
TEXTS = small.corpus().train.texts[:5]


def train(path: Path, *, resume: bool = False) -> str:
    """Trains, or goes on; what is printed."""
    console = Console(width=10_000, color_system=None)
    with console.capture() as printed:
        small.train(CONFIG, small.corpus(), path, resume=resume, console=console)
    return printed.get()


def before_step(monkeypatch: pytest.MonkeyPatch, step: int, act) -> None:
    """Has something happen before one of the steps of training."""
    count = 0

    def acting(*arguments):
        nonlocal count
        count += 1
        if count == step:
            act()
        return train_step(*arguments)

    monkeypatch.setattr(loop, "train_step", acting)


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> np.ndarray:
    """What the run says that nothing happens to."""
    path = tmp_path_factory.mktemp("runs") / "run"
    train(path)
    return lstm_jax.load(path).predict_proba(TEXTS)


def assert_the_same(path: Path, expected: np.ndarray) -> None:
    found = lstm_jax.load(path).predict_proba(TEXTS)
    if jax.default_backend() == "cpu":
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("name", ["run[1]", "a*b?", "gs:", "back\\slash", "ein schöner Lauf", "-x"])
def test_a_run_trains_and_opens_on_any_path(name, expected, tmp_path):
    train(tmp_path / name / name)
    assert_the_same(tmp_path / name / name, expected)


@pytest.fixture
def broken_off(tmp_path, monkeypatch) -> Path:
    """A run that was interrupted in its second epoch, with checkpoints."""
    with monkeypatch.context() as patch:
        before_step(patch, 15, interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run")
    return tmp_path / "run"


def checkpoints(run: Path) -> list[Path]:
    """The newest first."""
    return sorted((run / "checkpoints").iterdir(), key=lambda path: -int(path.name))


def test_resume_skips_a_damaged_checkpoint_says_so_and_ends_at_the_same_bits(
    broken_off, expected, rng
):
    newest, second, *_ = checkpoints(broken_off)
    damage(newest / "progress.json", rng)
    printed = train(broken_off, resume=True)
    (line,) = [line for line in printed.splitlines() if "damaged checkpoint" in line]
    assert f"skipped a damaged checkpoint: {newest / 'progress.json'}: its checksum is" in line
    assert f"resumed after step {second.name} of " in printed
    assert_the_same(broken_off, expected)


def test_resume_says_in_one_line_that_no_checkpoint_is_whole(broken_off, rng):
    for checkpoint in checkpoints(broken_off):
        damage(checkpoint / "progress.json", rng)
    with pytest.raises(ValueError, match="checkpoints: no checkpoint is whole") as caught:
        train(broken_off, resume=True)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
@pytest.mark.parametrize("room", [0, 8_000, 64_000])
@pytest.mark.parametrize("step", [3, 11])
def test_a_run_goes_on_when_a_full_disk_has_room_again(
    step, room, expected, tmp_path, monkeypatch, capfd
):
    with small_disk(tmp_path / "disk", 4_000) as disk:
        ballast = disk / "ballast"

        def fill() -> None:
            ballast.write_bytes(bytes(shutil.disk_usage(disk).free - room))

        with monkeypatch.context() as patch:
            before_step(patch, step, fill)
            with pytest.raises(OSError, match="No space left on device: '/") as caught:
                train(disk / "run")
        assert "\n" not in str(caught.value)
        assert capfd.readouterr() == ("", "")
        assert not list((disk / "run").rglob("*.partial"))
        ballast.unlink()
        train(disk / "run", resume=True)
        assert_the_same(disk / "run", expected)
