"""A file predicted into another: columns kept, damaged rows in their place, killed and resumed."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st

import lstm_jax
from lstm_jax import cli
from lstm_jax.data import Reading
from lstm_jax.data.output import _quoted
from lstm_jax.recipes import predict_file as module
from lstm_jax.recipes.predict_file import Choice, position_path, predict_file

COUNT = 40
TEXTS = [f"the verdict{number % 2} film, number {number}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A trained run with the classes "bad" and "good"."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    small.train(small.CONFIG, small.corpus(), folder)
    return lstm_jax.load(folder)


@pytest.fixture
def table(tmp_path):
    """A file with columns beside the text, a quoted one and a damaged row among them."""
    path = tmp_path / "new.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["id", "text", "more"])
        writer.writerows([n, text, 'a "b"; é\nc'] for n, text in enumerate(TEXTS))
        file.write("alone\n")
        writer.writerow([COUNT, "verdict1", ""])
    return path


def rows_of(path, delimiter=","):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def run(opened, table, out, **options):
    choice = options.pop("choice", Choice())
    return predict_file(opened, (table, out), options.pop("reading", Reading()), choice, **options)


def test_all_columns_are_kept_and_predictions_are_those_in_memory(opened, table, tmp_path):
    out = tmp_path / "out.csv"
    done = run(opened, table, out)
    assert (done.rows, done.unusable) == (COUNT + 2, 1)
    assert done.said == f"1 of 42 rows cannot be used: line {2 * COUNT + 2}: 1 field instead of 3"
    rows = rows_of(out, ";")
    assert list(rows[0]) == ["id", "text", "more", "predicted", "probability"]
    assert [row["id"] for row in rows] == [*map(str, range(COUNT)), "alone", str(COUNT)]
    assert rows[0]["more"] == 'a "b"; é\nc'
    assert (rows[COUNT]["predicted"], rows[COUNT]["probability"]) == ("", "")
    expected = opened.predict_proba([*TEXTS, "verdict1"])
    found = [row for row in rows if row["predicted"]]
    names = [opened.class_names[place] for place in expected.argmax(1)]
    assert [row["predicted"] for row in found] == names
    probabilities = [float(row["probability"]) for row in found]
    np.testing.assert_allclose(probabilities, expected.max(1), atol=1e-5)
    assert not position_path(out).exists()


def test_objects_stay_objects(opened, tmp_path):
    records = [{"a": {"text": "verdict0"}, "n": [1]}, {"n": 5}, {"a": {"text": "verdict1"}}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    done = run(opened, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    written = list(map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines()))
    assert done.unusable == 1
    assert written[1] == {"n": 5, "predicted": None, "probability": None}
    for record, line in zip(records, written, strict=True):
        assert {name: line[name] for name in record} == record
    run(opened, tmp_path / "in.jsonl", tmp_path / "out.csv")
    rows = rows_of(tmp_path / "out.csv")
    assert [row["n"] for row in rows] == ["[1]", "5", ""]
    assert [row["a.text"] for row in rows] == ["verdict0", "", "verdict1"]


def test_a_table_can_become_objects_and_tabs(opened, table, tmp_path):
    run(opened, table, tmp_path / "out.ndjson")
    first = json.loads((tmp_path / "out.ndjson").read_text(encoding="utf-8").splitlines()[0])
    assert first["id"] == "0"
    assert set(first) == {"id", "text", "more", "predicted", "probability"}
    run(opened, table, tmp_path / "out.tsv")
    header = (tmp_path / "out.tsv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "id\ttext\tmore\tpredicted\tprobability"


@pytest.mark.parametrize(
    ("content", "name", "begin"),
    [
        (
            "\ufeffid;text\n1;verdict0\n2;a;b\n",
            "out.csv",
            "\ufeffid;text;predicted;probability\n1;v",
        ),
        ("id;text\n1;verdict0\n", "out.csv", "id;text;predicted;probability\n1;verdict0;"),
        ("\ufeffid,text\n1,verdict0\n", "out.csv", "\ufeffid,text,predicted,probability\n1,v"),
        ("\ufeffid;text\n1;verdict0\n", "out.tsv", "\ufeffid\ttext\tpredicted\tprobability\n"),
        ("\ufeffid;text\n1;verdict0\n", "out.jsonl", '{"id": "1", "text": "verdict0", "pred'),
        ("id|text\n1|verdict0\n", "out.csv", "id,text,predicted,probability\n1,verdict0,"),
    ],
)
def test_a_spreadsheet_opens_the_output_as_it_opens_the_input(
    opened, tmp_path, content, name, begin
):
    (tmp_path / "in.csv").write_bytes(content.encode())
    run(opened, tmp_path / "in.csv", tmp_path / name)
    written = (tmp_path / name).read_bytes().decode()
    assert written.startswith(begin)
    if "a;b" in content:
        assert written.splitlines()[-1] == '2;"a;b";;'


def test_more_classes_are_named_and_unsure_ones_left_empty(opened, table, tmp_path):
    run(opened, table, tmp_path / "out.csv", choice=Choice(threshold=1.0, top_k=2))
    row = rows_of(tmp_path / "out.csv", ";")[0]
    assert row["predicted"] == ""
    assert row["predicted_2"] in opened.class_names
    assert float(row["probability"]) + float(row["probability_2"]) == pytest.approx(1, abs=1e-5)
    assert float(row["probability"]) >= float(row["probability_2"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choice": Choice(top_k=3)}, "top_k must be at most 2, the classes of the run, got 3"),
        ({"resume": True}, r"out\.csv: nothing to resume: there is no such file"),
        ({"reading": Reading(on_error="stop")}, r"new\.csv, line 82: 1 field instead of 3"),
        ({"reading": Reading(text_column=("x",))}, "there must be one column 'x', got 0"),
        (
            {"name": "out.xlsx"},
            r"out\.xlsx: the output must end in \.csv, \.tsv, \.jsonl, \.ndjson$",
        ),
        ({"name": "out.csv.gz"}, r"out\.csv\.gz: the output must end in "),
    ],
)
def test_what_cannot_be_is_one_line(opened, table, tmp_path, options, message):
    options = dict(options)
    with pytest.raises(ValueError, match=message):
        run(opened, table, tmp_path / options.pop("name", "out.csv"), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "threshold must be at most 1, got 1.5"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_choices_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Choice(**options)


def test_what_is_there_already_is_not_written_over(opened, table, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("mine")
    with pytest.raises(ValueError, match=r"out\.csv: exists already; give another"):
        run(opened, table, out)
    assert out.read_text() == "mine"
    with pytest.raises(
        ValueError, match="is finished, or not of `predict --out`, since there is no"
    ):
        run(opened, table, out, resume=True)
    (tmp_path / "b.csv").write_text("text,predicted\na,b\n")
    with pytest.raises(ValueError, match=r"b\.csv: has a column 'predicted' already"):
        run(opened, tmp_path / "b.csv", tmp_path / "c.csv")


class Killed(Exception):
    pass


def break_off(opened, table, out, after, **options):
    """Predicts in pieces of 10 rows, and stops after some of them."""

    def progress(rows, share):
        if rows >= after:
            raise Killed

    with pytest.raises(Killed):
        run(opened, table, out, choice=Choice(piece=10), progress=progress, **options)


@pytest.mark.parametrize("torn", [b"", b"half a row", b"1,a\n2,b\n" * 500])
def test_a_run_that_was_killed_goes_on_and_every_row_is_there_once(opened, table, tmp_path, torn):
    run(opened, table, tmp_path / "whole.csv", choice=Choice(piece=10))
    out = tmp_path / "out.csv"
    break_off(opened, table, out, 10)
    for after in (20, 30):
        with out.open("ab") as file:
            file.write(torn)
        break_off(opened, table, out, after, resume=True)
    done = run(opened, table, out, choice=Choice(piece=10), resume=True)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (done.rows, done.unusable) == (COUNT + 2, 1)


@pytest.mark.parametrize("left", [None, b""])
def test_a_run_that_was_killed_before_its_header_begins_anew(opened, table, tmp_path, left):
    out = tmp_path / "out.csv"
    break_off(opened, table, out, 0)
    out.unlink()
    if left is not None:
        out.write_bytes(left)
    assert run(opened, table, out, resume=True).rows == len(rows_of(out, ";")) == COUNT + 2


def test_other_files_settings_and_outputs_are_not_gone_on_with(opened, table, tmp_path):
    out = tmp_path / "out.csv"
    break_off(opened, table, out, 10)
    with pytest.raises(ValueError, match=r"out\.csv: exists already; go on with --resume"):
        run(opened, table, out)
    with pytest.raises(ValueError, match="the settings must be what it was when it was begun"):
        run(opened, table, out, choice=Choice(top_k=2), resume=True)
    content = table.read_bytes()
    table.write_bytes(content.replace(b"film", b"play"))
    with pytest.raises(ValueError, match="the input must be what it was when it was begun"):
        run(opened, table, out, resume=True)
    table.write_bytes(content)
    written = out.read_bytes()
    for changed in (written[:-1], written[:-5] + b"xxxxx"):
        out.write_bytes(changed)
        with pytest.raises(ValueError, match="it was changed since it was written"):
            run(opened, table, out, resume=True)


def test_long_texts_make_small_pieces(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LETTERS", 100)
    (tmp_path / "a.txt").write_text("verdict0 " * 20 + "\nb\nc\n")
    told = []
    progress = lambda rows, share: told.append((rows, share))  # noqa: E731
    run(opened, tmp_path / "a.txt", tmp_path / "out.csv", progress=progress)
    assert [rows for rows, _ in told] == [0, 1, 3]
    assert told[-1][1] == 1.0


# The command.


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["lstm_jax", *map(str, arguments)])
    cli.main()


def test_the_command_says_what_it_found_and_what_it_did(
    opened, table, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out.csv"
    command(monkeypatch, "predict", opened.path, "--file", table, "--out", out, "--top-k", "2")
    assert len(rows_of(out, ";")) == COUNT + 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[:2] == [
        f"{table}: UTF-8, columns separated by ';', text in 'text'",
        f"{out}: 42 rows",
    ]
    assert "1 row has no prediction (1 of 42 rows cannot be used: line" in said.err


def test_the_command_prints_several_classes_and_leaves_unsure_ones_empty(
    opened, monkeypatch, capsys
):
    command(monkeypatch, "predict", opened.path, "verdict0", "--top-k", "2", "--threshold", "1")
    fields = capsys.readouterr().out.rstrip("\n").split("\t")
    assert (len(fields), fields[0], fields[-1]) == (5, "", "verdict0")
    assert fields[2] in opened.class_names


def test_the_name_of_a_file_among_texts_is_pointed_out(opened, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.csv").write_text("text\nverdict0\n")
    command(monkeypatch, "predict", opened.path, "new.csv", "verdict1", "x" * 300, "a\0.b")
    said = capsys.readouterr()
    assert said.err == "'new.csv' is read as a text; for the texts in the file: --file new.csv\n"
    assert len(said.out.splitlines()) == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=str)
def test_a_command_that_is_stopped_goes_on(opened, tmp_path, number):
    source, out = tmp_path / "many.csv", tmp_path / "out.csv"
    source.write_text("id,text\n" + "".join(f"{n},verdict{n % 2} film\n" for n in range(60_000)))
    words = [sys.executable, "-m", "lstm_jax", "predict", str(opened.path)]
    words += ["--file", str(source), "--out", str(out)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ)
    while process.poll() is None and not (out.exists() and out.stat().st_size > 1000):
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert said.splitlines()[-1].startswith("interrupted after row ")
        assert said.endswith("; --resume goes on\n")
    assert process.returncode in (130, -9)
    assert len(rows_of(out)) < 60_000
    subprocess.run([*words, "--resume"], check=True, capture_output=True, timeout=300)
    assert [row["id"] for row in rows_of(out)] == list(map(str, range(60_000)))


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=4),
    st.sampled_from(",;\t"),
)
@settings(deadline=None)
def test_every_row_is_read_again_as_it_was_written(fields, delimiter):
    line = delimiter.join(_quoted(field, delimiter) for field in fields) + "\n"
    for strict in (True, False):
        (found,) = csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=strict)
        assert found == fields
    if "\r" not in line and "\0" not in line:
        written = io.StringIO(newline="")
        csv.writer(written, delimiter=delimiter, lineterminator="\n").writerow(fields)
        assert line == written.getvalue()
