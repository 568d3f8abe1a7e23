"""What a process does when it is told to stop, at every kind of moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweeps import interrupts

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
SIGNALS = [signal.SIGINT, signal.SIGTERM]
START = """
import os, signal, sys, threading, time
from pathlib import Path
from lstm_jax.stops import Stopped, Unsaved, asked, cleaning, held, leave, watch
watch()

def ready():
    print("ready", flush=True)

"""


def told(code: str, *signals: int, pause: float = 1.0) -> tuple[int, str, str, float]:
    """Status, both outputs and seconds to the end of a program that gets signals when it is ready.

    Args:
        code: goes behind START; calls `ready`.
        signals: one after the other.
        pause: seconds between two of them.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", START + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    for place, number in enumerate(signals):
        time.sleep(pause if place else 0)
        process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors, time.monotonic() - began


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [
        (signal.SIGINT, 130, "interrupted\n"),
        (signal.SIGTERM, 143, "terminated\n"),
        (signal.SIGHUP, 129, "terminated\n"),
    ],
)
def test_each_signal_has_its_status_and_one_line(number, status, line):
    assert told("ready(); time.sleep(100)", number)[:3] == (status, "", line)


def test_a_long_call_in_c_is_left_too():
    status, _, errors, seconds = told(
        "import hashlib; ready(); hashlib.pbkdf2_hmac('sha512', b'', b'', 10**9)", signal.SIGINT
    )
    assert (status, errors) == (130, "interrupted\n")
    assert seconds < 20  # one, were the machine idle


def test_an_import_that_swallows_exceptions_cannot_swallow_a_stop():
    code = """
try:
    ready()
    time.sleep(100)
except BaseException:
    pass
"""
    assert told(code, signal.SIGINT)[0] == 130


def test_what_is_held_is_ended_first():
    code = """
try:
    with held():
        ready()
        time.sleep(1)
        print("written", asked(), flush=True)
    print("went on")
except Stopped as stopped:
    leave(stopped.number)
"""
    assert told(code, signal.SIGTERM)[:3] == (143, "written True\n", "terminated\n")


def test_unsaved_work_is_saved_first():
    code = """
try:
    with Unsaved() as unsaved:
        for step in range(10**6):
            unsaved.begun()
            if step == 0:
                ready()
            time.sleep(0.2)
            if asked():
                print("saved", flush=True)
                unsaved.saved()
except Stopped as stopped:
    leave(stopped.number)
"""
    assert told(code, signal.SIGINT)[:3] == (130, "saved\n", "interrupted\n")


def test_a_stop_waits_no_longer_for_unsaved_work_than_it_took():
    code = """
with Unsaved() as unsaved:
    unsaved.begun()
    ready()
    time.sleep(60)  # the next width compiles
"""
    status, _, errors, seconds = told(code, signal.SIGINT)
    assert (status, errors.splitlines()[-1]) == (130, "interrupted")
    assert seconds < 30  # 2.5, were the machine idle


def test_a_second_signal_does_not_wait():
    code = "with held():\n    ready()\n    time.sleep(100)\n"
    status, _, errors, seconds = told(code, signal.SIGINT, signal.SIGINT)
    assert (status, errors.splitlines()[-1]) == (130, "interrupted")
    assert seconds < 50


def test_other_threads_say_nothing_while_a_process_is_stopped():
    code = """
def chatter():
    while True:
        print("noise", flush=True)
        print("noise", file=sys.stderr, flush=True)
def fail():
    time.sleep(0.5)
    raise RuntimeError("noise")
def cleanup():
    for target in (chatter, fail):
        threading.Thread(target=target, daemon=True).start()
    time.sleep(1)
with cleaning(cleanup):
    ready()
    time.sleep(60)
"""
    status, output, errors, _ = told(code, signal.SIGTERM)
    assert (status, output, errors) == (143, "", "terminated\n")


def test_a_stop_cleans_up(tmp_path):
    code = f"""
with cleaning(Path({str(tmp_path / "half")!r}).rmdir):
    ready()
    time.sleep(100)
"""
    (tmp_path / "half").mkdir()
    assert told(code, signal.SIGTERM)[0] == 143
    assert not (tmp_path / "half").exists()


def test_files_and_folders_that_are_being_made_leave_nothing(tmp_path):
    code = f"""
from lstm_jax.files import new_folder
with new_folder(Path({str(tmp_path / "made")!r})) as partial:
    (partial / "file").write_text("half")
    ready()
    time.sleep(100)
"""
    assert told(code, signal.SIGTERM)[0] == 143
    assert not list(tmp_path.iterdir())


def test_a_start_that_is_stopped_before_it_claims_its_folder_leaves_none(tmp_path):
    code = f"""
from lstm_jax.train.config import Config
from lstm_jax.train.open_run import Request, open_run
path = Path({str(tmp_path / "runs" / "run")!r})
with open_run(Config(), {{}}, Request(path, "")) as run:
    run.folder.tokenizer.write_text("written first")
    ready()
    time.sleep(100)
"""
    assert told(code, signal.SIGTERM)[0] == 143
    assert not list(tmp_path.iterdir())


def test_a_process_that_ignores_a_signal_goes_on_to_do_so():
    started = START + "ready(); time.sleep(1); print('done')"
    code = f"""
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
os.execv(sys.executable, [sys.executable, "-c", {started!r}])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "done\n")


@pytest.fixture
def table(tmp_path):
    interrupts.write_table(tmp_path / "train.csv")
    return tmp_path / "train.csv"


def begun(folder: Path, pattern: str):
    """Says whether a run's folder has a file of that pattern."""
    return lambda: any(folder.glob(pattern))


@pytest.mark.parametrize("number", SIGNALS, ids=str)
@pytest.mark.parametrize(
    ("stage", "pattern"),
    [("imports", ".."), ("compiling", "config.json"), ("training", "checkpoints/*0")],
)
def test_training_on_a_terminal_is_stopped_at_every_stage(number, stage, pattern, table, tmp_path):
    folder = tmp_path / "run"
    ready = (lambda: True) if stage == "imports" else begun(folder, pattern)
    trial = interrupts.run(interrupts.command(table, folder), ready, number, ENVIRONMENT)
    assert not trial.faults(128 + number, limit=30), trial.output
    line = trial.output.strip().splitlines()[-1]
    if stage == "training":
        assert " after step " in line
        assert line.endswith("; --resume goes on")


def test_predicting_says_nothing_of_resuming(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_jax", "predict", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    while not interrupts.handles(process.pid, signal.SIGTERM):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=120) == ("", "interrupted\n")
    assert process.returncode == 130
