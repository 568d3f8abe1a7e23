"""Builds the compiled CPU kernel where there is a C++ compiler; all else is in pyproject.toml.

Its arithmetic is compiled once for each instruction set that it knows, and the library chooses
when it is loaded. Without a working compiler the installation goes on and the kernel is left out:
`lstm_jax.implementations()` then says so.
"""

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jax.ffi import include_dir
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"]
INSTRUCTION_SETS = {"plain": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    INSTRUCTION_SETS |= {
        "avx2": AVX2,
        "avx512": AVX512,
        "avx512bf16": [*AVX512, "-mavx512bf16"],
    }
FLAGS = ["-std=c++20", "-O3", "-ffp-contract=fast"]
SANITIZE = os.environ.get("LSTM_JAX_SANITIZE")  # such as "address,undefined"; see tests/sanitize.sh
if SANITIZE:
    FLAGS += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=undefined", "-g", "-O1"]


class BuildKernel(build_ext):
    """Compiles lstm_cpu_tile.cc for all sets at once before linking it to the rest."""

    def build_extension(self, ext: Extension) -> None:
        def objects(name: str) -> list[str]:
            return self.compiler.compile(
                ["lstm_jax/kernels/lstm_cpu_tile.cc"],
                output_dir=os.path.join(self.build_temp, name),
                macros=[("LSTM_ISA", name)],
                extra_postargs=[*FLAGS, *INSTRUCTION_SETS[name]],
                depends=ext.depends,
            )

        with ThreadPoolExecutor() as pool:  # each waits for a compiler of its own
            for compiled in pool.map(objects, INSTRUCTION_SETS):
                ext.extra_objects += compiled
        super().build_extension(ext)


setup(
    ext_modules=[
        Extension(
            "lstm_jax.kernels._lstm_cpu",
            ["lstm_jax/kernels/lstm_cpu.cc"],
            depends=[str(path) for path in Path("lstm_jax/kernels").glob("lstm_cpu*")],
            # The headers are XLA's own: warnings in them are not ours to act on.
            extra_compile_args=[*FLAGS, "-isystem", include_dir()],
            extra_link_args=[f"-fsanitize={SANITIZE}"] if SANITIZE else [],
            define_macros=[("LSTM_X86_SETS", None)] if len(INSTRUCTION_SETS) > 1 else [],
            language="c++",
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernel},
)
