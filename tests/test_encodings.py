"""Every file is UTF-8, whatever the locale says, and no output ends a command."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_jax

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for folder in ("lstm_jax", "experiments", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
]


def opens_text_by_locale(call: ast.Call) -> bool:
    """Whether a call opens a file, or reads a process, in the encoding of the locale."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    name = ast.unparse(call.func)
    if "encoding" in given:
        return False
    if name.endswith((".read_text", ".write_text")):
        return not name.startswith("files.")
    if name.rpartition(".")[2] in ("run", "Popen", "check_output") and "subprocess" in name:
        return "text" in given or "universal_newlines" in given
    if name.endswith("TextIOWrapper"):
        return len(call.args) < 2
    if name.endswith("TemporaryFile"):
        return "b" not in _mode(given.get("mode", call.args[0] if call.args else None), "w+b")
    if name in ("open", "io.open", "os.fdopen"):
        mode = given.get("mode", call.args[1] if len(call.args) > 1 else None)
        return "b" not in _mode(mode, "r")
    if name in ("gzip.open", "bz2.open", "lzma.open"):
        return "t" in _mode(given.get("mode", call.args[1] if len(call.args) > 1 else None), "rb")
    if name.endswith(".open") and name not in ("os.open", "tarfile.open"):
        mode = given.get("mode", call.args[0] if call.args else None)
        return "b" not in _mode(mode, "r") and "build_opener" not in name
    return False


def _mode(value: ast.expr | None, default: str) -> str:
    return default if value is None else str(getattr(value, "value", ""))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_opened_in_the_encoding_of_the_locale(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and opens_text_by_locale(node)
    ]
    assert not found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("open(path)", True),
        ("open(path, 'w')", True),
        ("open(path, mode='rb')", False),
        ("path.open()", True),
        ("path.open('a', encoding='utf-8')", False),
        ("path.read_text()", True),
        ("os.fdopen(1, 'w')", True),
        ("gzip.open(path)", False),
        ("gzip.open(path, 'rt')", True),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command)", False),
        ("io.TextIOWrapper(stream)", True),
        ("tempfile.NamedTemporaryFile()", False),
        ("tempfile.NamedTemporaryFile('w')", True),
    ],
)
def test_what_opens_text_is_known(source, expected):
    call = ast.parse(source, mode="eval").body
    assert isinstance(call, ast.Call)
    assert opens_text_by_locale(call) == expected


PROGRAM = """
import sys
from lstm_jax import cli
def call(*arguments):
    sys.argv = ["lstm_jax", *arguments]
    cli.main()
sizes = "--model.embedding-size 8 --model.hidden-size 8 --train.epochs 1 --train.batch-size 8"
call("train", "a.csv", "run", *sizes.split())
print("TRAINED")
call("predict", "run", "--file", "a.csv")
call("predict", "run", "--json", "--file", "a.csv")
"""


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_no_locale_changes_what_is_kept_or_ends_a_command(tmp_path, encoding):
    rows = [f'"film {n} 最高 🎬 é","{("schön", "übel")[n % 2]}"' for n in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, **locale, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert lstm_jax.load(tmp_path / "run").class_names == ("schön", "übel")
    predicted = done.stdout.split(b"TRAINED")[1].decode(encoding).split("\n")[1:]
    lines = [line.split("\t") for line in predicted[:40]]
    expected = [row.split('"')[1] for row in rows]
    seen = [text.encode(encoding, "backslashreplace").decode(encoding) for text in expected]
    assert [line[2].replace("\\\\", "\\") for line in lines] == seen
    names = {
        name.encode(encoding, "backslashreplace").decode(encoding) for name in ("schön", "übel")
    }
    assert {line[0].replace("\\\\", "\\") for line in lines} <= names
    records = [json.loads(line) for line in predicted[40:80]]
    assert [record["text"] for record in records] == expected
    assert {record["label"] for record in records} <= {"schön", "übel"}
