"""Builds the compiled kernels where there are compilers; all else is in pyproject.toml.

The CPU kernel's arithmetic is compiled once for each instruction set of this kind of processor, and
the library chooses when it is loaded; a set that the compiler does not know is left out. The GPU
kernel needs nvcc, and no GPU. Without a working compiler the installation goes on and the kernel is
left out: `lstm_jax.implementations()` then says so.
"""

import os
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jax.ffi import include_dir
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"]
MACHINE = platform.machine().lower()
if MACHINE in ("aarch64", "arm64"):
    INSTRUCTION_SETS = {"neon": []}  # every such processor has it
elif MACHINE in ("x86_64", "amd64"):
    INSTRUCTION_SETS = {
        "plain": [],
        "avx2": AVX2,
        "avx512": AVX512,
        "avx512bf16": [*AVX512, "-mavx512bf16"],
    }
else:
    INSTRUCTION_SETS = {"plain": []}
BASE = next(iter(INSTRUCTION_SETS))
FLAGS = ["-std=c++20", "-O3", "-ffp-contract=fast"]
LINK_FLAGS = []
if platform.system() == "Darwin":
    # Python may be built for two kinds of processors at once, and the sets are those of one.
    LINK_FLAGS += ["-arch", platform.machine()]
    # As JAX's own wheels. The threads' `std::atomic::wait` is not in an older system's library.
    os.environ.setdefault("MACOSX_DEPLOYMENT_TARGET", "11.0")
FLAGS += LINK_FLAGS
SANITIZE = os.environ.get("LSTM_JAX_SANITIZE")  # such as "address,undefined"; see tests/sanitize.sh
if SANITIZE:
    FLAGS += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=undefined", "-g", "-O1"]
    LINK_FLAGS += [f"-fsanitize={SANITIZE}"]

GPU = "lstm_jax.kernels._lstm_gpu"
# A100, H100 and H200, B200; others of the same generations run these, and later ones the last.
GPU_ARCHITECTURES = (80, 90, 100)


def find_nvcc() -> str | None:
    """The CUDA compiler: $LSTM_JAX_NVCC, the one of $CUDA_HOME, or the first in the PATH."""
    for variable, rest in (("LSTM_JAX_NVCC", ""), ("CUDA_HOME", "bin/nvcc")):
        if given := os.environ.get(variable):
            return shutil.which(os.path.join(given, rest) if rest else given)
    return shutil.which("nvcc")


def nvcc_command(nvcc: str, output: str) -> list[str]:
    """Compiles the GPU kernel into a library that needs a driver and nothing else of CUDA."""
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=False)
    known = [n for n in GPU_ARCHITECTURES if f"compute_{n}" in listed.stdout.split()]
    codes = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in known]
    codes += [f"-gencode=arch=compute_{n},code=compute_{n}" for n in known[-1:]]
    flags = ["-std=c++20", "-O3", "--threads=0", "-shared", "-cudart=static", "-Xcompiler=-fPIC"]
    source = "lstm_jax/kernels/lstm_gpu.cu"
    return [nvcc, *flags, *codes, "-isystem", include_dir(), source, "-o", output]


class BuildKernel(build_ext):
    """Compiles lstm_cpu_tile.cc for all sets at once before linking it to the rest."""

    def build_extension(self, ext: Extension) -> None:
        if ext.name == GPU:
            return self.build_gpu(ext)

        def objects(name: str) -> list[str] | None:
            try:
                return self.compiler.compile(
                    ["lstm_jax/kernels/lstm_cpu_tile.cc"],
                    output_dir=os.path.join(self.build_temp, name),
                    macros=[("LSTM_ISA", name)],
                    extra_postargs=[*FLAGS, *INSTRUCTION_SETS[name]],
                    depends=ext.depends,
                )
            except CompileError:
                if name == BASE:
                    raise
                return None

        with ThreadPoolExecutor() as pool:  # each waits for a compiler of its own
            for name, compiled in zip(
                INSTRUCTION_SETS, pool.map(objects, INSTRUCTION_SETS), strict=True
            ):
                if compiled is not None:
                    ext.extra_objects += compiled
                    ext.define_macros.append((f"LSTM_HAS_{name.upper()}", None))
        return super().build_extension(ext)

    def build_gpu(self, ext: Extension) -> None:
        """Leaves the kernel out where nvcc fails, as `optional` does where a C++ compiler fails."""
        nvcc, output = find_nvcc(), self.get_ext_fullpath(ext.name)
        if nvcc is None:
            raise CompileError("no nvcc was found")
        os.makedirs(os.path.dirname(output), exist_ok=True)
        command = nvcc_command(nvcc, output)
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise CompileError(str(error)) from error
        if done.returncode:
            raise CompileError(done.stderr[-2000:])


setup(
    ext_modules=[
        Extension(
            "lstm_jax.kernels._lstm_cpu",
            ["lstm_jax/kernels/lstm_cpu.cc"],
            depends=[str(path) for path in Path("lstm_jax/kernels").glob("lstm_cpu*")],
            # The headers are XLA's own: warnings in them are not ours to act on.
            extra_compile_args=[*FLAGS, "-isystem", include_dir()],
            extra_link_args=LINK_FLAGS,
            language="c++",
            optional=True,
        ),
        *([Extension(GPU, ["lstm_jax/kernels/lstm_gpu.cu"], optional=True)] if find_nvcc() else []),
    ],
    cmdclass={"build_ext": BuildKernel},
)
