"""Which columns a file has, which of them are read, and how its rows are written."""

import pytest

from lstm_jax.data import Reading, load_corpus, open_table, read_texts
from lstm_jax.data.columns import find_columns

ROWS = "".join(f"{n},a text of some words {n},{('x', 'y')[n % 2]},{n % 7}\n" for n in range(40))


def found(path, reading=Reading(), labelled=True):  # noqa: B008 - frozen
    """The columns that are read of a file."""
    return tuple(find_columns(open_table(path, reading), reading, labelled=labelled))


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("id,text,label,n", (("text",), "label")),
        ("id,Review,Sentiment,n", (("Review",), "Sentiment")),
        ("text,notes,label,rating", (("text",), "label")),
        ("id,notes,category,n", (("notes",), "category")),
        ("id,body,kind,text", (("text",), "kind")),
    ],
)
def test_columns_are_known_by_usual_names_and_by_what_is_in_them(write, header, columns):
    rows = ROWS.replace("a text of some words ", "") if header.startswith("text") else ROWS
    assert found(write("a.csv", f"{header}\n{rows}")) == columns


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", "id,review,stars\n1,good,5\n2,,4.5\n", "review"),
        ("a.csv", 'remark\n"single, quoted"\n', "remark"),
        ("a.csv", '"the review";n\n"good, very";1\n', "the review"),
        ("a.csv", "other,text\na,b\n", "text"),
        ("a.csv", "title,body,stars\na,b,5\n", "body"),
        ("a.csv", "title,remark,stars\na,something longer,5\n", "remark"),
        ("a.jsonl", '{"stars": 5, "review": "good"}\n{"stars": 4, "review": "bad"}\n', "review"),
        ("a.jsonl", '{"TEXT": "a", "b": "c"}\n', "TEXT"),
        ("a.jsonl", '{"a": {"b": "c", "n": 1}}\n', "a.b"),
    ],
)
def test_the_column_with_the_text_is_found_without_labels(write, name, content, text):
    assert found(write(name, content), labelled=False) == ((text,), None)


@pytest.mark.parametrize(
    ("name", "content", "which"),
    [
        (
            "a.csv",
            "title,remark,label\nab,cd,5\n",
            "text? Give --text-column; the columns are 'title'",
        ),
        ("a.csv", "id,stars\n1,5\n", "text? Give --text-column; the columns are 'id', 'stars'"),
        ("a.csv", "review,comment,label\nab,cd,5\n", "text? Give --text-column"),
        (
            "a.csv",
            "text,class,rating\na,5,6\nb,4,5\n",
            "label? Give --label-column; the columns are",
        ),
        ("a.csv", "text,m,n\na,5,6\nb,4,5\na,5,6\nb,4,5\n", "label? Give --label-column"),
        ("a.jsonl", '{"title": "ab", "remark": "cd"}\n', "text? Give --text-column"),
    ],
)
def test_where_two_guesses_are_as_good_the_columns_are_listed(write, name, content, which):
    path = write(name, content)
    with pytest.raises(ValueError) as told:
        load_corpus(path)
    assert str(told.value).startswith(f"{path}: which column has the {which}")
    assert "\n" not in str(told.value)


def test_a_column_of_all_different_values_is_no_label(write):
    rows = "".join(f"words {n},id{n}\n" for n in range(30))
    with pytest.raises(ValueError, match="which column has the label"):
        load_corpus(write("a.csv", f"text,key\n{rows}"))


def test_several_text_columns_are_joined_by_a_line_break(write):
    path = write("a.csv", "title,body,label\nA,b,x\n,c,y\nD, ,y\n")
    corpus = load_corpus(path, Reading(("title", "body")))
    assert corpus.train.texts == ["A\nb", "c", "D"]
    assert corpus.notes[0].endswith("text in 'title' and 'body', label in 'label'")
    path = write(
        "b.jsonl", '{"a": {"t": "A", "b": "B"}, "label": 1}\n{"a": {"b": "C"}, "label": 2}'
    )
    assert load_corpus(path, Reading(("a.t", "a.b"))).train.texts == ["A\nB", "C"]


def test_the_test_file_is_read_with_the_columns_of_the_training_file(write):
    train = write("a.csv", "id,remark,kind\n1,some words,x\n2,other words,y\n3,words,x\n4,w,y\n")
    test = write("b.csv", "remark;kind;text\ngood;x;not this\n")
    corpus = load_corpus(train, test_path=test)
    assert corpus.test is not None
    assert corpus.test.texts == ["good"]
    assert len(corpus.notes) == 2
    with pytest.raises(ValueError, match=r"c\.csv: there must be one column 'remark', got 0; the"):
        load_corpus(train, test_path=write("c.csv", "text,kind\ngood,x\n"))


