"""Files of users as they are: what is read, what is refused and how to go on then."""

import codecs
import io
from typing import Any

import pytest

from lstm_jax.data import Reading, load_corpus, load_labelled, read_texts
from lstm_jax.data.labels import near_equal
from lstm_jax.data.lines import stream_lines

TABLE = "text,label\ngood,pos\nbad,neg\n"


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
    assert "there must be one column 'text', got 2" in message


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
        write("a.ndjson", encode('{"text":"ü","label":1}\r\n{"text":"a","label":2}'))
    )
    assert corpus.train.texts == ["ü", "a"]
    assert list(read_texts(write("a.txt", encode("schön\n最高 🎬")))) == ["schön", "最高 🎬"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_any_system(write, end):
    corpus = load_corpus(write("a.csv", TABLE.replace("\n", end)))
    assert corpus.train.texts == ["good", "bad"]
    assert list(read_texts(write("a.txt", f"a{end}{end}b\x0b\u2028c"))) == ["a", "", "b\x0b\u2028c"]


def test_a_byte_order_mark_is_left_out_of_standard_input_too():
    stream: Any = io.BufferedReader(io.BytesIO(codecs.BOM_UTF8 + b"good\nbad"))  # pyright: ignore
    with stream_lines(stream, "standard input") as lines:
        assert list(lines) == ["good\n", "bad"]
    assert not stream.closed


def test_bytes_that_are_no_text_are_told_with_their_line_after_the_lines_before(write):
    path = write("a.txt", "ön\ntwo\n".encode() + b"thr\xffee\n")
    texts = read_texts(path, Reading(on_error="stop"))
    assert [next(texts), next(texts)] == ["ön", "two"]
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
    assert list(read_texts(path, Reading(("review",)))) == ["yes"]


def test_a_file_is_read_a_row_at_a_time(write):
    path = write("a.csv", "text,label\n" + "some words,1\n" * 200_000 + "too,many,fields\n")
    texts = read_texts(path, Reading(on_error="stop"))
    assert next(texts) == "some words"
    with pytest.raises(ValueError, match="line 200002: 3 fields instead of 2"):
        list(texts)


# Labels.


@pytest.mark.parametrize(
    "label",
    ["", "  ", "\u00a0", "NaN", "nan", "None", "null", "NULL", "NA", "<NA>", "N/A", " NaN "],
)
def test_a_label_that_stands_for_none_is_refused_with_its_line(write, label):
    for row in (f'"c",{label}\n', f'"c","{label}"\n'):
        message = refusal(write("a.csv", TABLE + row))
        assert "1 of 3 rows cannot be used: line 4: no label" in message
    content = '{"text": "a", "label": "x"}\n\n{"text": "b", "label": "%s"}\n' % label  # noqa: UP031
    assert "line 3: no label" in refusal(write("a.jsonl", content))
    message = refusal(write("a.jsonl", '{"text": "a", "label": NaN}\n'))
    assert "line 1: no label" in message


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
    examples = load_labelled(write("a.csv", "text,label\ngood,pos\n"), names).examples
    assert (examples.texts, examples.labels.tolist()) == (["good"], [2])
    path = write("b.csv", "text,label\ngood,pos\nx,Pos\n")
    message = refusal(path, load_labelled, class_names=names)
    assert (
        "line 3: the label must be one of the run's, 'neg', 'neutral', 'pos', got 'Pos'" in message
    )


# What is refused, and how to go on.


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.XLS", ".xls files are not read; save it as .xlsx or .csv"),
        ("a.ods", ".ods files are not read; save it as .xlsx or .csv"),
        ("a b.zip", "zip archives are not read; unpack it: unzip '"),
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
        assert "has texts without labels" in message
        assert "`train --unlabelled`" in message


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"PK\x03\x04", "spreadsheet"),
        (b"PAR1", "Parquet"),
        (b"%PDF", "PDF"),
        (bytes(8), "nothing but zeros"),
    ],
)
def test_other_formats_under_the_name_of_text_are_told(write, start, kind):
    for name in ("a.csv", "a.jsonl"):
        assert kind in refusal(write(name, start + bytes(100)))
    assert kind in refusal(write("a.txt", start + bytes(100)), read_texts)
