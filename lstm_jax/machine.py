"""The machine: what a result was obtained on, and what a program asks of it."""

import ctypes
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import jax


def environment() -> dict[str, Any]:
    """On what a result was obtained: processor, devices and versions."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tokenizers")
    return {
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "devices": [device.device_kind for device in jax.devices()],
        },
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def processor() -> str:
    """The processor's name, with family and model where the name alone is vague."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor() or platform.machine()
    lines = information.read_text().split("\n\n")[0].splitlines()
    entries = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
    known = [f"{key} {entries[key]}" for key in ("cpu family", "model") if key in entries]
    return ", ".join([entries.get("model name", platform.machine()), *known])


def keep_memory() -> bool:
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
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    asked = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 1 << 26))
    return min(mallopt(name, value) for name, value in asked) == 1
