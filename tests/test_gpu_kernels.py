"""What XLA makes of the LSTM for a GPU, compiled on any machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu_kernels import loops, unavailable

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benchmarks" / "results" / "gpu_kernels.json"

PROGRAM = """HloModule jit_f

%fused (a: f32[4], b: s32[]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  ROOT %add.1 = f32[4]{0} add(%a, %a)
}

%body.1 (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p = (s32[], f32[4]{0}) parameter(0)
  %get-tuple-element.1 = s32[] get-tuple-element(%p), index=0
  %gemm = (f32[4]{0}, s8[16]{0}) custom-call(%p), custom_call_target="__cublas$gemm"
  %loop_fusion = f32[4]{0} fusion(%gemm), kind=kLoop, calls=%fused
  %copy.2 = s32[] copy(%get-tuple-element.1)
  ROOT %tuple.1 = (s32[], f32[4]{0}) tuple(%copy.2, %loop_fusion)
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %while.1 = (s32[], f32[4]{0}) while(%x), condition=%c, body=%body.1, backend_config=KNOWN
  ROOT %out = f32[4]{0} get-tuple-element(%while.1), index=1
}
""".replace("KNOWN", '{"known_trip_count":{"n":"125"}}')


def test_kernels_of_a_loop_are_counted_and_nothing_else():
    assert list(loops(PROGRAM)) == [(125, 3)]


def test_the_record_has_at_most_six_kernels_a_step_of_the_articles_layer():
    found = json.loads(RECORD.read_text())["kernels_a_step"]
    (chosen,) = (each for each in found if (each["unroll"], each["directions"]) == (4, 1))
    assert chosen["forward_and_backward"] <= 6
    assert chosen["compile_seconds"] < 20


@pytest.mark.skipif(unavailable() is not None, reason=f"no CUDA compiler: {unavailable()}")
def test_an_h100_runs_at_most_six_kernels_a_step_forward_and_backward():
    program = """
import json
from dataclasses import asdict
from benchmarks.gpu_kernels import Shape, compile_for_h100
print(json.dumps(asdict(compile_for_h100(Shape(), gradient=True))))
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_PLATFORMS")}
    printed = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = json.loads(printed.splitlines()[-1])
    assert found["forward"] + found["backward"] <= 6
    assert found["compile_seconds"] < 20
