"""Files of weights with damage at random places: read, or refused in one line that names them."""

from pathlib import Path

import jax
import numpy as np
import pytest

from lstm_jax import Bidirectional, init_lstm
from lstm_jax.interop import read_safetensors, write_safetensors

onnx = pytest.importorskip("onnx")
pytest.importorskip("safetensors")

import test_onnx  # noqa: E402 - it imports onnx

from lstm_jax.interop.onnx_lstm import read_onnx  # noqa: E402

CASES = 400


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A file's bytes with a few changed, cut off, left out or repeated."""
    changed = bytearray(content)
    # The beginning says what the rest is: half of the damage is there.
    end = len(content) if rng.random() < 0.5 else min(len(content), 400)
    for _ in range(rng.integers(1, 4)):
        place, length = int(rng.integers(end)), int(rng.integers(1, 9))
        match int(rng.integers(6)):
            case 0:
                changed[place % len(changed)] ^= 1 << rng.integers(8)
            case 1:
                changed[place : place + length] = rng.bytes(length)
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place:place] = changed[place : place + length]
            case 4:
                changed[place % len(changed)] = int(rng.choice(list(b'0123456789-e{}[]":,')))
            case _:
                del changed[place:]
                changed += b"\0"
    return bytes(changed)


def check_all(path: Path, read, rng: np.random.Generator) -> None:
    """Reads a file with each damage; some are refused, and nothing else happens."""
    content, refused = path.read_bytes(), []
    for _ in range(CASES):
        path.write_bytes(damaged(content, rng))
        try:
            read(path)
        except ValueError as error:
            refused.append(str(error))
    for message in refused:
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        assert len(message) < 2_000
    assert len(refused) > CASES // 4
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=path.name):
        read(path)


def test_a_damaged_safetensors_file_is_refused_in_one_line(tmp_path, rng):
    layer = Bidirectional(*(init_lstm(jax.random.key(n), 3, 4) for n in range(2)))
    write_safetensors(tmp_path / "model.safetensors", (layer,), "encoder.")
    check_all(tmp_path / "model.safetensors", lambda path: read_safetensors(path, "encoder."), rng)


@pytest.mark.parametrize("kind", ["initializers", "nodes"])
def test_a_damaged_onnx_file_is_refused_in_one_line(kind, tmp_path, rng):
    model, _ = test_onnx.plain_model(rng, activations=["HardSigmoid", "Tanh", "Elu"], clip=1.5)
    if kind == "nodes":
        model = test_onnx.with_weights_from_nodes(model)
    onnx.save(model, tmp_path / "model.onnx")
    check_all(tmp_path / "model.onnx", read_onnx, rng)


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_safetensors(tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError):
        read_onnx(tmp_path / "model.onnx")


def test_a_file_of_weights_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "model.safetensors"
    write_safetensors(path, (init_lstm(jax.random.key(0), 3, 4),))
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*model\.safetensors"):
        write_safetensors(path, (init_lstm(jax.random.key(1), 3, 4),))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]
