"""What is shown while a run is trained: what is being done, from the first second on."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
from rich.console import Console

from lstm_jax.console import doing
from lstm_jax.train import progress
from lstm_jax.train.progress import TrainingProgress

ONCE = replace(small.CONFIG, train=replace(small.CONFIG.train, epochs=1, ema_decay=0.0, buckets=1))


def make_console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    """A console of 80 columns, and what is written to it."""
    file = io.StringIO()
    console = Console(
        file=file,
        width=80,
        force_terminal=terminal,
        force_interactive=terminal,
        color_system=None,
        legacy_windows=False,
    )
    return console, file


def plain(written: str) -> list[str]:
    """The lines and redrawn lines of a terminal, without control sequences."""
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written))
    return [line.strip() for line in lines if line.strip()]


def test_a_file_has_plain_lines_that_say_what_is_done_before_the_first_step(tmp_path: Path):
    console, file = make_console(terminal=False)
    small.train(ONCE, small.corpus(), tmp_path / "run", console=console)
    written = file.getvalue()
    assert "\x1b" not in written
    assert "\r" not in written
    assert "nan" not in written
    assert "\n\n" not in written
    lines = [line for line in written.splitlines() if line[0].islower() and "warning" not in line]
    assert lines[:4] == [
        *("tokenizing 80 texts", "checking the texts", "making the model", "compiling")
    ]
    assert re.fullmatch(
        r"epoch 1  train loss 0\.\d{4}  train accuracy [01]\.\d{4}  validation loss 0\.\d{4}"
        r"  validation accuracy [01]\.\d{4}  validation AUC [01]\.\d{4}  \d+ texts/s",
        lines[4],
    )
    assert lines[5:] == ["measuring 30 test examples"]


def test_a_terminal_shows_what_is_done_and_never_a_number_that_is_not_known(tmp_path: Path):
    console, file = make_console(terminal=True)
    small.train(ONCE, small.corpus(), tmp_path / "run", console=console)
    written = file.getvalue()
    assert "nan" not in written
    assert "-:--" not in written
    lines = plain(written)
    first = {
        what: next(n for n, line in enumerate(lines) if what in line)
        for what in (
            "tokenizing 80 texts",
            "making the model",
            "compiling",
            "training ━",
            "epoch 1",
        )
    }
    assert list(first.values()) == sorted(first.values())
    assert re.search(r"tokenizing 80 texts \d+ s$", lines[first["tokenizing 80 texts"]])
    assert re.search(r"compiling \d+ s$", lines[first["compiling"]])
    assert "1/10" in lines[first["training ━"]], "the bar waits for the first step"


def test_the_bar_says_when_batches_of_a_new_width_compile():
    console, file = make_console(terminal=True)
    with TrainingProgress(console, step=0, steps=4) as shown:
        for step, width in enumerate((5, 5, 9, 9), 1):
            with shown.stepping(step, {"tokens": np.zeros((2, width))}):
                if step > 1:
                    shown._bar.refresh()
            shown.loss(step, 0.75)
    bars = [line for line in plain(file.getvalue()) if "━" in line]
    assert [bar.split()[0] for bar in bars if "2/4" in bar][-1] == "compiling"
    assert [bar.split()[0] for bar in bars if "1/4" in bar][-1] == "training"
    assert "loss 0.750" in bars[-1]


def test_a_step_that_fails_leaves_the_terminal_as_it_was():
    console, file = make_console(terminal=True)
    with (
        pytest.raises(ZeroDivisionError),
        TrainingProgress(console, step=0, steps=4) as shown,
        shown.stepping(1, {"tokens": np.zeros(2)}),
    ):
        raise ZeroDivisionError
    assert file.getvalue().count("\x1b[?25h") == file.getvalue().count("\x1b[?25l") > 0, "cursor"


def test_a_file_is_told_now_and_then_how_far_a_long_epoch_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "SECONDS_OF_SILENCE", -1.0)
    console, file = make_console(terminal=False)
    with TrainingProgress(console, step=40, steps=100) as shown:
        with shown.stepping(41, {"tokens": np.zeros(2)}):
            pass
        shown.loss(41, 0.69314)
    assert file.getvalue() == "compiling\nstep 41 of 100  loss 0.6931\n"


def test_a_run_that_has_no_step_left_compiles_nothing():
    console, file = make_console(terminal=False)
    with TrainingProgress(console, step=100, steps=100):
        pass
    assert file.getvalue() == ""


def test_what_is_being_done_is_no_markup_and_may_fail():
    for terminal in (False, True):
        console, file = make_console(terminal=terminal)
        with pytest.raises(ZeroDivisionError), doing(console, "reading [/red] a\x1b[31m.csv"):
            raise ZeroDivisionError
        assert "reading [/red] a\\x1b[31m.csv" in file.getvalue()
    quiet = Console(file=io.StringIO(), quiet=True)
    with doing(quiet, "reading"):
        pass


def test_an_epoch_has_as_many_lines_as_a_terminal_needs_and_no_broken_word():
    record = {
        "epoch": 12,
        "examples_per_second": 431.7,
        **{
            f"{part}_{name}": 0.5
            for part in ("train", "validation")
            for name in ("loss", "accuracy")
        },
    }
    for width, count in ((40, 5), (60, 3), (80, 2), (120, 1)):
        file = io.StringIO()
        console = Console(file=file, width=width, force_terminal=True, color_system=None)
        TrainingProgress(console, step=0, steps=1).epoch(record)
        lines = file.getvalue().splitlines()
        assert len(lines) == count
        assert max(map(len, lines)) <= width
        assert "  ".join(line.strip() for line in lines).endswith(
            "validation loss 0.5000  validation accuracy 0.5000  432 texts/s"
        )
