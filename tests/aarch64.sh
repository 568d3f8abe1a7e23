#!/bin/sh
# The compiled kernel's tests on an emulated Arm processor, in a copy of the source tree:
#     sh tests/aarch64.sh [pytest arguments]
# Needs Debian's packages g++-aarch64-linux-gnu, qemu-user and python3-pip, on a Debian of the same
# release: the Python that runs the tests is its own for arm64, and so are the libraries. It stays
# in build/aarch64, or in $LSTM_JAX_AARCH64, and installs nothing else on this machine.
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
kept=${LSTM_JAX_AARCH64:-$source/build/aarch64}
root=$kept/root
python=$root/usr/bin/python

if [ ! -x "$python" ]; then
    mkdir -p "$kept/state/lists/partial" "$kept/cache/archives/partial" "$root"
    : > "$kept/status"
    cd "$kept"
    apt() {
        apt-get -qq -y -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
            -o Dir::State="$kept/state" -o Dir::State::status="$kept/status" \
            -o Dir::Cache="$kept/cache" "$@"
    }
    apt update
    apt install --download-only --no-install-recommends python3 libstdc++6
    for package in "$kept"/cache/archives/*.deb; do dpkg -x "$package" "$root"; done
    # The version of Python that the wheels are for; --platform takes no older system's by itself.
    version=$(ls "$root/usr/bin" | sed -n 's/^python\(3\.[0-9]*\)$/\1/p')
    python3 -m pip install -q --target "$root/usr/lib/python3/dist-packages" \
        --python-version "$version" --implementation cp --only-binary=:all: \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
        --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        "jax==0.10.*" jaxtyping pytest "setuptools>=77"
    # Tests start a Python of their own by the name of this one.
    cat > "$python" <<END
#!/bin/sh
exec qemu-aarch64 -L "$root" -0 "\$0" "$root/usr/bin/python$version" "\$@"
END
    chmod +x "$python"
fi

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$source/lstm_jax" "$source/tests" "$source/setup.py" "$source/pyproject.toml" "$copy"
rm -f "$copy"/lstm_jax/kernels/*.so
cd "$copy"
touch README.md LICENSE
CC=aarch64-linux-gnu-gcc CXX=aarch64-linux-gnu-g++ LDCXXSHARED="aarch64-linux-gnu-g++ -shared" \
    "$python" setup.py -q build_ext --inplace
export PYTHONPATH="$copy"
"$python" -c 'from lstm_jax.kernels import cpu; assert cpu.INSTRUCTION_SET == "neon", cpu.UNAVAILABLE'
# No options of pyproject.toml: they ask for plugins that are not installed there.
"$python" -m pytest -p no:cacheprovider -o addopts= tests/test_cpu_kernel.py \
    tests/test_kernel_memory.py tests/test_lstm.py -k "cpu or kernel" "$@"
