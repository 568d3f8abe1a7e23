"""`evaluate`, `compare` and `inspect`, as a user types them; the program's own options."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small

from lstm_jax import cli
from lstm_jax.cli import commands
from lstm_jax.reports import MISTAKES, REPORT

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with two runs, one of other classes, and a file of labelled texts."""
    folder, corpus = tmp_path_factory.mktemp("runs"), small.corpus()
    assert corpus.test is not None
    small.train(small.CONFIG, corpus, folder / "good")
    one = replace(small.CONFIG.train, epochs=1, validation_fraction=0.0)
    poor = replace(small.CONFIG, train=one, model=replace(small.CONFIG.model, hidden_size=1))
    small.train(poor, corpus, folder / "poor")
    small.train(poor, small.corpus(classes=3), folder / "three")
    rows = zip(corpus.test.texts, corpus.test.labels, strict=True)
    lines = [f"{text},{corpus.class_names[label]}" for text, label in rows]
    (folder / "test.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return folder


def typed(monkeypatch, capsys, *words) -> str:
    """What a command prints on standard output; elsewhere, at most how the file was read."""
    monkeypatch.setattr(sys, "argv", ["lstm-jax", *map(str, words)])
    cli.main()
    output = capsys.readouterr()
    read = r".*test\.csv: UTF-8, .*, text in 'text', label in 'label'\n"
    assert re.fullmatch(f"({read})?", output.err)
    return output.out


def refused(monkeypatch, capsys, *words) -> str:
    """What is said of a wrong command line."""
    monkeypatch.setattr(sys, "argv", ["lstm-jax", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("lstm-jax: ")


def test_evaluate_says_the_result_first_and_writes_a_report(runs, tmp_path, monkeypatch, capsys):
    words = ("evaluate", runs / "good", runs / "test.csv")
    out = typed(monkeypatch, capsys, *words, "--report", tmp_path / "report")
    lines = out.splitlines()
    assert re.match(r"Accuracy on 30 texts of test.csv: \d+\.\d% \(95% interval: ", lines[0])
    assert f"See {tmp_path / 'report' / REPORT} and {tmp_path / 'report' / MISTAKES}" in lines
    page = (tmp_path / "report" / REPORT).read_text(encoding="utf-8")
    assert "<h2>Training</h2>" in page
    assert "30 texts of test.csv" in page


def test_quiet_leaves_one_line_and_json_one_object(runs, monkeypatch, capsys):
    words = ("evaluate", runs / "good", runs / "test.csv")
    whole = typed(monkeypatch, capsys, *words)
    assert typed(monkeypatch, capsys, *words, "--quiet") == whole.splitlines()[0] + "\n"
    found = json.loads(typed(monkeypatch, capsys, *words, "--json", "--quiet"))
    low, high = found["accuracy_interval"]
    assert low < found["accuracy"] <= high
    assert [each["class"] for each in found["classes"]] == ["class 0", "class 1"]
    assert np.sum(found["confusion"]) == found["examples"] == 30


def test_compare_says_which_run_is_better_and_where_they_differ(
    runs, tmp_path, monkeypatch, capsys
):
    words = ("compare", runs / "poor", runs / "good", "--data", runs / "test.csv")
    out = typed(monkeypatch, capsys, *words, "--report", tmp_path)
    assert out.startswith(f"On 30 texts of test.csv, {runs / 'good'} is the most accurate, ")
    assert "They differ on" in out
    assert f"{runs / 'good'}: right" in out
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert str(runs / "poor") in page
    assert len((tmp_path / "differences.csv").read_text(encoding="utf-8").splitlines()) > 3
    quiet = typed(monkeypatch, capsys, *words, "--quiet")
    assert re.fullmatch(rf"{runs / 'good'}: \d+\.\d%\n", quiet)
    found = json.loads(typed(monkeypatch, capsys, *words, "--json"))
    assert found["best"] == str(runs / "good")
    (pair,) = found["differences"]
    accuracies = {each["run"]: each["accuracy"] for each in found["runs"]}
    difference = accuracies[str(runs / "good")] - accuracies[str(runs / "poor")]
    assert pair["accuracy_difference"] == pytest.approx(difference)
    assert pair["only_run_right"] - pair["only_other_right"] == round(30 * difference)


def test_runs_that_cannot_be_compared_get_one_line(runs, monkeypatch, capsys):
    data = ("--data", runs / "test.csv")
    line = refused(monkeypatch, capsys, "compare", runs / "good", runs / "three", *data)
    assert line == (
        f"RUNS must have the same classes, got {runs / 'good'} with 2 and {runs / 'three'} with 3:"
        " only one has 'class 2'"
    )
    for words in ((runs / "good",), (runs / "good", runs / "good"), ()):
        line = refused(monkeypatch, capsys, "compare", *words, *data)
        assert line.startswith("RUNS must be two or more different folders")


def test_inspect_says_what_a_run_is(runs, monkeypatch, capsys):
    out = typed(monkeypatch, capsys, "inspect", runs / "good")
    assert out.startswith(f"{runs / 'good'}: a classifier of 2 classes, finished\n")
    assert "80 train, 20 validation, 30 test" in out
    assert "'class 0', 'class 1'" in out
    assert "model.hidden_size 8 (default 100)" in out
    assert "text.pad" not in out, "it is the default"
    assert "result.json (" in out
    found = json.loads(typed(monkeypatch, capsys, "inspect", runs / "good", "--json"))
    assert found["settings"]["train.epochs"] == {"value": 5, "default": 4}
    assert (found["finished"], found["epochs"], found["seed"]) == (True, 5, 0)
    assert (
        found["test"]["accuracy"]
        == json.loads((runs / "good" / "result.json").read_text(encoding="utf-8"))["test"][
            "accuracy"
        ]
    )


def test_inspect_knows_a_run_that_is_not_finished(tmp_path, monkeypatch, capsys):
    small.train(small.CONFIG, small.corpus(), tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    out = typed(monkeypatch, capsys, "inspect", tmp_path / "run")
    assert out.startswith(f"{tmp_path / 'run'}: a classifier of 2 classes, not finished\n")
    assert f"5 epochs so far; lstm-jax train --resume {tmp_path / 'run'} goes on" in out
    found = json.loads(typed(monkeypatch, capsys, "inspect", tmp_path / "run", "--json"))
    assert found["finished"] is False


def test_inspect_refuses_what_is_no_run_or_was_changed(runs, tmp_path, monkeypatch, capsys):
    line = refused(monkeypatch, capsys, "inspect", tmp_path)
    assert line == f"RUN must be a folder with a run in it; {tmp_path} has none"
    small.train(small.CONFIG, small.corpus(), tmp_path / "run")
    path = tmp_path / "run" / "result.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    line = refused(monkeypatch, capsys, "inspect", tmp_path / "run")
    assert line == f"{path}: not as the run wrote it"


# The program.


def test_the_version_is_said_without_loading_what_is_slow():
    code = "import sys; sys.argv[1:] = ['--version']\nfrom lstm_jax.__main__ import main\nmain()\n"
    code += "assert not {'jax', 'numpy', 'tyro', 'rich'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    assert re.fullmatch(rf"lstm-jax \S+ \(jax [\d.]+\S*, {python}\)\n", done.stdout)


def test_the_program_is_installed_by_its_name():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["scripts"][commands.PROGRAM].partition(":")
    assert callable(getattr(__import__(module, fromlist=[name]), name))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_every_command_and_its_options(shell, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lstm-jax", "completion", shell])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code
    script = capsys.readouterr().out
    assert [name for name in commands.COMMANDS if name not in script] == []
    assert "lstm-jax" in script
    assert "train.batch-size" in script


def test_bash_completes_a_command():
    program = "from lstm_jax.__main__ import main; main()"
    words = [sys.executable, "-c", program, "completion", "bash"]
    script = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True).stdout
    ask = "\nCOMP_WORDS=(lstm-jax ev)\nCOMP_CWORD=1\nCOMP_LINE='lstm-jax ev'\nCOMP_POINT=11\n"
    ask += "$(complete -p lstm-jax | sed 's/.*-F \\([^ ]*\\).*/\\1/')\necho \"${COMPREPLY[@]}\"\n"
    done = subprocess.run(
        ["bash", "-c", script + ask], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["evaluate"]
