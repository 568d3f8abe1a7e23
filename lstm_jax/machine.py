"""The machine: what a result was obtained on, and what a program asks of it."""

import contextlib
import ctypes
import datetime
import gc
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import jax

PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tokenizers"),
    *("torch", "keras", "tensorflow_cpu", "onnxruntime", "scikit-learn", "aeon", "statsmodels"),
    *("starlette", "uvicorn"),
)


def environment() -> dict[str, Any]:
    """On what a result was obtained: processor, devices, and versions of what is installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "devices": [device.device_kind for device in jax.devices()],
        },
        "versions": versions,
    }


def missing_platform() -> str:
    """Why JAX has no device to compute on, in one line; "" if it has one."""
    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:  # as JAX meets a plugin that is not there
        asked = os.environ.get("JAX_PLATFORMS")
        reason = str(error).partition("\n")[0]
        return f"JAX_PLATFORMS must name platforms that this machine has, got {asked!r}" + (
            f" ({reason})" if reason else ""
        )
    return ""


_process: int | None = None  # the first that asked


def refuse_after_fork() -> None:
    """Keeps a forked process from waiting for ever for the threads that it did not inherit.

    Raises:
        RuntimeError: if this process was forked from one that had called this.
    """
    global _process
    if _process is None:
        _process = os.getpid()
    elif _process != os.getpid():
        raise RuntimeError(
            "lstm_jax was used before this process was forked, and a fork has none of JAX's "
            'threads: start processes with multiprocessing\'s "spawn", or fork first and load the '
            "run in each process (gunicorn: without --preload)"
        )


def provenance(command: str) -> dict[str, Any]:
    """How a record came about: the command, when, at which commit of the package, on what."""
    return {
        "command": command,
        "time": datetime.datetime.now(datetime.UTC).isoformat(" ", "minutes"),
        "commit": commit(),
        **environment(),
    }


def commit() -> str | None:
    """The commit of the repository that this package is part of, "-dirty" if files were changed.

    None where there is no git, or the package was installed apart from its repository, which may be
    into a folder of another one.
    """
    ours = Path(__file__)

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments],
                cwd=ours.parent,
                capture_output=True,
                encoding="utf-8",
                check=False,
            )
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", ours.name) is None:
        return None
    return git("describe", "--always", "--dirty")


def processor() -> str:
    """The processor's name, with family and model where the name alone is vague."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor() or platform.machine()
    lines = information.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    entries = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
    known = [f"{key} {entries[key]}" for key in ("cpu family", "model") if key in entries]
    return ", ".join([entries.get("model name", platform.machine()), *known])


def peak_memory() -> int | None:
    """The memory in MiB that this process has held at most so far; None where nobody says."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit >> 20


# What `tune_malloc` asks of glibc: each setting's name in a process's environment, its number in
# malloc.h, and its value.
MALLOC_SETTINGS = (
    # One arena: those that threads get of their own give back what is free, whatever is asked.
    ("MALLOC_ARENA_MAX", -8, 1),
    ("MALLOC_MMAP_MAX_", -4, 0),
    ("MALLOC_TRIM_THRESHOLD_", -1, 2**31 - 1),
    ("MALLOC_TOP_PAD_", -2, 1 << 26),
)


def tune_malloc() -> bool:
    """Has the C library keep the memory that it frees, for this process to use again.

    On a CPU XLA allocates the arrays of a step anew at every step, and by default memory of that
    size goes back to the system in between, which has to clear it each time: with the gates of
    32 x 500 steps that is a tenth to a half of the time of a forward and backward pass, as the
    system's mood goes. The price is that the process stays as large as it once was, up to 2 GiB
    more than it uses. For programs, at their start; nothing in the library does it by itself.

    Returns:
        Whether the C library took the request; only glibc knows it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return min(mallopt(number, value) for _, number, value in MALLOC_SETTINGS) == 1


@contextlib.contextmanager
def garbage_frozen() -> Generator[None]:
    """Python's search for garbage leaves out what is there already; for blocks that make much.

    JAX and what it imports are a million objects; to look through all of them again and again takes
    a few per cent of the time of reading and writing a file.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
