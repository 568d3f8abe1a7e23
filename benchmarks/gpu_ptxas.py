"""What nvcc makes of the GPU kernel: `python -m benchmarks.gpu_ptxas`.

Registers, spills and shared memory of each of its functions, for each generation of GPUs. It needs
nvcc and no GPU, and times nothing.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import os
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import tyro
from jax.ffi import include_dir
from rich.console import Console

from benchmarks.harness import RESULTS, write_record
from lstm_jax.cli.program import run_command
from lstm_jax.console import Sheet

SOURCE = Path(__file__).parents[1] / "lstm_jax" / "kernels" / "lstm_gpu.cu"
RECORD = RESULTS / "gpu_ptxas.json"
# Bytes of shared memory that a block may have. Source: CUDA C++ Programming Guide, table of
# technical specifications per compute capability.
LIMITS = {80: 166912, 90: 232448, 100: 232448}
_NAME = re.compile(r"block_ofINS_\d(Forward|Backward)INS_\d(Float32|Bfloat16)ELi(\d)")


@dataclass(frozen=True)
class Benchmark:
    """What to compile for."""

    architectures: tuple[int, ...] = tuple(LIMITS)
    """Compute capabilities, times ten."""


@dataclass(frozen=True)
class Function:
    """A function of the library, as ptxas compiled it.

    Attributes:
        architecture: compute capability, times ten.
        kernel, weights, rows: which of the functions it is.
        registers: of each thread.
        spills: bytes of registers that are kept in memory, stored and loaded, and of its stack.
        static_shared: bytes of shared memory that it has beside what a launch asks for.
    """

    architecture: int
    kernel: str
    weights: str
    rows: int
    registers: int
    spills: int
    static_shared: int


def unavailable() -> str | None:
    """Why nothing can be compiled for a GPU here, if so."""
    return None if shutil.which("nvcc") else "nvcc is not installed"


def compile_kernels(architecture: int) -> list[Function]:
    """Compiles every function of the kernel for one generation of GPUs."""
    with TemporaryDirectory() as folder:
        command = ["nvcc", "-std=c++20", "-O3", "-cubin", f"-arch=sm_{architecture}"]
        command += ["-Xptxas=-v", "-isystem", include_dir(), str(SOURCE)]
        done = subprocess.run(
            [*command, "-o", str(Path(folder) / "kernel.cubin")],
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
    if done.returncode:
        raise ValueError(f"nvcc cannot compile for sm_{architecture}: {done.stderr[-2000:]}")
    return functions(architecture, done.stderr)


def functions(architecture: int, said: str) -> list[Function]:
    """What ptxas says of each function when it is asked to be verbose."""
    found = []
    for part in said.split("Compiling entry function")[1:]:
        name = _NAME.search(part)
        if name is None:
            continue
        frame = map(int, re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads)", part))
        registers = re.search(r"Used (\d+) registers", part)
        assert registers is not None
        shared = re.search(r"(\d+) bytes smem", part)
        found.append(
            Function(
                architecture,
                name[1].lower(),
                name[2].lower(),
                int(name[3]),
                int(registers[1]),
                sum(frame),
                int(shared[1]) if shared else 0,
            )
        )
    return sorted(found, key=lambda each: (each.kernel, each.weights, each.rows))


def build_for_cpu(path: Path, *flags: str) -> None:
    """Makes a library of the same source that runs on a CPU, for $LSTM_JAX_GPU_HOST_LIBRARY.

    Args:
        path: of the library.
        flags: more of them for the C++ compiler, $CXX or g++.
    """
    command = [os.environ.get("CXX", "g++"), "-x", "c++", "-std=c++20", "-O2", "-fPIC", "-shared"]
    command += [*flags, "-isystem", include_dir(), str(SOURCE), "-o", str(path)]
    subprocess.run(command, check=True)


def main() -> None:
    """Compiles for every generation, prints a table and writes the record."""
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.gpu_ptxas"), Console()
    if reason := unavailable():
        raise ValueError(f"{reason}: install the CUDA toolkit")
    found = [each for n in benchmark.architectures for each in compile_kernels(n)]
    rows = [
        (
            f"sm_{of.architecture}",
            of.kernel,
            of.weights,
            *map(str, (of.rows, of.registers, of.spills)),
        )
        for of in found
    ]
    headers = ("", "kernel", "weights", "rows", "registers", "spilled,\nbytes")
    console.print(Sheet(headers, rows, "The GPU kernel, as ptxas compiled it"))
    version = subprocess.run(
        ["nvcc", "--version"], capture_output=True, text=True, encoding="utf-8", check=True
    ).stdout
    release = re.search(r"release ([\d.]+)", version)
    content = {"nvcc": release[1] if release else "", "functions": [asdict(of) for of in found]}
    write_record("gpu_ptxas", content, console)


if __name__ == "__main__":
    run_command(main)
