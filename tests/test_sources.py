"""Corpora by name and from a user's own files: what is accepted, and what each mistake is told."""

import csv
import json
import re
import socket
import time

import numpy as np
import pytest

from lstm_jax.data import (
    DataUnavailableError,
    Examples,
    Reading,
    imdb,
    imdb_or_builtin,
    load_corpus,
    sources,
    synthetic,
)


def complaint(path, **arguments):
    """What the file is refused with."""
    with pytest.raises(ValueError) as error:
        load_corpus(path, **arguments)
    return str(error.value)


# A user's own files.


def test_a_csv_gives_texts_and_labels_with_classes_in_alphabetical_order(write):
    path = write("own.csv", "text,label\nfine,pos\nbad,neg\nso so,neutral\ngreat,pos\n")
    corpus = load_corpus(path)
    assert corpus.class_names == ("neg", "neutral", "pos")
    assert corpus.train.texts == ["fine", "bad", "so so", "great"]
    assert corpus.train.labels.tolist() == [2, 0, 1, 2]
    assert corpus.train.labels.dtype == np.int32
    assert (corpus.test, corpus.unlabelled, corpus.warnings) == (None, [], ())
    found = "UTF-8, columns separated by ',', text in 'text', label in 'label'"
    assert corpus.notes == (f"{path}: {found}",)
    assert corpus.name == str(path)


def test_whole_number_labels_are_ordered_by_number(write):
    path = write("own.csv", "text,label\na,10\nb,9\nc,-1\n")
    assert load_corpus(path).class_names == ("-1", "9", "10")
    path = write("own.csv", "text,label\na,10\nb,9\nc,x\n")
    assert load_corpus(path).class_names == ("10", "9", "x")


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_what_the_csv_module_writes_is_read_back(tmp_path, suffix, delimiter, line_end):
    texts = [
        "plain",
        'quotes "inside"',
        "a, comma\tand a tab",
        "two\nlines\r\nand\n\nmore",
        "naïve “café” 映画 🎬 \u2028 end",
        "long " * 50_000,
    ]
    with (tmp_path / f"own{suffix}").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=line_end)
        writer.writerow(["id", "label", "text"])
        writer.writerows([number, number % 2, text] for number, text in enumerate(texts))
    limit = csv.field_size_limit()
    corpus = load_corpus(tmp_path / f"own{suffix}")
    assert corpus.train.texts == texts
    assert corpus.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert csv.field_size_limit() == limit


def test_jsonl_gives_texts_and_labels(write):
    records = [
        {"review": "fine \u2028 film", "stars": 10, "more": None},
        {"review": "bad", "stars": 2},
        {"stars": "2", "review": "so so"},
    ]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    path = write("own.jsonl", "\n\r\n".join(lines))
    corpus = load_corpus(path, Reading(text_column=("review",), label_column="stars"))
    assert corpus.train.texts == [record["review"] for record in records]
    assert corpus.class_names == ("2", "10")
    assert corpus.train.labels.tolist() == [1, 0, 0]


def test_byte_order_marks_blank_lines_and_spaces_around_names_are_tolerated(write):
    path = write("own.csv", "\ufefftext , label\n\na,x\n\n\nb, y \n")
    assert load_corpus(path).class_names == ("x", "y")
    path = write("own.jsonl", '\ufeff{"text": "a", "label": " x"}\n\n{"text": "b", "label": "y"}')
    assert load_corpus(path).class_names == ("x", "y")


