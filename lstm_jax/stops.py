"""What a program does when it is told to stop: by Ctrl-C (SIGINT), SIGTERM or SIGHUP.

A program calls `watch` before its slow imports. From then on it leaves at once when nothing would
be lost, at any moment: with one line on standard error and the status 128 + the signal's number.
Where something would be lost (`held`, `Unsaved`) it leaves as soon as that is saved. It does not
wait longer for work to be saved than the work took. A second signal does not wait at all.

It leaves by `os._exit`: the threads of XLA, Orbax and Grain still run then, and an interpreter that
takes itself apart under them crashes now and then. Python runs signal handlers in the main thread,
and only between two instructions, not while XLA compiles; a thread that the system tells of the
signal at once acts in its place.

This module imports no other of ours, and nothing slow.
"""

import contextlib
import io
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from types import FrameType, TracebackType
from typing import NoReturn, Self, TextIO

# Those that this system has; Windows has no SIGHUP.
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

# Seconds. Signals this close together are one: a terminal and a launcher may both send it.
_SAME = 0.5
# For the main thread to leave by itself, before the watching thread does it.
_PATIENCE = 1.0
# For work to be saved, however little it is.
_SAVING = 2.5
# After this long, a person is told what is waited for.
_QUIET = 2.0
# For cleaning up at the end.
_CLEANING = 3.0


