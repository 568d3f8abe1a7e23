"""The session of docs/tutorial/own-file.md: its files are what it says, and so is its output."""

import importlib.util
import re
from pathlib import Path

from lstm_jax.data import load_corpus

FOLDER = Path(__file__).parents[1] / "docs" / "tutorial"
PAGE = (FOLDER / "own-file.md").read_text(encoding="utf-8")


def program(name):
    """A program of the folder as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(command):
    """The output below a command of the page, on one line."""
    (block,) = (
        each for each in program("record").BLOCK.finditer(PAGE) if command in each["command"]
    )
    return " ".join(block["output"].split())


def test_the_files_are_what_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program("messages").write_files(tmp_path)
    assert (tmp_path / "messages.csv").read_bytes().startswith(b"\xef\xbb\xbfid;received;message;")
    corpus = load_corpus("messages.csv", test_path="test.csv")
    assert (len(corpus.train), len(corpus.class_names)) == (1497, 5)
    for command in ("check messages.csv", "train messages.csv"):
        for line in (*corpus.notes, f"warning: {corpus.warnings[0]}"):
            assert line in shown(command)
    lines = re.findall(r"line (\d+)", corpus.warnings[0])
    assert re.findall(r"in line (\d+)", PAGE) == lines
    assert len(lines) == 3


def test_every_command_of_the_session_is_recorded_and_took_less_than_two_minutes():
    blocks = list(program("record").BLOCK.finditer(PAGE))
    words = {tuple(block["command"].split()[:2]) for block in blocks}
    commands = {f"lstm-jax {name}" for name in ("check", "train", "evaluate", "predict", "export")}
    assert commands <= {" ".join(each) for each in words}
    assert all(block["output"] for block in blocks if "messages.py" not in block["command"])
    assert max(max(map(len, block["output"].splitlines()), default=0) for block in blocks) <= 80
    seconds = re.findall(r"^\| `lstm-jax .*` \| (\d+) \|$", PAGE, re.MULTILINE)
    assert len(seconds) == sum("lstm-jax" in block["command"] for block in blocks)
    assert max(map(int, seconds)) < 120


def test_a_session_is_recorded_as_a_terminal_shows_it():
    record = program("record")
    text = "".join(f"epoch {n}  loss\n  more\n" for n in range(1, 13))
    kept = record.shortened(f"before\n{text}after\n").splitlines()
    assert kept[:5] == ["before", "epoch 1  loss", "  more", "epoch 2  loss", "  more"]
    assert kept[5:] == ["...", "epoch 11  loss", "  more", "epoch 12  loss", "  more", "after"]
