"""What a trained run is asked about, and how: files, standard input, arrays, other encodings."""

import codecs
import contextlib
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import small

import lstm_jax
from lstm_jax import cli
from lstm_jax.data import Corpus

TEXTS = ["a verdict0 film", "", "the verdict1, so: \u201cschön\u201d", "verdict0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    made = small.corpus()
    corpus = Corpus("small", made.train, made.test, ("schlecht", "schön"))
    config = replace(small.CONFIG, train=replace(small.CONFIG.train, epochs=3))
    small.train(config, corpus, path)
    return lstm_jax.load(path)


@pytest.fixture
def command(run, monkeypatch, capsys):
    """Calls a command on the run and gives what it printed, for people and for programs."""

    def call(name, *arguments, stdin=None):
        monkeypatch.setattr(sys, "argv", ["lstm_jax", name, str(run.path), *map(str, arguments)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", small.standard_input(stdin))
        with contextlib.suppress(SystemExit):
            cli.main()
        return capsys.readouterr()

    return call


def texts_of(printed):
    return [json.loads(line)["text"] for line in printed.out.splitlines()]


# Files and standard input.


def test_predict_reads_the_texts_of_a_file_with_columns(run, command, tmp_path):
    texts = [text for text in TEXTS if text]
    expected = run.predict_proba(texts)
    table = "id;Text;label\n" + "".join(f'{n};"{text}";pos\n' for n, text in enumerate(texts))
    (tmp_path / "a.csv").write_bytes(table.encode("utf-16"))
    lines = [json.dumps({"n": 1, "review": text}) for text in texts]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for name, said in (("a.csv", "UTF-16, columns separated by ';'"), ("a.jsonl", "'review'")):
        printed = command("predict", "--json", "--file", tmp_path / name)
        assert texts_of(printed) == texts
        assert said in printed.err
        probabilities = [
            list(json.loads(line)["probabilities"].values()) for line in printed.out.splitlines()
        ]
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_predict_takes_the_column_that_is_named_and_lists_them_where_none_can_be_guessed(
    command, tmp_path
):
    path = tmp_path / "a.tsv"
    path.write_text("title\tremark\na film\tverdict0\n", encoding="utf-8")
    assert texts_of(command("predict", "--json", "-f", path, "--text-column", "Remark")) == [
        "verdict0"
    ]
    printed = command("predict", "-f", path)
    assert printed.out == ""
    assert "Give --text-column; the columns are 'title', 'remark'" in printed.err
    assert printed.err.count("\n") == 1


def test_a_byte_order_mark_belongs_to_no_text(command, tmp_path):
    content = codecs.BOM_UTF8 + "verdict0 schön\r\nb\n".encode()
    for name in ("a.txt", "a.log", "a"):
        (tmp_path / name).write_bytes(content)
        printed = command("predict", "--json", "-f", tmp_path / name)
        assert texts_of(printed) == ["verdict0 schön", "b"]
    assert texts_of(command("predict", "--json", stdin=content)) == ["verdict0 schön", "b"]


def test_predict_says_how_to_go_on_with_what_it_does_not_read(command, tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04")
    printed = command("predict", "-f", tmp_path / "a.xlsx")
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "a.xlsx: not an Excel file, or damaged: " in printed.err


@pytest.mark.parametrize(
    "rows", ["verdict0,schön\n", "verdict0,schön\nfilm,schön\n", "verdict0,schlecht\n"]
)
def test_evaluate_takes_a_file_with_one_row_or_one_label(command, tmp_path, rows):
    (tmp_path / "a.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    printed = command("evaluate", tmp_path / "a.csv")
    found = "UTF-8, columns separated by ',', text in 'text', label in 'label'"
    assert printed.err == f"{tmp_path / 'a.csv'}: {found}\n"
    assert "%" in printed.out


def test_evaluate_names_the_line_of_a_label_that_the_run_does_not_have(command, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,schön\nb,good\n", encoding="utf-8")
    printed = command("evaluate", tmp_path / "a.csv")
    assert "a.csv, line 3: the label must be one of the run's, 'schlecht', 'schön'" in printed.err


# From Python.


class Series:
    """What pandas's columns are like, without pandas: an index that does not begin at 0."""

    ndim = 1

    def __init__(self, texts):
        self._by_label = dict(enumerate(texts, 5))

    def __iter__(self):
        return iter(self._by_label.values())

    def __len__(self):
        return len(self._by_label)

    def __getitem__(self, label):
        return self._by_label[label]

    def __bool__(self):
        raise ValueError("The truth value of a Series is ambiguous")


@pytest.mark.parametrize(
    "make",
    [
        tuple,
        iter,
        lambda texts: (text for text in texts),
        np.array,
        lambda texts: np.array(texts, object),
        lambda texts: np.array([*texts, "more"])[:-1],
        Series,
        lambda texts: dict.fromkeys(texts).keys(),
    ],
    ids=["tuple", "iterator", "generator", "U", "object", "view", "Series", "keys"],
)
def test_predict_takes_whatever_gives_strings(run, make):
    expected = run.predict_proba(TEXTS)
    np.testing.assert_array_equal(run.predict_proba(make(TEXTS)), expected)
    assert [made.text for made in run.stream(make(TEXTS), batch_size=3)] == TEXTS


def test_predict_takes_columns_of_pandas(run):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": TEXTS}, index=[9, 9, 3, 1])
    np.testing.assert_array_equal(run.predict_proba(frame["text"]), run.predict_proba(TEXTS))
    np.testing.assert_array_equal(run.predict_proba(frame["text"][:0]), np.zeros((0, 2)))
    with pytest.raises(ValueError, match="texts must have one dimension, got 2"):
        run.predict_proba(frame)
    with pytest.raises(ValueError, match=r"texts\[1\]"):
        run.predict_proba(pandas.Series(["a", None]))


def test_predict_names_the_likeliest_class_of_each_text(run):
    likeliest = [run.class_names[number] for number in run.predict_proba(TEXTS).argmax(axis=1)]
    assert run.predict(TEXTS).tolist() == likeliest
    assert run.predict([]).shape == (0,)


def test_predict_of_one_empty_text_in_an_array_is_one_row(run):
    np.testing.assert_array_equal(run.predict_proba(np.array([""])), run.predict_proba([""]))
    for empty in ([], (), np.array([], "U1"), iter(())):
        assert run.predict_proba(empty).shape == (0, 2)
        assert list(run.stream([])) == []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a text", "got a single string"),
        (b"bytes", "got a single string"),
        (np.array("a text"), "texts must have one dimension, got 0"),
        (np.array([["a"], ["b"]]), "texts must have one dimension, got 2"),
        ({"a": 1}, "got dict"),
        (None, "got NoneType"),
        (3, "got int"),
        (["a", None], r"texts\[1\]"),
        (np.array(["a", np.nan], object), r"texts\[1\]"),
        ([["a"]], r"texts\[0\]"),
    ],
    ids=str,
)
def test_predict_says_what_is_wrong_with_its_texts(run, texts, message):
    with pytest.raises(ValueError, match=message):
        run.predict_proba(texts)
    with pytest.raises(ValueError, match=message):
        list(run.stream(texts))
