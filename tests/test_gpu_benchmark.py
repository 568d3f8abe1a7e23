"""The script for the day a GPU is at hand, at tiny sizes on this machine."""

import math
import shutil

from benchmarks.cases import Case
from benchmarks.gpu import CASES, WAYS, Benchmark, pytorch, sanitized, table, timed


def test_every_way_is_timed_or_says_why_not():
    for ragged, bidirectional in ((False, False), (True, True)):
        case = Case(3, 5, 4, 6, bidirectional=bidirectional, ragged=ragged)
        found = timed(case, Benchmark(rounds=1))
        assert set(found) == set(WAYS)
        for name, about in found.items():
            if "unavailable" in about:
                assert "cuDNN" in name or "fused kernel" in name
                continue
            for kind in ("forward", "forward_and_backward"):
                assert 0 < about[kind]["median_seconds"] < math.inf
        rows = table("tiny", case, found).rows
        assert [len(row) for row in rows] == [3] * len(WAYS)


def test_what_needs_a_gpu_or_a_program_says_so():
    found = pytorch(Case(3, 5, 4, 6), Benchmark(rounds=1))
    assert "unavailable" in found or found["forward"]["median_seconds"] > 0
    if shutil.which("compute-sanitizer") is None:
        assert sanitized("memcheck") == "unavailable: no compute-sanitizer"


def test_the_sizes_are_those_that_were_asked_for():
    assert {case.batch for case in CASES.values()} == {32, 64, 128, 256}
    assert {case.hidden for case in CASES.values()} == {100, 128, 256, 512}
    assert {case.directions for case in CASES.values()} == {1, 2}