def test_the_test_file_uses_the_classes_of_the_training_file(write):
    train = write("train.csv", "text,label\na,x\nb,y\nc,z\n")
    test = write("test.jsonl", '{"text": "d", "label": "z"}\n{"text": "e", "label": "z"}\n')
    corpus = load_corpus(train, test_path=test)
    assert corpus.class_names == ("x", "y", "z")
    assert corpus.test is not None
    assert corpus.test.texts == ["d", "e"]
    assert corpus.test.labels.tolist() == [2, 2]
    test.write_text('{"text": "d", "label": "z"}\n{"text": "e", "label": "new"}\n')
    found = complaint(train, test_path=test)
    assert "line 2: the label must be one of the training file's, 'x', 'y', 'z', got 'new'" in found
    assert str(test) in found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty; there must be a row for each text"),
        ("\n\n", "empty; there must be a row for each text"),
        ("text,label\n", "no rows"),
        (
            "text,text,label\na,b,x\n",
            "there must be one column 'text', got 2; the columns",
        ),
        ("text,label\na,x\nb,\n", "1 of 2 rows cannot be used: line 3: no label; mend them, or"),
        ('text,label\n"a\n\nb",x\nc,  \n', "line 5: no label"),
        ("text,label\na, b,x\n", "line 2: 3 fields instead of 2"),
        ("text,label\na,x\nb\n", "line 3: 1 field instead of 2"),
        ('text,label\na,x\n"b,y\n', "line 3: unexpected end of data; is a quote missing"),
        ('text,label\n"b"c,y\n', "line 2: .*expected after.*is a quote missing"),
        ('text,label\n" ",y\n', "line 2: no text"),
        ("text,label\na,x\nb,x\n", "there must be at least two labels, got only 'x'"),
        (b"text,label\n\xc3\xa9,x\nb,\xff\xfe\n", "line 3: byte 0xff is not UTF-8"),
    ],
)
def test_a_csv_is_told_what_is_wrong_and_on_which_line(write, content, message):
    path = write("own.csv", content)
    found = complaint(path)
    assert re.search(message, found)
    assert str(path) in found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no rows"),
        ('{"text": "a", "label": 1}\n{"text": "b", "label"\n', "line 2: not JSON"),
        ('["a", 1]\n', 'line 1: no object, but \\["a", 1\\]'),
        ("\n" + "[" * 100_000, "line 2: not JSON: nested too deep"),
        ('{"text": "a"}\n', "which column has the label.*; the columns are 'text'"),
        ('{"text": "a", "label": 1}\n{"text": "a"}\n', "line 2: no label"),
        ('{"text": "a", "label": 1}\n{"label": 2}\n', "line 2: no text"),
        ('{"text": 5, "label": 1}\n', "line 1: the text must be a string, got 5"),
        ('{"text": "a", "label": null}\n', "line 1: no label"),
        (
            '{"text": "a", "label": 0.5}\n',
            "line 1: the label must be a string or a whole number, got",
        ),
        ('{"text": "a", "label": ["x"]}\n', "line 1: the label must be "),
        (
            '{"text": "a", "label": 1}\n\n{"text": "a", "label": " "}\n',
            "line 3: no label",
        ),
        ('{"text": "\\ud83d", "label": 1}\n', "line 1: half a surrogate pair in the text"),
        ('{"text": "a", "label": 1}\n', "got only '1'"),
        (
            b'{"text": "\xc3\xa9", "label": 1}\n{"text": "caf\xe9", "label": 1}\n',
            "line 2: byte 0xe9 is not UTF-8",
        ),
    ],
)
def test_a_jsonl_is_told_what_is_wrong_and_on_which_line(write, content, message):
    path = write("own.jsonl", content)
    found = complaint(path)
    assert re.search(message, found)
    assert str(path) in found


def test_names_and_paths_that_are_not_there_are_told_what_is_allowed(write, tmp_path):
    for name in ("imbd", "missing.csv", "missing.tar.gz", tmp_path / "missing", "~/missing.tsv"):
        with pytest.raises(ValueError, match=r"no such file"):
            load_corpus(name)
    with pytest.raises(ValueError, match=r"notes\.txt: has texts without .* read \.csv, \.tsv"):
        load_corpus(write("notes.txt", "hello"))
    train = write("train.csv", "text,label\na,x\nb,y\n")
    with pytest.raises(ValueError, match=r"^missing\.csv: no such file$"):
        load_corpus(train, test_path="missing.csv")
    with pytest.raises(ValueError, match=r"notes\.txt: there must be one column 'text', got 0"):
        load_corpus(train, test_path=tmp_path / "notes.txt")
    with pytest.raises(ValueError, match=r"a\.csv: test examples go only with"):
        load_corpus("builtin", test_path="a.csv")
    with pytest.raises(ValueError, match="must differ, got 'label' for both"):
        load_corpus(train, Reading(text_column=("label",), label_column="label"))
    with pytest.raises(ValueError, match=r"must be a folder with a folder of \.txt files"):
        load_corpus(tmp_path)


# The built-in corpus, and the choice.


@pytest.fixture
def small_builtin(monkeypatch):
    monkeypatch.setattr(sources, "BUILTIN_TRAIN", 60)
    monkeypatch.setattr(sources, "BUILTIN_TEST", 40)