# How rows are written.


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ("words in it,x\nmore words,y\nagain,x\n", False),
        ("1,words\n2,more words\n", False),
        (f"{'very ' * 30}good,x\nbad,y\n", False),
        ("words,x\nmore,y\n", True),
        ("text,label\ntext,label\n", True),
        ("year,2020\nwords,x\n", False),
    ],
)
def test_a_missing_header_is_found_out(write, content, header):
    columns = open_table(write("a.csv", content)).columns
    assert (columns == ("1", "2")) is not header


def test_whether_there_is_a_header_can_be_said(write):
    path = write("a.csv", "words,x\nmore,y\n")
    corpus = load_corpus(path, Reading(header="no"))
    assert (corpus.train.texts, corpus.class_names) == (["words", "more"], ("x", "y"))
    assert "no header, so the columns are called 1, 2, ..." in corpus.notes[0]
    path = write("b.csv", "2020,x\nmore,x\nless,y\n")
    assert load_corpus(path, Reading(("2020",), "x")).train.texts == ["more", "less"]
    path = write("c.csv", "words,kind of\nmore,y\n")
    assert load_corpus(path, Reading(("1",), "2")).train.texts == ["words", "more"]


def test_a_delimiter_can_be_said(write):
    path = write("a.csv", "text:label\na, b:x\nc, d:y\n")
    assert load_corpus(path, Reading(delimiter=":")).train.texts == ["a, b", "c, d"]
    path = write("b.csv", "text\tlabel\na;b\tx\nc;d\ty\n")
    assert load_corpus(path, Reading(delimiter="tab")).train.texts == ["a;b", "c;d"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": ""}, "delimiter must be one character, .* got ''"),
        ({"delimiter": '"'}, "delimiter must be one character"),
        ({"delimiter": "::"}, "delimiter must be one character"),
        ({"encoding": "latin-99"}, "encoding must be the name of one, .* got 'latin-99'"),
        ({"encoding": "base64"}, "encoding must be the name of one, .* got 'base64'"),
        ({"text_column": ("a", "a")}, "text_column must name each column once, got 'a' twice"),
        ({"text_column": "a", "label_column": "a"}, "must differ, got 'a' for both"),
    ],
)
def test_a_reading_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Reading(**options)


def test_quotes_in_columns_separated_by_tabs_are_letters_if_more_rows_fit_so(write):
    path = write("a.tsv", 'text\tlabel\n"Great" he said\tx\n"unclosed\ty\nplain\tx\n')
    corpus = load_corpus(path)
    assert corpus.train.texts == ['"Great" he said', '"unclosed', "plain"]
    assert "quotes belong to the texts" in corpus.notes[0]
    path = write("b.tsv", 'text\tlabel\n"a\tb"\tx\n"c ""d"""\ty\n')
    assert load_corpus(path).train.texts == ["a\tb", 'c "d"']


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("a,b\nc,d\n", ["a,b", "c,d"]),
        ("text\nb\n", ["text", "b"]),
        ("id,text\n1,b\n2,c\n", ["b", "c"]),
        ("x\tsome words\nx\tother words\n", ["some words", "other words"]),
        ("one\ttab\nno tab\nnone here\n", ["one\ttab", "no tab", "none here"]),
        ("", []),
    ],
)
def test_a_text_file_has_columns_only_if_that_is_plain_to_see(write, content, texts):
    assert list(read_texts(write("a.txt", content))) == texts


# Encodings.


def test_windows_1252_is_taken_where_utf8_it_is_not_and_said(write):
    content = "text,label\nschön,a\ncafé,b\n“so”,a\n"
    corpus = load_corpus(write("a.csv", content.encode("windows-1252")))
    assert corpus.train.texts == ["schön", "café", "“so”"]
    said = "Windows-1252, since it is not UTF-8 (--encoding names another)"
    assert said in corpus.notes[0]
    late = b"plain ascii,a\n" * 300_000
    path = write("b.csv", b"text,label\n" + late + "schön,b\n".encode("windows-1252"))
    assert load_corpus(path).train.texts[-1] == "schön"


def test_an_encoding_can_be_said(write):
    path = write("a.csv", "text,label\nда,a\nнет,b\n".encode("koi8-r"))
    corpus = load_corpus(path, Reading(encoding="koi8-r"))
    assert corpus.train.texts == ["да", "нет"]
    assert "koi8-r" in corpus.notes[0]
    path = write("b.csv", "\ufefftext,label\nда,a\nнет,b\n".encode())
    assert load_corpus(path, Reading(encoding="UTF8")).train.texts == ["да", "нет"]
    path = write("c.csv", "text,label\nда,a\nнет,b\n".encode())
    with pytest.raises(ValueError, match="line 2: byte 0xd0 is not ascii"):
        load_corpus(path, Reading(encoding="ascii"))
    with pytest.raises(ValueError, match=rf"^{path}, after line 0: not UTF-16: .* BOM; save it as"):
        load_corpus(path, Reading(encoding="utf-16"))
