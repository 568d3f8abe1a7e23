"""score.py, the script that stands beside an exported model."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_export import FORMATS, ODD, random_run

from lstm_jax.interop import export


@pytest.mark.parametrize(("format", "needed"), [("onnx", "onnxruntime"), ("stablehlo", "jax")])
def test_the_script_imports_nothing_of_ours(format, needed, tmp_path):
    run = random_run()
    export.write_folder(run, tmp_path, format)
    program = (
        "import runpy, sys; runpy.run_path('score.py', run_name='__main__');"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", program, *ODD[2:4]],
        cwd=tmp_path,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, modules = done.stdout.splitlines()
    found = [list(json.loads(line)["probabilities"].values()) for line in lines]
    np.testing.assert_allclose(found, run.predict_proba(ODD[2:4]), atol=1e-5)
    loaded = set(modules.split())
    assert needed in loaded
    assert not loaded & ({"lstm_jax", "flax", "optax", "jax", "onnx"} - {needed})


@pytest.mark.parametrize("format", FORMATS)
def test_names_of_classes_are_data_and_not_code(format, tmp_path):
    names = ('"); import os; ("', "it's {x} \\", "\u00fcn\u00ef\n")
    run = random_run(classes=3)
    run.class_names = names
    export.write_folder(run, tmp_path, format)
    command = [sys.executable, "-I", str(tmp_path / "score.py"), "film"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    assert tuple(printed["probabilities"]) == names
    assert printed["label"] == names[int(run.predict_proba(["film"]).argmax())]


def run_score(folder: Path, *arguments: str, given: bytes = b"") -> list[dict]:
    """What the script prints, and nothing on standard error."""
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "score.py"), *arguments],
        input=given,
        capture_output=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "LC_ALL": "C"},
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_script_reads_arguments_a_file_and_standard_input(tmp_path):
    run = random_run()
    export.write_folder(run, tmp_path, "onnx")
    texts = ["film", "", "a very slow film", "schön", "\u6620\u753b <br /> \U0001f3ac", "-"]
    lines = "\ufeff" + "\r\n".join(texts)  # as an editor on Windows leaves it
    (tmp_path / "texts.txt").write_bytes(lines.encode())
    expected = run.predict_proba(texts)
    for printed in (
        run_score(tmp_path, *texts),
        run_score(tmp_path, "--file", str(tmp_path / "texts.txt")),
        run_score(tmp_path, "-", given=lines.encode()),
    ):
        assert [row["label"] for row in printed] == [
            run.class_names[label] for label in expected.argmax(1)
        ]
        found = [list(row["probabilities"].values()) for row in printed]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert run_score(tmp_path, "-") == []
    assert len(run_score(tmp_path, "-", given=b"good \xff film\n")) == 1


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("pad", ["front", "back"])
def test_any_number_of_texts_is_scored_in_order(format, pad, tmp_path, monkeypatch):
    run = random_run(pad=pad)
    export.write_folder(run, tmp_path, format)
    script = runpy.run_path(str(tmp_path / "score.py"))
    script["score"].__globals__.update(CHUNK=7, BATCH=3)
    texts = [ODD[n % len(ODD)] for n in range(23)]
    np.testing.assert_allclose(script["score"](iter(texts)), run.predict_proba(texts), atol=1e-5)
    np.testing.assert_allclose(script["score"]([""]), run.predict_proba([""]), atol=1e-5)
    assert script["score"]([]).shape == (0, 2)


# VmHWM is of this program alone; `ru_maxrss` starts at what its parent had when it made it.
MEASURED = """
import runpy, sys
sys.argv = ["score.py", "-"]
runpy.run_path("score.py", run_name="__main__")
with open("/proc/self/status") as status:
    print(status.read().split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


def test_60000_questions_are_scored_in_the_memory_of_a_thousand(tmp_path):
    run = random_run(model={"hidden_size": 16, "direction": "forward"}, max_length=24)
    export.write_folder(run, tmp_path, "onnx")
    texts = [f"the film is {word}, a very good plot" * 2 for word in ("slow", "good", "bad")]
    needed = []
    for count in (1_000, 60_000):
        done = subprocess.run(
            [sys.executable, "-I", "-c", MEASURED],
            input="\n".join(texts[n % 3] for n in range(count)),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert len(done.stdout.splitlines()) == count
        needed.append(int(done.stderr) / 1024)  # MiB
    # A thousand take 200 to 550 MiB, as the allocator has it; 60,000 in one batch took 15,700.
    assert needed[0] < 800
    assert needed[1] < needed[0] + 50


def test_the_script_ends_quietly_when_its_output_is_cut(tmp_path):
    export.write_folder(random_run(), tmp_path, "onnx")
    command = [sys.executable, "-I", str(tmp_path / "score.py"), "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.write(b"film\n" * 5_000)
        process.stdin.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0
