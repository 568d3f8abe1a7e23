"""What a TPU is to run, compiled on any machine: `python -m benchmarks.tpu_kernels`.

The LSTM is compiled for TPUs v5e and v6e by XLA's own loop ("xla") and by the Pallas kernels
("tpu"). Counted are the operations that a program begins one after the other in loops over time;
the instructions (bundles, of which a TPU begins one in a cycle) of a step in the kernels; and the
vector memory that these ask for. No TPU is needed, and nothing is timed on one. It needs Google's
compiler (`pip install 'lstm_jax[tpu-compile]'`).
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding
from rich.console import Console

from benchmarks.gpu_kernels import Shape
from benchmarks.harness import RESULTS, write_record
from lstm_jax import LSTMParams, LSTMState
from lstm_jax.cli.program import run_command
from lstm_jax.console import Sheet
from lstm_jax.kernels import IMPLEMENTATIONS, tpu_loops, xla_accelerator

CHIPS = {"v5e": "v5e:2x2", "v6e": "v6e:2x2"}
LISTED = ("v5e", 100)  # of which the instructions are counted: to write them takes minutes
# There is no TPU to ask, and another process may compile too.
ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "JAX_PLATFORMS": "cpu",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
_CALL = re.compile(r'custom_call_target="tpu_custom_call"')
_VMEM = re.compile(r'"memory_space":"1","offset":"0","size":"(\d+)"')
# A line of a listing: its address, what region begins, how deep in loops it is, and the bundle.
_BUNDLE = re.compile(r"\s*0x[0-9a-f]+\s+(?:\w\w)?\s*: (>*) ?\{")


@dataclass(frozen=True)
class Compiled:
    """A program.

    Attributes:
        operations: that it begins in loops over time, and calls of Pallas kernels.
        calls: of those, the kernels'.
        vmem_mib: what the kernels ask of the vector memory, the largest.
        compile_seconds: what XLA took.
    """

    operations: int
    calls: int
    vmem_mib: float
    compile_seconds: float


@dataclass(frozen=True)
class Benchmark:
    """What to compile."""

    chips: tuple[str, ...] = tuple(CHIPS)
    """TPUs."""
    hidden: tuple[int, ...] = (100, 128, 256, 512)
    """Hidden units."""


def unavailable() -> str | None:
    """Why nothing can be compiled for a TPU here, if so."""
    return None if find_spec("libtpu") else "libtpu is not installed"


def compile_for(chip: str, shape: Shape, implementation: str, *, gradient: bool) -> Compiled:
    """Compiles a layer of float32 for a TPU, and counts.

    Args:
        chip: one of `CHIPS`.
        shape: of the layer.
        implementation: "xla" or "tpu".
        gradient: whether forward + backward, of every argument, or forward alone.
    """
    os.environ.update(ENVIRONMENT)
    jax.config.update("jax_platforms", "cpu")
    device = topologies.get_topology_desc(CHIPS[chip], "tpu").devices[0]
    sharding = SingleDeviceSharding(device)

    def array(*sizes: int, dtype: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=sharding)

    B, T, D, H = shape.batch, shape.time, shape.features, shape.hidden
    params = LSTMParams(array(D, 4 * H), array(H, 4 * H), array(4 * H))
    state = LSTMState(array(B, H), array(B, H))
    run = IMPLEMENTATIONS[implementation]

    def forward(params: Any, inputs: Any, state: Any, lengths: Any) -> Any:
        return run((params,), inputs, lengths, (state,), reverse=(False,))

    def both(params: Any, inputs: Any, state: Any, lengths: Any) -> Any:
        results, back = jax.vjp(lambda p, x, s: forward(p, x, s, lengths), params, inputs, state)
        return back(jax.tree.map(jnp.ones_like, results))

    lowered = jax.jit(both if gradient else forward).lower(
        params, array(B, T, D), state, array(B, dtype=jnp.int32)
    )
    began = time.monotonic()
    text = lowered.compile().as_text() or ""
    seconds = time.monotonic() - began
    calls = len(_CALL.findall(text))
    trips = T // xla_accelerator.UNROLL  # which the text does not tell of a loop
    in_loops = trips * sum(fusions_in_loops(text))
    vmem = max(map(int, _VMEM.findall(text)), default=0) if calls else 0
    return Compiled(in_loops + calls, calls, round(vmem / 2**20, 1), round(seconds, 1))


def fusions_in_loops(program: str) -> Iterator[int]:
    """The operations in the body of each loop, but for those of single numbers."""
    fusions: dict[str, int] = {}
    name = ""
    for line in program.splitlines():
        if not line.startswith(" "):
            name = line.partition(" ")[0]
        elif " fusion(" in line:
            fusions[name] = fusions.get(name, 0) + 1
    for body in re.findall(r" while\(.* body=([^ ,]+)", program):
        yield fusions.get(body, 0)


def compiled(
    chip: str, shape: Shape, implementation: str, gradients: tuple[bool, ...], dump: str = ""
) -> list[Compiled]:
    """`compile_for` in a process of its own, with the compiler's listings in a folder, if asked."""
    program = f"""
import json
from dataclasses import asdict
from benchmarks.tpu_kernels import Shape, compile_for
shape = Shape(**{asdict(shape)!r})
found = [compile_for({chip!r}, shape, {implementation!r}, gradient=g) for g in {gradients!r}]
print(json.dumps([asdict(each) for each in found]))
"""
    return [Compiled(**each) for each in json.loads(in_a_new_process(program, dump))]


