"""On what a result was obtained."""

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
