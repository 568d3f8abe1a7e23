#!/bin/sh
# The compiled kernels' tests with GCC's address and undefined-behaviour sanitizers, odd sizes and
# all, in a copy of the source tree:   sh tests/sanitize.sh [pytest arguments]
# First those of the CPU kernel, then the contract on the GPU kernel's source as built for a CPU.
# The one test that it leaves out limits memory, and the sanitizer ends a program that gets none.
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$source/lstm_jax" "$source/tests" "$source/setup.py" "$source/pyproject.toml" "$copy"
rm -f "$copy"/lstm_jax/kernels/*.so
cd "$copy"
touch README.md LICENSE
LSTM_JAX_SANITIZE=address,undefined LSTM_JAX_NVCC=none python setup.py -q build_ext --inplace
host=$copy/lstm_gpu_host.so
g++ -x c++ -std=c++20 -O1 -g -fPIC -shared -fsanitize=address,undefined -fno-sanitize-recover=undefined \
    -isystem "$(python -c 'from jax.ffi import include_dir; print(include_dir())')" \
    lstm_jax/kernels/lstm_gpu.cu -o "$host"
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so) $(gcc -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 PYTHONPATH="$copy"
LSTM_JAX_GPU_HOST_LIBRARY="$host" python -m pytest tests/test_lstm.py tests/test_empty.py -k gpu \
    -n 0 -p no:cacheprovider
python -m pytest tests/test_cpu_kernel.py tests/test_kernel_memory.py -n 0 -p no:cacheprovider \
    --deselect tests/test_kernel_memory.py::test_memory_that_cannot_be_had_is_an_error_of_xla_and_no_crash "$@"
