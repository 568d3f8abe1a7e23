"""What every program of ours does at its start and at its end."""

import io
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from lstm_jax.cli.parsing import explain
from lstm_jax.machine import missing_platform, tune_malloc
from lstm_jax.memory import memory_explained
from lstm_jax.stops import Stopped, leave


def command_line(module: str) -> str:
    """What the user typed, to be written beside a result."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def run_command(main: Callable[[], object], program: str | None = None) -> None:
    """Runs a program with its memory kept.

    What a user can mend becomes one line and exit status 2, not a traceback. If nobody reads the
    output any more (`| head`), the program ends without a word, with the status that a shell gives
    to one that SIGPIPE ended: 141. How it ends when it is told to stop is in `lstm_jax.stops`.

    What the encoding of the output lacks is written as `\\u2026`.

    Args:
        main: what to run.
        program: what the line begins with; by default the module that Python was started with.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    tune_malloc()
    try:
        with memory_explained("the batches, the texts or the model"):
            main()
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_pipe()
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        print(f"{program or _module()}: {explain(error)}", file=sys.stderr)
        if isinstance(error, ConnectionError):
            _leave_others()
        sys.exit(2)
    except (AssertionError, RuntimeError):
        if not (reason := missing_platform()):
            raise
        print(f"{program or _module()}: {reason}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # rich makes it an exit
            _leave_pipe()
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _leave_pipe()
        raise
    except Stopped as stopped:
        leave(stopped.number)


def _leave_others() -> NoReturn:
    """Ends a program whose other processes are gone: JAX would wait for them, and then abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(2)


def _leave_pipe() -> NoReturn:
    """Ends the program; what is still to be written goes nowhere, or Python would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    sys.exit(128 + 13)


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    return Path(sys.argv[0]).name if spec is None else spec.name
