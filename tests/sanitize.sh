#!/bin/sh
# The compiled kernel's tests with GCC's address and undefined-behaviour sanitizers, odd sizes and
# all, in a copy of the source tree:   sh tests/sanitize.sh [pytest arguments]
# The one test that it leaves out limits memory, and the sanitizer ends a program that gets none.
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$source/lstm_jax" "$source/tests" "$source/setup.py" "$source/pyproject.toml" "$copy"
rm -f "$copy"/lstm_jax/kernels/*.so
cd "$copy"
touch README.md LICENSE
LSTM_JAX_SANITIZE=address,undefined python setup.py -q build_ext --inplace
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so) $(gcc -print-file-name=libstdc++.so)" \
ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 PYTHONPATH="$copy" \
    python -m pytest tests/test_cpu_kernel.py tests/test_kernel_memory.py -n 0 -p no:cacheprovider \
    --deselect tests/test_kernel_memory.py::test_memory_that_cannot_be_had_is_an_error_of_xla_and_no_crash "$@"
