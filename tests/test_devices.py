"""Eight devices compute what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import across
import numpy as np
import pytest

TESTS = Path(__file__).parent

PROGRAM = """
import json, sys
from dataclasses import replace
from pathlib import Path
import jax, small
config = replace(small.CONFIG, train=replace(small.CONFIG.train, batch_size=12, log_every=1))
result = small.train(config, small.corpus(), Path(sys.argv[1]))
print(json.dumps({"devices": len(jax.devices()), **result.to_json()}))
"""


def run_program(program: str, *arguments: Path, devices: int) -> str:
    """What a program prints that has as many devices."""
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
    }
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(path: Path, devices: int) -> tuple[dict, list[dict]]:
    output = run_program(PROGRAM, path, devices=devices)
    records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return json.loads(output.splitlines()[-1]), records


def test_eight_devices_have_the_losses_of_one_and_count_each_example_once(tmp_path):
    one, one_records = run(tmp_path / "one", 1)
    eight, eight_records = run(tmp_path / "eight", 8)
    assert (one["devices"], eight["devices"]) == (1, 8)
    losses = [
        [r["loss"] for r in records if "loss" in r] for records in (one_records, eight_records)
    ]
    assert len(losses[0]) == one["steps"]
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-5)
    for part, name in (("validation", "loss"), ("test", "loss"), ("test", "accuracy")):
        assert eight[part][name] == pytest.approx(one[part][name], abs=1e-5)
    assert eight["test"]["examples"] == one["test"]["examples"] == 30


def test_a_run_is_opened_exported_and_started_from_on_any_number_of_devices(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    across.train(one)
    program = (TESTS / "across.py").read_text()
    of_two, of_one = json.loads(run_program(program, two, one, devices=2).splitlines()[-1])
    across.use(two, tmp_path / "used_here")
    for path, there in ((one, of_one), (two, of_two)):
        here = across.said(path)
        assert (here["devices"], there["devices"]) == (1, 2)
        assert here["loss"] == pytest.approx(there["loss"], abs=1e-6)
        np.testing.assert_allclose(here["probabilities"], there["probabilities"], atol=1e-6)
