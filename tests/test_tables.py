"""Files of users as they are: what is read, what is refused and how to go on then."""

import codecs
import gzip
import io
import shlex
import subprocess
import sys
from typing import Any

import pytest

from lstm_jax.data import load_corpus, load_labelled, read_texts
from lstm_jax.data.labels import near_equal
from lstm_jax.data.lines import lines
from lstm_jax.data.records import find_text_column

TABLE = "text,label\ngood,pos\nbad,neg\n"


@pytest.fixture
def write(tmp_path):
    """Writes a file and gives its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def refusal(path, function=load_corpus, **arguments):
    """The one line that a file is refused with, which names it."""
    with pytest.raises(ValueError) as error:
        list(function(path, **arguments))  # pyright: ignore
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


# What is read.


@pytest.mark.parametrize("header", ["Text,Label", "TEXT,LABEL", " text , Label ", '"Text","label"'])
def test_the_case_of_column_names_does_not_matter(write, header):
    corpus = load_corpus(write("a.csv", TABLE.replace("text,label", header)))
    assert (corpus.train.texts, corpus.class_names) == (["good", "bad"], ("neg", "pos"))
    path = write("a.jsonl", '{"Text": "good", "LABEL": 1}\n{"text": "bad", "label": 0}\n')
    assert load_corpus(path).train.labels.tolist() == [1, 0]


def test_a_name_that_is_exactly_right_counts_more_than_one_in_another_case(write):
    corpus = load_corpus(write("a.csv", "Text,text,label\nno,good,pos\nno,bad,neg\n"))
    assert corpus.train.texts == ["good", "bad"]
    message = refusal(write("b.csv", "Text,TEXT,label\nno,good,pos\n"))
    assert "line 1: there must be one column 'text', got 2" in message


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_that_of_the_first_line(write, name, delimiter):
    rows = [["id", "text", "label"], ["1", "so, so; it | is", "pos"], ["2", 'a "b"\n', "neg"]]
    content = "\n".join(
        delimiter.join('"' + field.replace('"', '""') + '"' for field in row) for row in rows
    )
    corpus = load_corpus(write(name, content))
    assert corpus.train.texts == ["so, so; it | is", 'a "b"\n']
    assert corpus.class_names == ("neg", "pos")


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
    ],
    ids=["utf-8-sig", "utf-16", "utf-16 big", "utf-32", "unmarked little", "unmarked big"],
)
def test_encodings_that_the_start_of_a_file_tells_are_read(write, encode):
    corpus = load_corpus(write("a.csv", encode("text,label\nschön,pos\n最高 🎬,neg\n")))
    assert corpus.train.texts == ["schön", "最高 🎬"]
    corpus = load_corpus(
        write("a.ndjson", encode('{"text":"ü","label":1}\r\n{"text":"","label":2}'))
    )
    assert corpus.train.texts == ["ü", ""]
    assert list(read_texts(write("a.txt", encode("schön\n最高 🎬")))) == ["schön", "最高 🎬"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_any_system(write, end):
    corpus = load_corpus(write("a.csv", TABLE.replace("\n", end)))
    assert corpus.train.texts == ["good", "bad"]
    assert list(read_texts(write("a.txt", f"a{end}{end}b\x0b\u2028c"))) == ["a", "", "b\x0b\u2028c"]


def test_a_byte_order_mark_is_left_out_of_standard_input_too():
    stream: Any = io.BufferedReader(io.BytesIO(codecs.BOM_UTF8 + b"good\nbad"))  # pyright: ignore
    assert list(lines(stream, "standard input")) == ["good\n", "bad"]
    assert not stream.closed


def test_bytes_that_are_no_text_are_told_with_their_line_after_the_lines_before(write):
    texts = read_texts(write("a.txt", b"one\ntwo\nthr\xffee\n"))
    assert [next(texts), next(texts)] == ["one", "two"]
    with pytest.raises(ValueError, match=r"a\.txt, line 3: byte 0xff is not UTF-8"):
        next(texts)
    for cut in (b"\x00\xd8a\x00", b"a"):
        path = write("a.txt", codecs.BOM_UTF16_LE + "one\n".encode("utf-16-le") + cut)
        with pytest.raises(ValueError, match=r"a\.txt, after line \d: not UTF-16"):
            list(read_texts(path))


# Texts without labels.


def test_the_texts_of_a_file_with_columns_are_read_whatever_its_labels_are(write):
    content = 'id;Text;label\n1;"so; so";NaN\n2;bad;\n'
    assert list(read_texts(write("a.csv", content))) == ["so; so", "bad"]
    assert list(read_texts(write("a.jsonl", '{"n": 1, "TEXT": "a"}\n{"text": "b"}'))) == ["a", "b"]
    path = write("a.tsv", "review\ttext\nyes\tno\n")
    assert list(read_texts(path, "review")) == ["yes"]


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("a.csv", "id,review,stars\n1,good,5\n2,,4.5\n", "review"),
        ("a.csv", 'comment\n"single, quoted"\n', "comment"),
        ("a.csv", '"the review";n\n"good, very";1\n', "the review"),
        ("a.csv", "other,text\na,b\n", "text"),
        ("a.jsonl", '{"stars": 5, "review": "good"}\n{"stars": 4, "review": "bad"}\n', "review"),
        ("a.jsonl", '{"TEXT": "a", "b": "c"}\n', "TEXT"),
    ],
)
def test_the_column_with_the_text_is_found(write, name, content, column):
    assert find_text_column(write(name, content)) == column


@pytest.mark.parametrize(
    ("name", "content", "listed"),
    [
        ("a.csv", "title,body,stars\na,b,5\n", "'title', 'body', 'stars'"),
        ("a.csv", "id,stars\n1,5\n", "'id', 'stars'"),
        ("a.jsonl", '{"title": "a", "body": "b"}\n', "'title', 'body'"),
    ],
)
def test_where_no_column_or_several_could_be_the_text_the_columns_are_listed(
    write, name, content, listed
):
    message = refusal(write(name, content), read_texts)
    assert message.endswith(
        f"which column has the text? Give --text-column; the columns are {listed}"
    )


def test_a_file_is_read_a_row_at_a_time(write):
    path = write("a.csv", "text,label\n" + "some words,1\n" * 200_000 + "too,many,fields\n")
    texts = read_texts(path)
    assert next(texts) == "some words"
    with pytest.raises(ValueError, match="line 200002: there must be 2 fields"):
        list(texts)


def test_text_column_is_refused_where_there_are_no_columns(write):
    with pytest.raises(ValueError, match=r"text_column goes only with .*got 'a' with .*a\.txt"):
        list(read_texts(write("a.txt", "a"), "a"))


# Labels.


@pytest.mark.parametrize(
    "label",
    ["", "  ", "\u00a0", "NaN", "nan", "None", "null", "NULL", "NA", "<NA>", "N/A", " NaN "],
)
def test_a_label_that_stands_for_none_is_refused_with_its_line(write, label):
    for row in (f'"c",{label}\n', f'"c","{label}"\n'):
        message = refusal(write("a.csv", TABLE + row))
        assert ", line 4: every text must have a label, got " in message
    content = '{"text": "a", "label": "x"}\n\n{"text": "b", "label": "%s"}\n' % label  # noqa: UP031
    assert ", line 3: every text must have a label" in refusal(write("a.jsonl", content))
    message = refusal(write("a.jsonl", '{"text": "a", "label": NaN}\n'))
    assert "line 1: 'label' must be a string or a whole number, got NaN" in message


def test_words_that_only_resemble_an_empty_cell_are_classes(write):
    path = write("a.csv", "text,label\na,none\nb,Nan\nc,nothing\nd,0\n")
    assert load_corpus(path).class_names == ("0", "Nan", "none", "nothing")
    assert list(read_texts(write("b.csv", "text\nNaN\nNone\n"))) == ["NaN", "None"]


@pytest.mark.parametrize(
    "pair",
    [
        ("Pos", "pos"),
        ("caf\u00e9", "cafe\u0301"),
        ("very good", "verygood"),
        ("very good", "very\u00a0good"),
        ("pos", "p\u200bos"),
        ("5", "\uff15"),
        ("5", "5.0"),
        ("1", "+01"),
        ("STRASSE", "straße"),
    ],
)
def test_labels_that_are_nearly_the_same_are_warned_of(write, pair):
    rows = "".join(f"a,{label}\n" for label in (*pair, pair[1], "other"))
    path = write("a.csv", f"text,label\n{rows}")
    corpus = load_corpus(path)
    (warning,) = corpus.warnings
    assert len(corpus.class_names) == 3
    for label, count in zip(pair, (1, 2), strict=True):
        assert f"{label!r} ({count})" in warning
    assert "other" not in warning
    assert warning.startswith(f"{path}: labels that are nearly the same")
    assert "\n" not in warning


def test_spaces_around_labels_do_not_count(write):
    corpus = load_corpus(write("a.csv", "text,label\na,pos \nb, pos\nc,neg\n"))
    assert corpus.class_names == ("neg", "pos")
    assert corpus.warnings == ()
    assert near_equal(["1", "2", "-1", "a", "b", "1e1", "nan", "inf"]) == []


def test_labels_like_numbers_are_classes_in_a_defined_order(write):
    def classes(*labels):
        rows = "".join(f"a,{label}\n" for label in labels)
        return load_corpus(write("a.csv", f"text,label\n{rows}")).class_names

    assert classes("10", "9", "-1", "+2") == ("-1", "+2", "9", "10")
    assert classes("10", "9", "+-+5") == ("+-+5", "10", "9")
    assert classes("10", "9", "\uff15") == ("10", "9", "\uff15")
    assert classes("10", "9", "1_000") == ("10", "1_000", "9")
    assert classes("10", "9", "1" * 30) == ("10", "1" * 30, "9")


def test_a_label_as_long_as_a_text_is_refused_with_its_line(write):
    digits = "7" * 5_000
    expected = "line 3: a label must have at most 200 characters, got 5,000; is it the text?"
    assert expected in refusal(write("a.csv", f"text,label\na,x\nb,{digits}\n"))
    content = f'{{"text": "a", "label": 1}}\n\n{{"text": "b", "label": {digits}}}\n'
    assert expected in refusal(write("a.jsonl", content))


def test_examples_to_measure_on_need_no_more_than_a_row(write):
    names = ("neg", "neutral", "pos")
    examples = load_labelled(write("a.csv", "text,label\ngood,pos\n"), names)
    assert (examples.texts, examples.labels.tolist()) == (["good"], [2])
    path = write("b.csv", "text,label\ngood,pos\nx,Pos\n")
    message = refusal(path, load_labelled, class_names=names)
    assert (
        "line 3: the label must be one of the run's, 'neg', 'neutral', 'pos', got 'Pos'" in message
    )


# What is refused, and how to go on.


def converted(message):
    """Runs the command at the end of a message; gives what is written then."""
    command = shlex.split(
        message.split(": ")[-1]
        if "python -c" not in message
        else message[message.index("python -c") :]
    )
    if command[0] == "python":
        command[0] = sys.executable
    subprocess.run(command, check=True, timeout=300)
    return command[-1]


def test_folders_of_classes_say_how_they_become_a_file(tmp_path):
    for label, text in (("pos", "good, or\nbetter"), ("neg", "schlecht — bäd")):
        (tmp_path / "re views" / label).mkdir(parents=True)
        (tmp_path / "re views" / label / "1.txt").write_text(text, encoding="utf-8")
    path = converted(refusal(tmp_path / "re views"))
    corpus = load_corpus(path)
    assert dict(zip(corpus.train.texts, corpus.train.labels.tolist(), strict=True)) == {
        "good, or\nbetter": 1,
        "schlecht — bäd": 0,
    }


def test_a_compressed_file_says_how_to_unpack_it(write):
    path = write("a b.csv.gz", gzip.compress(TABLE.encode()))
    converted(refusal(path))
    assert load_corpus(path.with_suffix("")).train.texts == ["good", "bad"]
    assert "compressed files are not read; unpack it: gunzip -k" in refusal(path, read_texts)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.xlsx", "pandas.read_excel(sys.argv[1]).to_csv(sys.argv[2], index=False)"),
        ("a.XLS", "pandas.read_excel"),
        ("a.ods", "pandas.read_excel"),
        ("a.parquet", "pandas.read_parquet(sys.argv[1]).to_csv"),
        ("a.feather", "pandas.read_feather"),
        ("a.json", "an object on each line, rename it to end in .jsonl, else convert it: python"),
        ("a.csv.gz", "gunzip -k"),
        ("a.csv.bz2", "bunzip2 -k"),
        ("a.zip", "unzip"),
    ],
)
def test_refused_formats_say_how_to_go_on(write, name, advice):
    path = write(name, b"PK\x03\x04")
    for message in (refusal(path), refusal(path, read_texts)):
        assert advice in message
    assert advice in refusal(path, load_labelled, class_names=("a", "b"))


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    for name in ("a.csv", "a.jsonl", "a.txt", "a.xlsx"):
        with pytest.raises(FileNotFoundError, match=name):
            list(read_texts(tmp_path / name))


def test_a_file_without_labels_says_where_it_can_go(write):
    for name in ("a.txt", "a.md", "a"):
        message = refusal(write(name, "good\nbad\n"))
        assert "must end in one of .csv, .tsv, .jsonl, .ndjson where labels are needed" in message
        assert "`train --unlabelled`" in message


def test_a_file_without_a_header_says_that_one_is_needed(write):
    message = refusal(write("a.csv", f"{'very ' * 50}good,pos\nbad,neg\n"))
    assert "line 1: there must be one column 'text', got 0; the columns are 'very very" in message
    assert message.endswith("give --text-column, or, if this line is no header, put one above it")
    assert len(message) < 300


@pytest.mark.parametrize(
    ("start", "kind"),
    [(b"PK\x03\x04", "spreadsheet"), (gzip.compress(b"a", mtime=0), "gzip"), (b"PAR1", "Parquet")],
)
def test_other_formats_under_the_name_of_text_are_told(write, start, kind):
    for name in ("a.csv", "a.jsonl"):
        assert kind in refusal(write(name, start + bytes(100)))
    assert kind in refusal(write("a.txt", start + bytes(100)), read_texts)