class Stopped(BaseException):
    """The process was told to stop, and what it held on to is saved.

    Attributes:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class _Held:
    """Something that a stop waits for."""

    def __init__(self, until: str) -> None:
        self.until = until


class _Process:
    """What is known of this process; signals concern all of it."""

    asked: int | None = None  # the first signal to stop
    advice = ""  # how a person goes on
    reached = ""  # how far the work is saved
    leaver: int | None = None  # the thread that ends the process

    def __init__(self) -> None:
        self.holds: list[_Held] = []  # what waits to be saved
        self.cleanups: list[Callable[[], object]] = []
        self.leaving = threading.Lock()
        self.wake: socket.socket | None = None


_process = _Process()


def watch() -> None:
    """From now on, this process leaves in order when it is told to stop.

    For programs, at their very start, in the main thread; nothing in the library does it by itself.
    A signal that the process was started to ignore (`nohup`) stays ignored.
    """
    if _process.wake is not None:
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    _process.wake = sender
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(receiver,), name="stops", daemon=True).start()


def asked() -> bool:
    """Whether the process was told to stop."""
    return _process.asked is not None


def advise(advice: str) -> None:
    """Sets what the last line says of how to go on, such as "--resume goes on"."""
    _process.advice = advice


def reached(place: str) -> None:
    """Sets what the last line says of how far the work is saved, such as "after step 120"."""
    _process.reached = place


@contextlib.contextmanager
def held(until: str = "this is done") -> Generator[None]:
    """Work of a moment that must not be torn, such as writing one file: a stop waits for its end.

    Args:
        until: what a person is told is waited for, if it takes more than a moment.

    Raises:
        Stopped: at the end of the block, if the process was told to stop.
    """
    hold = _Held(until)
    _process.holds.append(hold)
    try:
        yield
    finally:
        _process.holds.remove(hold)
    _leave_block()


class Unsaved(_Held):
    """Work of hours that is saved now and then: a stop waits for the next time.

    The work asks `asked()` often, saves itself if so, and says `saved()`. A stop waits at most as
    long as the unsaved work took: a step of a second is not worth the minute in which the next one
    compiles.
    """

    def __init__(self) -> None:
        """Nothing is unsaved at first."""
        super().__init__("this step is saved")
        self.since = 0.0  # when the oldest unsaved work began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self in _process.holds:
            _process.holds.remove(self)

    def begun(self) -> None:
        """From here on there is something to save."""
        if self not in _process.holds:
            self.since = time.monotonic()
            _process.holds.append(self)

    def saved(self) -> None:
        """From here on there is nothing to save.

        Raises:
            Stopped: if the process was told to stop.
        """
        self.__exit__(None, None, None)
        _leave_block()


@contextlib.contextmanager
def cleaning(cleanup: Callable[[], object]) -> Generator[None]:
    """Work that leaves something behind when it is broken off.

    Args:
        cleanup: removes it, if the process is told to stop in the block; its errors are ignored.
    """
    _process.cleanups.append(cleanup)
    try:
        yield
    finally:
        _process.cleanups.remove(cleanup)


def leave(number: int) -> NoReturn:
    """Ends the process: cleans up, says so in one line, status 128 + `number`."""
    if not _process.leaving.acquire(timeout=_CLEANING):
        os._exit(128 + number)  # another thread is at it, and does not come to an end
    _process.leaver = threading.get_ident()
    written = _silence_threads()
    for cleanup in reversed(_process.cleanups.copy()):
        with contextlib.suppress(Exception):
            cleanup()
    word = "interrupted" if number == signal.SIGINT else "terminated"
    first = " ".join(part for part in (word, _process.reached) if part)
    _say("; ".join(part for part in (first, _process.advice) if part))
    for stream in written:
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(128 + number)


def _silence_threads() -> tuple[TextIO, TextIO]:
    """From now on, nothing that other threads print is seen.

    A progress bar would write over the last line, and the threads of a save whose files are cleaned
    up would tell of it in tracebacks.

    Returns:
        The streams that were printed to.
    """
    written = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = io.StringIO()
    threading.excepthook = sys.unraisablehook = lambda _: None
    logging.disable()
    return written


def _on_signal(number: int, frame: FrameType | None) -> None:
    """The handler: in the main thread, between two instructions."""
    if _process.leaver == threading.get_ident():
        return
    _process.asked = _process.asked or number
    if not _process.holds:
        leave(number)


def _wait(wakes: socket.socket) -> None:
    """The watching thread: acts where the main thread does not come to it."""
    first = free = None
    told = False
    while True:
        try:
            numbers = [number for number in wakes.recv(64) if number in _SIGNALS]
        except TimeoutError:
            numbers = []
        now = time.monotonic()
        if numbers:
            _process.asked = _process.asked or numbers[0]
            if first is not None and now - first > _SAME:
                leave(numbers[-1])
            if first is None:
                first = now
                wakes.settimeout(0.1)
        if first is None or _process.asked is None:
            continue
        if _process.holds:
            free = None
            if now - first > _worth(_process.holds.copy(), first):
                leave(_process.asked)
            if now - first > _QUIET and not told:
                told = True
                until = _process.holds.copy()[-1:]
                what = until[0].until if until else "this is done"
                _say(f"stopping once {what}; again to stop at once")
        elif free is None:
            free = now
        elif now - free > _PATIENCE:
            leave(_process.asked)


def _worth(holds: list[_Held], asked: float) -> float:
    """How many seconds to wait for what is held, if the signal came at the time `asked`."""
    ages = [asked - hold.since if isinstance(hold, Unsaved) else math.inf for hold in holds]
    return max([_SAVING, *ages])


def _leave_block() -> None:
    """Unwinds the main thread, if the process was told to stop and nothing holds it."""
    main = threading.current_thread() is threading.main_thread()
    if main and _process.asked is not None and not _process.holds:
        raise Stopped(_process.asked)


def _say(line: str) -> None:
    """Writes a line to standard error, in the place of a progress bar if there is one.

    Not by `print`: this may run within a print.
    """
    with contextlib.suppress(OSError):
        # Erases the bar's line, and shows the cursor, which a bar hides; in one write with the
        # line, or the bar might come between them.
        erase = b"\r\x1b[2K\x1b[?25h"
        if os.isatty(1) and not os.isatty(2):
            os.write(1, erase)
        os.write(2, (erase if os.isatty(2) else b"") + f"{line}\n".encode())
