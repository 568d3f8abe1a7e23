"""How many kernels a GPU runs for each time step: `python -m benchmarks.gpu_kernels`.

XLA compiles the LSTM for an H100 on any machine, and its loops are counted: a kernel that is
launched for each of 500 steps costs a few microseconds 500 times. No GPU is needed, and nothing is
timed on one. It needs JAX's CUDA plugin (`pip install 'lstm_jax[cuda-compile]'`, 5 GB on disk).
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from jax.extend.backend import backends
from jax.sharding import SingleDeviceSharding
from rich.console import Console

from benchmarks.harness import write_record
from lstm_jax import Bidirectional, LSTMParams, bidirectional_lstm, lstm
from lstm_jax.cli.program import run_command
from lstm_jax.console import Sheet
from lstm_jax.kernels import xla_accelerator

# What XLA asks of a GPU. Source: NVIDIA H100 datasheet; CUDA C++ Programming Guide, table of
# technical specifications for compute capability 9.0.
H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  core_count: 132 fpus_per_core: 128 threads_per_warp: 32
  threads_per_block_limit: 1024 threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_block_limit: 65536 registers_per_core_limit: 65536
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472 l2_cache_size: 52428800
  memory_bandwidth: 3352320000000 device_memory_size: 84978434048 clock_rate_ghz: 1.98
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
# What takes part in a loop without being a kernel.
_FREE = {"bitcast", "constant", "get-tuple-element", "parameter", "tuple", "while"}
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$")
_OPERATION = re.compile(r" ([a-z][\w\-]*)\(")
_TRIPS = re.compile(r'known_trip_count[\\":{ ]+n[\\":]+(\d+)')


@dataclass(frozen=True)
class Shape:
    """The sizes of a layer: B, T, D, H, and one direction or two."""

    batch: int = 64
    time: int = 500
    features: int = 32
    hidden: int = 100
    directions: int = 1


@dataclass(frozen=True)
class Loops:
    """What was compiled.

    Attributes:
        forward, backward: kernels for each time step; the second is 0 where there is no gradient.
        compile_seconds: what XLA took.
    """

    forward: float
    backward: float
    compile_seconds: float


@dataclass(frozen=True)
class Benchmark:
    """What to compile."""

    unroll: tuple[int, ...] = (1, 2, 4, 8)
    """Steps in the body of a loop."""


def unavailable() -> str | None:
    """Why nothing can be compiled for a GPU here, if so."""
    if find_spec("jax_cuda12_plugin") is None:
        return "JAX's CUDA plugin is not installed"
    return None


def compile_for_h100(shape: Shape, *, gradient: bool) -> Loops:
    """Compiles a layer of float32 for an H100, and counts.

    Args:
        shape: of the layer.
        gradient: whether forward + backward, of every argument, or forward alone.
    """
    sharding = SingleDeviceSharding(h100())

    def array(*sizes: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=sharding)

    B, T, D, H = shape.batch, shape.time, shape.features, shape.hidden
    shapes: Any = array(D, 4 * H), array(H, 4 * H), array(4 * H)
    one = LSTMParams(*shapes)
    params = one if shape.directions == 1 else Bidirectional(one, one)
    run: Any = {1: lstm, 2: bidirectional_lstm}[shape.directions]

    def forward(params: Any, inputs: Any, lengths: Any) -> Any:
        return run(params, inputs, lengths=lengths, implementation="xla")[0]

    def both(params: Any, inputs: Any, lengths: Any) -> Any:
        outputs, back = jax.vjp(lambda p, x: forward(p, x, lengths), params, inputs)
        return back(jax.tree.map(jnp.ones_like, outputs))

    lowered = jax.jit(both if gradient else forward).lower(
        params, array(B, T, D), array(B, dtype=jnp.int32)
    )
    began = time.monotonic()
    text = lowered.compile().as_text()
    seconds = time.monotonic() - began
    found = [trips * kernels / T for trips, kernels in loops(text or "")]
    return Loops(found[0], found[1] if gradient else 0.0, round(seconds, 1))


def h100() -> Any:
    """A device to compile for, on a machine that has none."""
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # there is no driver to be old
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0"
    backends()  # registers the plugin
    from jax._src import xla_bridge  # no public name gives it; `topologies` asks the same function

    make: Any = xla_bridge.make_pjrt_topology
    topology = make("cuda", "h100", target_config=H100, topology="1x1x1")
    return topology._make_compile_only_devices()[0]


def loops(program: str) -> Iterator[tuple[int, int]]:
    """For each loop of a compiled program, how often it runs, and the kernels of its body."""
    bodies: dict[str, list[str]] = {}
    name = None
    for line in program.splitlines():
        if found := _COMPUTATION.match(line):
            name = found[1]
            bodies[name] = []
        elif line.startswith("}"):
            name = None
        elif name is not None and (operation := _OPERATION.search(line.partition(" = ")[2])):
            bodies[name].append(line if operation[1] == "while" else operation[1])
    for lines in bodies.values():
        for line in lines:
            if (trips := _TRIPS.search(line)) and (body := re.search(r"body=%?([\w.\-]+)", line)):
                kernels = [each for each in bodies[body[1]] if each.partition(" ")[0] not in _FREE]
                yield int(trips[1]), len(kernels)


def main() -> None:
    """Compiles for every unrolling, prints a table and writes the record."""
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.gpu_kernels"), Console()
    if reason := unavailable():
        raise ValueError(f"{reason}: pip install 'lstm_jax[cuda-compile]'")
    rows, record = [], []
    for unroll in benchmark.unroll:
        for directions in (1, 2):
            xla_accelerator.UNROLL = unroll
            jax.clear_caches()
            shape = Shape(directions=directions)
            alone = compile_for_h100(shape, gradient=False)
            both = compile_for_h100(shape, gradient=True)
            total = both.forward + both.backward
            record.append(
                {
                    "unroll": unroll,
                    "directions": directions,
                    "forward": alone.forward,
                    "forward_and_backward": total,
                    "compile_seconds": both.compile_seconds,
                }
            )
            figures = (f"{alone.forward:.2f}", f"{total:.2f}", f"{both.compile_seconds:.1f}")
            rows.append((str(unroll), str(directions), *figures))
    headers = ("unroll", "directions", "forward", "forward +\nbackward", "compile,\nseconds")
    console.print(Sheet(headers, rows, "Kernels for each time step, on an H100"))
    write_record("gpu_kernels", {"kernels_a_step": record}, console)


if __name__ == "__main__":
    run_command(main)
