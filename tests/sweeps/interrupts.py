"""Tells `train` to stop at random moments, on a terminal, and looks at how it leaves.

    python -m tests.sweeps.interrupts --trials 100 --signal INT

Each trial trains under a pseudo-terminal and is told to stop at a moment between the start of the
interpreter and the end of the run: by Ctrl-C, typed into the terminal, or by SIGTERM. It must leave
within five seconds with status 130 or 143, say so in one line, and show no traceback. Every fifth
run that was broken off goes on with `--resume`, and must end with the same bits as a run that was
left alone. Python's own start, some hundredths of a second before our first line, is not ours: a
signal waits until the process has a handler for it.
"""

import argparse
import contextlib
import os
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORDS = ("good", "bad", "film", "plot", "very", "slow", "the", "a", "scene", "music")
SETTINGS = (
    *("--text.max-length", "24", "--text.vocabulary-size", "50", "--train.batch-size", "8"),
    *("--model.embedding-size", "8", "--model.hidden-size", "8", "--train.buckets", "2"),
    *("--train.epochs", "6", "--train.checkpoint-every", "25", "--train.ema-decay", "0.9"),
    *("--train.adversarial", "0", "--text.cooccurrence-window", "0", "--train.patience", "0"),
    *("--text.ngrams", "20"),
)
# What leaves no traces, and what other programs write for their own sake.
TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")
# A traceback of Python, a crash of XLA, and what its threads say when the interpreter goes.
BAD = re.compile(
    r"Traceback|Exception ignored|cannot schedule new futures|Fatal Python|Segmentation|"
    r"terminate called|\w+Error:|KeyboardInterrupt"
)


@dataclass(frozen=True)
class Trial:
    """What came of telling one process to stop.

    Attributes:
        moment: seconds after its start.
        seconds: from then to its end.
        status: its exit status; minus the signal's number if one ended it.
        output: all that stood on its terminal, without control sequences.
        finished: whether it had ended by itself before.
    """

    moment: float
    seconds: float
    status: int
    output: str
    finished: bool

    def faults(self, expected: int, *, limit: float = 5.0) -> list[str]:
        """What is wrong with it, if `expected` is the status to leave with."""
        if self.finished:
            return [] if self.status == 0 else [f"status {self.status} by itself"]
        # Where the run was complete at that moment it may end as such.
        found = [] if self.status == expected else [f"status {self.status}"]
        if bad := BAD.search(self.output):
            found.append(f"output has {bad.group()!r}")
        if self.seconds > limit:
            found.append(f"took {self.seconds:.1f} s")
        said = len(re.findall(r"^(?:interrupted|terminated)\b", self.output, re.MULTILINE))
        if said != 1:
            found.append(f"said so {said} times")
        return found


def run(
    command: Sequence[str],
    ready: Callable[[], bool],
    number: int,
    environment: dict[str, str] | None = None,
) -> Trial:
    """Runs a command on a terminal and tells it to stop.

    Args:
        command: its words.
        ready: whether the moment has come; asked again and again, once the process has a handler.
        number: the signal; SIGINT is typed as Ctrl-C.
        environment: of the process; by default, this one's.
    """
    master, slave = pty.openpty()
    # The leader of a new session that opens a terminal gets it for its own, and Ctrl-C with it.
    name = os.ttyname(slave)
    shell = ["sh", "-c", f'exec "$@" <{name} >{name} 2>&1', "sh"]
    process = subprocess.Popen(
        [*shell, *command], start_new_session=True, env=environment, cwd=ROOT
    )
    began, told, output = time.monotonic(), None, bytearray()
    while True:
        _read(master, output)
        now = time.monotonic()
        if process.poll() is not None:
            break
        if told is None and handles(process.pid, signal.SIGTERM) and ready():
            told = now
            if number == signal.SIGINT:
                os.write(master, b"\x03")
            else:
                process.send_signal(number)
        if now - (told or began) > 600:
            process.kill()
    ended = time.monotonic()
    while _read(master, output):
        pass
    os.close(slave)  # not before: without a process that has it open, the terminal goes
    os.close(master)
    # What is erased was a line of its own: the last one says what was done then.
    lines = output.decode(errors="replace").replace("\x1b[2K", "\n")
    text = TERMINAL.sub("", lines).replace("^C", "")
    moment, seconds = (told - began, ended - told) if told else (ended - began, 0.0)
    return Trial(moment, seconds, process.returncode, text, told is None)


