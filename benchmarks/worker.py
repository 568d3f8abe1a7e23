"""The process of one peer: prepares and times what `benchmarks.harness` asks of it.

One JSON object a line comes in on standard input, one goes out for each: see `Peer` for both.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[], dict[str, np.ndarray]]


def _status(name: str) -> int:
    """A memory figure of this process in bytes: VmRSS now, VmHWM at most since the last reset."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    return 0


def _reset_peak() -> None:
    with contextlib.suppress(OSError):  # not allowed in some containers
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


class Worker:
    """Holds the work that was prepared last."""

    def __init__(self, module: str) -> None:
        self._module = importlib.import_module(module)
        self._run: Run | None = None

    def prepare(self, task: str, arguments: dict[str, Any], results: str | None) -> dict[str, Any]:
        """Prepares a task, does it once (which compiles it) and saves what it returns."""
        self._run = None
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # glibc
            ctypes.CDLL(None).malloc_trim(0)
        before = _status("VmRSS")
        self._run = getattr(self._module, task)(**arguments)
        if self._run is None:
            return {"supported": False}
        start = time.perf_counter()
        outcome = self._run()
        first = time.perf_counter() - start
        if results is not None:
            np.savez(results, allow_pickle=False, **outcome)
        del outcome
        _reset_peak()  # compilation takes memory too
        self._run()
        return {
            "supported": True,
            "first_seconds": first,
            "memory_bytes": _status("VmHWM") - before,
        }

    def time(self, seconds: float, calls: int, warm_up: int) -> dict[str, Any]:
        """Does the work for `seconds` and `calls` times at least; says how long each time took."""
        assert self._run is not None
        for _ in range(warm_up):
            self._run()
        taken: list[float] = []
        while sum(taken) < seconds or len(taken) < calls:
            start = time.perf_counter()
            self._run()
            taken.append(time.perf_counter() - start)
        return {"seconds": taken}


def main() -> None:
    """Answers commands until the input ends; what the libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(worker, command.pop("do"))(**command)
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
