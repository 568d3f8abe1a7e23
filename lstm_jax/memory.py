"""Too little memory: found out before anything is computed, or said in one line when it ends."""

import contextlib
import math
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import jax

# What makes the largest array of a model smaller, if it is one of the embedding, and if it is not.
_EMBEDDING = "model.embedding_size, text.vocabulary_size or text.ngrams"
_OTHERS = "model.hidden_size or model.embedding_size"


class NotEnoughMemory(MemoryError):
    """Memory ran out; the message says what to make smaller."""


def check_memory(make_state: Callable[[], Any]) -> None:
    """Refuses a model that is too large to train, before anything is computed.

    Training holds at least its state and the gradient. What it holds beside them depends on the
    program that XLA makes, so that memory may run out later: see `memory_explained`.

    Args:
        make_state: makes the state of training, of which `params` are a part. It is only traced.

    Raises:
        ValueError: if memory cannot hold so much.
    """
    try:
        state = jax.eval_shape(make_state)
    except OverflowError:
        raise ValueError(
            "the model must fit in memory, and it has more parameters than an array can have: "
            f"make {_OTHERS} smaller"
        ) from None
    sizes = {path: leaf.size for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)}
    needed, free = _bytes(state) + _bytes(state.params), free_memory()
    if needed > free:
        largest = jax.tree_util.keystr(max(sizes, key=lambda path: sizes[path]))
        raise ValueError(
            f"the model must fit in memory: to train its {sum(sizes.values()):,} parameters takes "
            f"{needed / 1e9:,.1f} GB at least, and {free / 1e9:,.1f} GB are free; make "
            f"{_EMBEDDING if 'embedding' in largest else _OTHERS} smaller"
        )


def _bytes(arrays: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(arrays))


@contextlib.contextmanager
def memory_explained(smaller: str) -> Generator[None]:
    """Has what ends for want of memory say what would need less of it.

    Args:
        smaller: what to make smaller.

    Raises:
        NotEnoughMemory: in the place of the error of XLA, NumPy or Python.
    """
    try:
        yield
    except NotEnoughMemory:
        raise
    except (MemoryError, ValueError, jax.errors.JaxRuntimeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        # XLA's error is of one of two types, as the program was dispatched.
        by_xla = reason.startswith("RESOURCE_EXHAUSTED: ")
        if not by_xla and not isinstance(error, MemoryError):
            raise
        reason = reason.removeprefix("RESOURCE_EXHAUSTED: ")
        because = f" ({reason[:1].lower()}{reason[1:]})" if reason else ""
        raise NotEnoughMemory(f"not enough memory{because}; make {smaller} smaller") from error


def free_memory() -> float:
    """The bytes that the first device can still give at most; infinity where nobody says.

    On a CPU that is what the system has, within the limits that it sets to the process.
    """
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        statistics = device.memory_stats() or {}
        return statistics.get("bytes_limit", math.inf) - statistics.get("bytes_in_use", 0)
    limits = [math.inf]
    with contextlib.suppress(OSError, KeyError, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        fields = (line.partition(":") for line in lines)
        kibibytes = {name: int(value.split()[0]) for name, _, value in fields}
        limits.append((kibibytes["MemAvailable"] + kibibytes["SwapFree"]) << 10)
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # not there, or "max"
            limits.append(int(Path(path).read_text(encoding="utf-8")))
    with contextlib.suppress(ImportError, OSError):
        import resource  # not on Windows

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            mapped = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
            limits.append(limit - mapped * resource.getpagesize())
    return max(0, min(limits))