def in_a_new_process(program: str, dump: str = "") -> str:
    """The last line that a Python program prints, where it may use a TPU's compiler."""
    options = f"--xla_jf_dump_to={dump} --xla_jf_dump_llo_text=true" if dump else ""
    inherited = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        env={**inherited, **ENVIRONMENT, "LIBTPU_INIT_ARGS": options},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"compiling for a TPU failed: {done.stderr[-2000:]}")
    return done.stdout.splitlines()[-1]


def bundles_a_step(chip: str, shape: Shape) -> dict[str, float]:
    """The bundles of a step in the loop of each kernel, by the kernel's name."""
    with tempfile.TemporaryDirectory() as folder:
        compiled(chip, shape, "tpu", (True,), folder)
        found = {}
        for kernel in ("forward", "backward"):
            (path,) = (
                path
                for path in Path(folder).glob(f"*lstm_{kernel}_kernel*final_bundles.txt")
                if "schedule-analysis" not in path.name
            )
            body = max(bodies(path.read_text(encoding="utf-8")))
            found[kernel] = round(body / tpu_loops.unroll(shape.hidden), 1)
    return found


def bodies(listing: str) -> Iterator[int]:
    """The bundles of each loop in a kernel: lines that are two deep, as its grid is a loop too."""
    count = 0
    for line in listing.splitlines():
        if found := _BUNDLE.match(line):
            if len(found[1]) > 1:
                count += 1
            elif count:
                yield count
                count = 0
    yield count


def main() -> None:
    """Compiles for every chip and size, prints a table and writes the record after each.

    Rows of other chips and sizes stay in the record, so that a run can be broken off.
    """
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.tpu_kernels"), Console()
    if reason := unavailable():
        raise ValueError(f"{reason}: pip install 'lstm_jax[tpu-compile]'")
    rows = []
    for chip, hidden in product(benchmark.chips, benchmark.hidden):
        shape = Shape(hidden=hidden)
        found: dict[str, Any] = {}
        for implementation in ("xla", "tpu"):
            forward, both = compiled(chip, shape, implementation, (False, True))
            found[implementation] = {
                "forward": asdict(forward),
                "forward_and_backward": asdict(both),
            }
        bundles = bundles_a_step(chip, shape) if (chip, hidden) == LISTED else None
        row = {"chip": chip, **asdict(shape), **found, "bundles_a_step": bundles}
        write_record("tpu_kernels", {"compiled": [*others(chip, hidden), row]}, console)
        xla, ours = (found[name]["forward_and_backward"] for name in ("xla", "tpu"))
        rows.append(
            (
                chip,
                str(hidden),
                f"{xla['operations']:,}",
                str(ours["operations"]),
                f"{bundles['forward']:.0f}, {bundles['backward']:.0f}" if bundles else "",
                f"{ours['vmem_mib']:.1f}",
                f"{xla['compile_seconds']:.1f}",
                f"{ours['compile_seconds']:.1f}",
            )
        )
    headers = (
        *("chip", "H", "operations\nin loops, xla", "calls,\ntpu", "bundles a step,\nthere, back"),
        *("VMEM,\nMiB", "compile,\nxla, s", "compile,\ntpu, s"),
    )
    title = "Forward + backward over 64 x 500 steps, D = 32, compiled and not run"
    console.print(Sheet(headers, rows, title))


def others(chip: str, hidden: int) -> list[dict[str, Any]]:
    """The rows of the record but for this one."""
    path = RESULTS / "tpu_kernels.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["compiled"] if path.exists() else []
    return [row for row in kept if (row["chip"], row["hidden"]) != (chip, hidden)]


if __name__ == "__main__":
    run_command(main)
