"""Files are whole or absent, and JSON that is wrong is refused in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic.dataclasses import dataclass

from lstm_jax import files


@dataclass(frozen=True)
class Sizes:
    name: str
    examples: dict[str, int]


def test_a_written_file_is_read_back(tmp_path: Path):
    path = tmp_path / "new" / "sizes.json"
    files.write_json(path, {"name": "schön", "examples": {"train": 3}})
    assert files.read_json(path, Sizes) == Sizes("schön", {"train": 3})
    assert [file.name for file in path.parent.iterdir()] == ["sizes.json"]


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "sizes.json"
    files.write_text(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*sizes\.json"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"name": "a", "examples": {"train": "many"}}',
            r"sizes\.json: examples\.train must be a whole number, got 'many'",
        ),
        (b'{"name": "a"}', r"sizes\.json: examples is missing"),
        (b'{"name": ', r"sizes\.json: not JSON, "),
        (b"\xff\xfe", r"sizes\.json: not JSON, "),
        (b"", r"sizes\.json: not JSON, "),
        (b"[1, 2]", r"sizes\.json: must be an object, got \[1, 2\]"),
    ],
)
def test_json_of_another_kind_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "sizes.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        files.read_json(path, Sizes)
    assert "\n" not in str(caught.value)
    assert "http" not in str(caught.value)


def test_a_name_that_is_not_utf_8_is_refused_in_one_line(tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"data\.json: text and names must be UTF-8, got .*a.udcff"
    ):
        files.write_json(tmp_path / "data.json", {"command": "train runs/a\udcff"})
    assert list(tmp_path.iterdir()) == []


def test_json_has_no_nan(tmp_path: Path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "result.json", {"auc": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path: Path):
    def write_half() -> None:
        with files.new_folder(tmp_path / "shipped") as folder:
            (folder / "model").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert list(tmp_path.iterdir()) == []
    with files.new_folder(tmp_path / "shipped") as folder:
        (folder / "model").write_text("whole")
        assert not (tmp_path / "shipped").exists()
    assert (tmp_path / "shipped" / "model").read_text() == "whole"
    with pytest.raises(ValueError, match="exists already"), files.new_folder(tmp_path / "shipped"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["shipped"]


def test_a_checksum_sees_contents_and_names(tmp_path: Path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    first = files.sha256(tmp_path)
    (tmp_path / "b").rename(tmp_path / "c")
    renamed = files.sha256(tmp_path)
    (tmp_path / "c").write_text("3")
    assert len({first, renamed, files.sha256(tmp_path)}) == 3


def test_a_new_folder_takes_the_place_of_an_empty_one(tmp_path: Path):
    (tmp_path / "shipped").mkdir()
    with files.new_folder(tmp_path / "shipped") as folder:
        (folder / "model").write_text("whole")
    assert (tmp_path / "shipped" / "model").read_text() == "whole"


@pytest.mark.parametrize("name", ["run[1]", "x" * 250, "映" * 80, "a\nb"], ids=ascii)
def test_what_a_killed_process_had_begun_is_gone_when_the_name_is_written_again(
    tmp_path: Path, name: str
):
    living = os.getppid()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    for number in (process.pid, os.getpid(), living):
        (tmp_path / f".{name[:50]}.{number}.partial").mkdir()
        (tmp_path / f".other.{number}.partial").write_text("half")
    files.write_text(tmp_path / name, "whole")
    assert {path.name for path in tmp_path.iterdir()} == {
        name,
        f".{name[:50]}.{living}.partial",
        *(f".other.{number}.partial" for number in (process.pid, os.getpid(), living)),
    }
    files.remove_abandoned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        name,
        f".{name[:50]}.{living}.partial",
        f".other.{living}.partial",
    }


def test_an_error_names_the_folder_and_not_what_it_is_called_meanwhile(tmp_path: Path):
    with (
        pytest.raises(FileNotFoundError, match=r"directory: '.*/shipped/missing/model'$"),
        files.new_folder(tmp_path / "shipped") as folder,
    ):
        (folder / "missing" / "model").write_text("")


def test_checksums_name_the_file_that_changed(tmp_path: Path):
    (tmp_path / "below").mkdir()
    for name in ("a", "below/b"):
        (tmp_path / name).write_text(name)
    files.write_checksums(tmp_path)
    files.verify_checksums(tmp_path)
    assert (tmp_path / "files.sha256").read_text().splitlines()[0] == (
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a"
    )
    (tmp_path / "below/b").write_text("c")
    with pytest.raises(ValueError, match=r"below/b: its checksum is not the one in files.sha256$"):
        files.verify_checksums(tmp_path)
    (tmp_path / "below/b").unlink()
    with pytest.raises(ValueError, match=r"below/b: no such file, but files.sha256 lists it$"):
        files.verify_checksums(tmp_path)
    (tmp_path / "below/b").write_text("below/b")
    (tmp_path / "new").write_text("")
    with pytest.raises(ValueError, match=r"new: its checksum is not the one in files.sha256$"):
        files.verify_checksums(tmp_path)