def test_the_builtin_corpora_are_the_same_each_time_and_share_no_seed(small_builtin):
    for name, names in (
        ("builtin", synthetic.CLASS_NAMES),
        ("builtin5", synthetic.FIVE_CLASS_NAMES),
    ):
        first, second = load_corpus(name), load_corpus(name)
        assert first.test is not None
        assert (len(first.train), len(first.test)) == (60, 40)
        assert first.class_names == tuple(names)
        assert first.train.texts == second.train.texts
        assert set(first.train.labels.tolist()) == set(range(len(names)))
        assert first.train.texts[:40] != first.test.texts


@pytest.fixture
def nothing_prepared(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def check_fallback():
    """In ten seconds: IMDB or else the built-in corpus is the latter and says so, IMDB refuses."""
    start = time.monotonic()
    corpus, notice = imdb_or_builtin()
    assert time.monotonic() - start < 10
    assert corpus.name == "builtin"
    assert len(corpus.train) == 60
    assert notice is not None
    assert notice.startswith("NOT THE REAL DATA")
    for way_out in ("TFDS_DATA_DIR", "aclImdb_v1.tar.gz", imdb.ARCHIVE_URL):
        assert way_out in notice
    with pytest.raises(DataUnavailableError, match="TFDS_DATA_DIR"):
        load_corpus("imdb")
    return notice


def refuse(*_, **__):
    raise socket.gaierror(-2, "Name or service not known")


def test_without_name_look_up_the_builtin_corpus_stands_in(
    nothing_prepared, small_builtin, monkeypatch
):
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert "out of reach: <urlopen error [Errno -2] Name or" in check_fallback()


def test_with_an_address_that_never_answers_the_builtin_corpus_stands_in_in_time(
    nothing_prepared, small_builtin, monkeypatch
):
    # A server that takes the connection and stays silent.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/aclImdb_v1.tar.gz"
        monkeypatch.setattr(imdb, "ARCHIVE_URL", url)
        start = time.monotonic()
        assert imdb_or_builtin()[0].name == "builtin"
        assert time.monotonic() - start < 10


def test_a_name_look_up_that_hangs_does_not_hold_the_builtin_corpus_up(
    nothing_prepared, small_builtin, monkeypatch
):
    released = time.monotonic() + 5
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: time.sleep(released - time.monotonic()) or refuse()
    )
    monkeypatch.setattr(imdb, "PROBE_SECONDS", 0.3)
    assert "gave no answer in 0.3 seconds" in check_fallback()
    assert time.monotonic() < released


def test_at_an_unroutable_address_the_builtin_corpus_stands_in(
    nothing_prepared, small_builtin, monkeypatch
):
    monkeypatch.setattr(imdb, "ARCHIVE_URL", "http://192.0.2.1/aclImdb_v1.tar.gz")
    monkeypatch.setattr(imdb, "PROBE_SECONDS", 1.0)
    check_fallback()


def test_an_empty_data_dir_counts_more_than_the_environment(
    nothing_prepared, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(imdb, "why_unreachable", lambda *_: asked.append(1) or "no network")
    with pytest.raises(FileNotFoundError, match=r"not prepared in .*elsewhere, and no network"):
        load_corpus("imdb", data_dir=tmp_path / "elsewhere")
    assert asked == [1]


def test_examples_can_be_picked():
    examples = Examples(["a", "b", "c"], np.array([0, 1, 0], np.int32))
    picked = examples.take(np.array([2, 0, 2]))
    assert picked.texts == ["c", "a", "c"]
    assert picked.labels.tolist() == [0, 0, 0]
    assert len(picked) == 3
    with pytest.raises(ValueError, match=r"labels must have shape \(2,\), .*, got \(1,\)"):
        Examples(["a", "b"], np.array([0], np.int32))


def test_a_home_that_nobody_has_is_a_file_that_is_not_there(monkeypatch):
    with pytest.raises(ValueError, match=r"~no_such_user/x.csv: no such file"):
        load_corpus("~no_such_user/x.csv")
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    # As for a user without a home, in a container.
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(imdb.DataUnavailableError, match="~/tensorflow_datasets, but there is no"):
        load_corpus("imdb")
    assert imdb_or_builtin()[0].name == "builtin"