def _read(master: int, output: bytearray) -> bool:
    """Takes what stands on the terminal, waiting a little; whether there was something."""
    ready, _, _ = select.select([master], [], [], 0.01)
    with contextlib.suppress(OSError):  # the other side is closed
        if ready and (content := os.read(master, 65536)):
            output += content
            return True
    return False


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        return bool(caught >> (number - 1) & 1)
    return False


def write_table(path: Path, rows: int = 320) -> None:
    """Writes labelled texts in which one word decides the class."""
    chosen = random.Random(0)
    lines = ["text,label"]
    for row in range(rows):
        words = " ".join(chosen.choices(WORDS, k=chosen.randint(1, 20)))
        lines.append(f"{words} verdict{row % 2},{('neg', 'pos')[row % 2]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def command(table: Path, folder: Path, *more: str) -> list[str]:
    """The words that train on a table into a folder."""
    words = ["train", str(table), str(folder), *SETTINGS, *more]
    return [sys.executable, "-m", "lstm_jax", *words]


def environment() -> dict[str, str]:
    """That of the runs: nothing compiled is kept, so that compiling takes its time every time."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMP")}
    return kept | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}


def weights(folder: Path) -> dict[str, bytes]:
    """The final parameters of a run, byte for byte."""
    import jax
    import numpy as np

    from lstm_jax import load

    leaves = jax.tree_util.tree_leaves_with_path(load(folder).params)
    return {jax.tree_util.keystr(name): np.asarray(leaf).tobytes() for name, leaf in leaves}


def main() -> None:
    """Runs the trials and prints a table."""
    parser = argparse.ArgumentParser(prog="tests.sweeps.interrupts", description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--signal", choices=("INT", "TERM"), default="INT")
    parser.add_argument("--resume-every", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    number = signal.Signals[f"SIG{options.signal}"]
    # A job in the background of a shell ignores Ctrl-C, and so would what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        table = place / "train.csv"
        write_table(table)
        left_alone = place / "left_alone"
        began = time.monotonic()
        subprocess.run(
            command(table, left_alone), env=environment(), cwd=ROOT, check=True, stdout=-3
        )
        longest = time.monotonic() - began
        print(f"a run left alone: {longest:.1f} s", flush=True)
        expected = weights(left_alone)
        moments = random.Random(options.seed)
        drawn = [moments.uniform(0, longest) for _ in range(options.trials)]

        def one(index: int) -> tuple[Trial, list[str]]:
            folder = place / str(index)
            at = time.monotonic() + drawn[index]
            trial = run(
                command(table, folder), lambda: time.monotonic() >= at, number, environment()
            )
            faults = trial.faults(128 + number)
            if index % options.resume_every == 0:
                again = command(table, folder, "--resume")
                done = subprocess.run(
                    again, env=environment(), cwd=ROOT, capture_output=True, check=False
                )
                if done.returncode != 0 or weights(folder) != expected:
                    faults.append(f"resumed: status {done.returncode}, other bits or none")
            shutil.rmtree(folder, ignore_errors=True)
            return trial, faults

        report([], header=True)
        trials, faulty = [], 0
        with ThreadPoolExecutor(options.at_once) as pool:
            for index, (trial, faults) in enumerate(pool.map(one, range(options.trials))):
                trials.append(trial)
                faulty += bool(faults)
                report([index, trial, faults])
                if faults:
                    print(trial.output[-3000:], flush=True)
    told = [trial for trial in trials if not trial.finished]
    statuses = dict(Counter(trial.status for trial in told))
    slowest = max((trial.seconds for trial in told), default=0.0)
    print(
        f"SIG{options.signal}: {len(trials)} trials, {len(told)} told to stop, statuses {statuses},"
        f" slowest {slowest:.1f} s, {faulty} with faults",
        flush=True,
    )
    sys.exit(faulty > 0)


def report(row: list, header: bool = False) -> None:
    """Prints a line of the table."""
    if header:
        print(f"{'trial':>5} {'moment':>7} {'to end':>7} {'status':>6}  last line", flush=True)
        return
    index, trial, faults = row
    last = (trial.output.strip().splitlines() or [""])[-1][:70]
    end = "finished" if trial.finished else f"{trial.seconds:.2f}"
    wrong = f"  FAULTS: {'; '.join(faults)}" if faults else ""
    print(f"{index:>5} {trial.moment:>7.2f} {end:>7} {trial.status:>6}  {last}{wrong}", flush=True)


if __name__ == "__main__":
    main()
