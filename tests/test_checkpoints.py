"""Checkpoints and weights: whole or absent, on any path, for any devices; damage is seen."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from lstm_jax.train import arrays
from lstm_jax.train.checkpoints import (
    Checkpoints,
    Progress,
    load_encoder,
    load_weights,
    save_weights,
)
from lstm_jax.train.losses import zero_totals
from lstm_jax.train.step import TrainState

ODD_NAMES = [
    *("run[1]", "[", "]", "a*b", "a?b", "100%20", "a#b", "a:b", "gs:", "s3:x", "file:", "a b"),
    *(" ", "-dash", "{}", "{run}", "~", "$HOME", "back\\slash", "it's", '"', "a\nb", "a\tb", "a|b"),
    *("schön", "映画", "\U0001f3ac", "a\udcff", "a.b", "x" * 250, "a.orbax-checkpoint-tmp"),
]


def params(seed: int = 0):
    rng = np.random.default_rng(seed)
    table = jnp.asarray(rng.normal(size=(7, 3)), jnp.float32)
    kernels = {"forward": jnp.asarray(rng.normal(size=(3, 8)), jnp.bfloat16)}
    return {"embedding": {"table": table}, "stack": {"layer_0": kernels}, "head": jnp.ones(3)}


def state(step: int) -> TrainState:
    here = params(step)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)).init(here)
    key = jax.random.key_data(jax.random.key(step))
    return TrainState(jnp.int32(step), key, here, optimizer, here, None, zero_totals())


def assert_same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert jax.tree.structure(found) == jax.tree.structure(expected)


def at(seconds: int) -> Progress:
    return Progress({}, float(seconds), 0.0)


def saved(folder: Path, *steps: int, keep: int = 3) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep)
    for step in steps:
        checkpoints.save(state(step), at(step))
    return checkpoints


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_any_path_of_the_file_system_holds_weights_and_checkpoints(name, tmp_path):
    run = tmp_path / name / name
    saved(run / "checkpoints", 4, 8)
    save_weights(run / "weights", params())
    assert {path.name for path in run.iterdir()} == {"checkpoints", "weights"}
    restored = Checkpoints(run / "checkpoints", 3).restore(state(0))
    assert restored is not None
    assert restored.progress == at(8)
    assert_same(restored.state, state(8))
    assert_same(load_weights(run / "weights", params), params())
    encoder = load_encoder(run / "weights")
    assert_same(encoder, {name: params()[name] for name in ("embedding", "stack")})


def test_a_neighbour_whose_name_fits_the_pattern_is_not_read(tmp_path):
    for seed, name in enumerate(["run1", "run?", "run[1]", "run*"]):
        save_weights(tmp_path / name / "weights", params(seed))
    for seed, name in enumerate(["run1", "run?", "run[1]", "run*"]):
        assert_same(load_weights(tmp_path / name / "weights", params), params(seed))


def test_a_path_that_cannot_be_reached_is_refused_before_training(tmp_path, monkeypatch):
    temporary = tmp_path / "[tmp]"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    Checkpoints(tmp_path / "run", 3)
    with pytest.raises(ValueError, match=r"TMPDIR must be a path of letters.*\[tmp\]'$"):
        Checkpoints(tmp_path / "run[1]", 3)
    assert list(temporary.iterdir()) == []


def test_as_many_checkpoints_are_kept_as_asked(tmp_path):
    assert saved(tmp_path, 2, 4, 6, 8, keep=2).steps == [8, 6]
    assert {path.name for path in tmp_path.iterdir()} == {"6", "8"}


def test_no_checkpoint_is_none(tmp_path):
    assert Checkpoints(tmp_path / "new", 3).restore(state(0)) is None


def damage(path: Path, rng: np.random.Generator) -> None:
    """Turns one bit of a file."""
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


def test_one_wrong_bit_anywhere_makes_a_checkpoint_be_skipped_and_said(tmp_path, rng):
    saved(tmp_path / "whole", 4, 8)
    files = [path for path in (tmp_path / "whole" / "8").rglob("*") if path.is_file()]
    files = [path.relative_to(tmp_path / "whole") for path in files if path.stat().st_size]
    assert len(files) >= 8
    for file in files:
        shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
        damage(tmp_path / "damaged" / file, rng)
        restored = Checkpoints(tmp_path / "damaged", 3).restore(state(0))
        assert restored is not None
        assert restored.progress == at(4)
        assert_same(restored.state, state(4))
        (why,) = restored.skipped
        assert str(tmp_path / "damaged" / "8") in why
        assert "files.sha256" in why
        shutil.rmtree(tmp_path / "damaged")


@pytest.mark.parametrize("file", ["progress.json", "files.sha256", "state/_METADATA", "state"])
def test_a_missing_file_makes_a_checkpoint_be_skipped(file, tmp_path):
    checkpoints = saved(tmp_path, 4, 8)
    missing = tmp_path / "8" / file
    shutil.rmtree(missing) if missing.is_dir() else missing.unlink()
    restored = checkpoints.restore(state(0))
    assert restored is not None
    assert restored.progress == at(4)
    assert "no such file" in restored.skipped[0]


def test_what_comes_after_a_damaged_checkpoint_takes_its_place(tmp_path, rng):
    checkpoints = saved(tmp_path, 4, 8, keep=2)
    damage(tmp_path / "8" / "progress.json", rng)
    checkpoints.save(state(6), at(6))
    assert checkpoints.steps == [6, 4]
    checkpoints.save(state(8), at(8))
    restored = checkpoints.restore(state(0))
    assert restored is not None
    assert (restored.progress, restored.skipped) == (at(8), ())


def test_where_no_checkpoint_is_whole_one_line_says_why(tmp_path, rng):
    checkpoints = saved(tmp_path, 4, 8)
    damage(tmp_path / "8" / "progress.json", rng)
    (tmp_path / "4" / "progress.json").unlink()
    with pytest.raises(
        ValueError, match=r"no checkpoint is whole \(.*8/progress.*4/prog"
    ) as caught:
        checkpoints.restore(state(0))
    assert "\n" not in str(caught.value)


def test_a_whole_checkpoint_of_another_model_is_refused_and_not_skipped(tmp_path):
    checkpoints = saved(tmp_path, 4, 8)
    other = state(0)._replace(params=params() | {"head": jnp.ones(4)})
    with pytest.raises(ValueError, match=r"8/state: .*head.* must be float32 of shape \(4,\), got"):
        checkpoints.restore(other)


# TensorStore's threads may still report when Orbax has given up and closed its event loop.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("file", ["_METADATA", "manifest.ocdbt", "d"])
def test_damaged_weights_are_refused_in_one_line(file, tmp_path, rng):
    weights = tmp_path / "weights"
    save_weights(weights, params())
    path = weights / file
    for each in path.iterdir() if path.is_dir() else [path]:
        each.write_bytes(rng.bytes(each.stat().st_size))
    for read in (lambda: load_weights(weights, params), lambda: load_encoder(weights)):
        with pytest.raises(ValueError, match="weights: cannot be read: ") as caught:
            read()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
    time.sleep(0.3)  # the reports are this test's, and not the next one's


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    save_weights(tmp_path / "weights", params())
    with pytest.raises(ValueError, match=r"weights: \['head'\] must be float32 of shape \(4,\)"):
        load_weights(tmp_path / "weights", lambda: params() | {"head": jnp.ones(4)})
    save_weights(tmp_path / "weights", {"head": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"must hold embedding, stack; missing: embedding, stack"):
        load_encoder(tmp_path / "weights")


def test_weights_that_are_not_written_as_they_are_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(
        arrays, "read_arrays", lambda folder, like: jax.tree.map(lambda array: array * 2, like)
    )
    with pytest.raises(OSError, match=r"embedding.*is not what was written.*weights'"):
        save_weights(tmp_path / "weights", params())
    assert list(tmp_path.iterdir()) == []


# A disk that is full.

FULL = "RESOURCE_EXHAUSTED: Failed to write 9 bytes: No space left on device [os_error_code='28']"


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path, monkeypatch, capfd):
    checkpoints = saved(tmp_path / "checkpoints", 4)
    save = ocp.Checkpointer.save

    def full(self, path, *arguments, **options):
        save(self, path, *arguments, **options)  # some of it is on the disk
        raise ValueError(FULL)

    monkeypatch.setattr(ocp.Checkpointer, "save", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/checkpoints/8/state'$") as one:
        checkpoints.save(state(8), at(8))
    with pytest.raises(OSError, match=r"No space left on device: '.*/weights'$") as two:
        save_weights(tmp_path / "weights", params())
    assert one.value.errno == two.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["4"]
    assert capfd.readouterr() == ("", "")
    monkeypatch.undo()
    checkpoints.save(state(8), at(8))
    assert checkpoints.steps == [8, 4]


@contextlib.contextmanager
def small_disk(path: Path, kibibytes: int):
    """A file system of a few KiB; only root may mount it."""
    path.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={kibibytes}k"]
    if not shutil.which("mount") or subprocess.run(["mount", *options, "tmpfs", path]).returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)  # some file may be open


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_disk_that_really_is_full_keeps_the_last_checkpoint(tmp_path, capfd):
    with small_disk(tmp_path / "disk", 400) as disk:
        checkpoints = saved(disk / "checkpoints", 4)
        before = {path.name for path in disk.rglob("*")}
        ballast = disk / "ballast"
        for room in (0, 4, 8, 16, 32):  # it is full at another moment each time
            ballast.write_bytes(b"\0")
            free = shutil.disk_usage(disk).free
            ballast.write_bytes(bytes(max(1, free - room * 1024)))
            with pytest.raises(OSError, match=r"No space left on device: '.*/8"):
                checkpoints.save(state(8), at(8))
            with pytest.raises(OSError, match=r"No space left on device: '.*weights"):
                save_weights(disk / "weights", params())
            ballast.unlink()
            assert {path.name for path in disk.rglob("*")} == before
        assert capfd.readouterr() == ("", "")
        checkpoints.save(state(8), at(8))
        restored = checkpoints.restore(state(0))
        assert restored is not None
        assert_same(restored.state, state(8))


# A kill.

SAVING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_checkpoints import Checkpoints, at, params, save_weights, state
folder = Path(sys.argv[1])
checkpoints, states = Checkpoints(folder / "checkpoints", 2), [state(step) for step in range(4)]
print("started", flush=True)
for step in range(10**6):
    checkpoints.save(states[step % 4]._replace(step=step), at(step))
    save_weights(folder / "weights", params())
"""


@pytest.mark.parametrize("milliseconds", [150, 450])
def test_a_kill_at_any_moment_leaves_whole_checkpoints_and_weights(milliseconds, tmp_path):
    command = [sys.executable, "-c", SAVING, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(milliseconds / 1000)
        process.kill()
    restored = Checkpoints(tmp_path / "checkpoints", 2).restore(state(0))
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} <= set(map(str, range(999)))
    if restored is not None:
        step = int(restored.progress.seconds)
        assert restored.skipped == ()
        assert_same(restored.state, state(step % 4)._replace(step=jnp.int32(step)))
    if (tmp_path / "weights").exists():
        assert_same(load_weights(tmp_path / "weights", params), params())
    save_weights(tmp_path / "weights", params(1))
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoints", "weights"}
