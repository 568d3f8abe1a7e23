"""Rows that cannot be used are told with their line and left out; too many of them stop a run."""

import json

import pytest

from lstm_jax.data import Reading, load_corpus, load_labelled, read_texts

GOOD = "".join(f"words {number},{('x', 'y')[number % 2]}\n" for number in range(500))
SKIP, STOP = Reading(on_error="skip"), Reading(on_error="stop")

# What is wrong with a row, and what is said of it.
FAULTS = {
    "a,b,c": "3 fields instead of 2",
    "alone": "1 field instead of 2",
    "a,": "no label",
    "a,NaN": "no label, but 'NaN', which stands for none",
    ",x": "no text",
    '"a"b,x': "',' expected after '\"'; is a quote missing?",
    '"a,x': None,  # takes the next quote for its end, see below
    "a,{long}": "a label must have at most 200 characters, got 201; is it the text?",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_damaged_row_of_many_is_left_out_and_told(write, fault):
    row = fault.format(long="x" * 201)
    path = write("a.csv", f"text,label\n{GOOD}{row}\n{GOOD}")
    corpus = load_corpus(path)
    assert len(corpus.train) == 1000
    (warning,) = corpus.warnings
    said = FAULTS[fault] or "unexpected end of data; is a quote missing?"
    assert warning == (f"{path}: 1 of 1,001 rows cannot be used and is left out: line 502: {said}")
    with pytest.raises(ValueError) as told:
        load_corpus(path, STOP)
    assert str(told.value) == f"{path}, line 502: {said}"


def test_more_than_one_in_a_hundred_stops_the_run_and_skip_goes_on(write):
    bad = "a,\n" * 12
    path = write("a.csv", f"text,label\n{GOOD}{bad}{GOOD}")
    with pytest.raises(ValueError) as told:
        load_corpus(path)
    message = str(told.value)
    assert message.startswith(f"{path}: 12 of 1,012 ")
    assert "rows cannot be used: line 502: no label; line 503: no label; " in message
    assert "; ...; mend them, or leave them out with --on-error skip" in message
    assert "\n" not in message
    assert "12 of 1,012 " in load_corpus(path, SKIP).warnings[0]


def test_a_file_of_which_nothing_can_be_used_is_refused_in_any_case(write):
    path = write("a.csv", "text,label\na,\nb,\n")
    with pytest.raises(ValueError, match=r"2 of 2 rows cannot be used: .*; there must be one that"):
        load_corpus(path, SKIP)
    path = write("a.jsonl", "5\n{]\n")
    with pytest.raises(ValueError, match="2 of 2 rows cannot be used: line 1: no object, but 5"):
        load_corpus(path, SKIP)


def test_a_quote_that_is_never_closed_costs_one_row_and_not_those_behind_it(write):
    path = write("a.csv", f'text,label\n"lost,x\n{GOOD}"two\nlines",y\n{GOOD}')
    corpus = load_corpus(path)
    assert len(corpus.train) == 1001
    assert corpus.train.texts[500] == "two\nlines"
    assert "1 of 1,002 rows cannot be used and is left out: line 2: " in corpus.warnings[0]


def test_the_end_of_a_damaged_field_is_not_taken_for_a_row(write):
    path = write("a.csv", f'text,label\n"a "quoted" word\nand more",x\n{GOOD}')
    corpus = load_corpus(path)
    assert corpus.train.texts[0] == "words 0"
    assert "2 of 502 rows" in corpus.warnings[0]


def test_a_lone_bad_byte_is_a_row_and_no_other_encoding(write):
    content = f"text,label\n{GOOD}schön,x\n".encode() + b"caf\xe9,x\n"
    corpus = load_corpus(write("a.csv", content))
    assert corpus.train.texts[-1] == "schön"
    assert "line 503: byte 0xe9 is not UTF-8" in corpus.warnings[0]


def test_a_bad_byte_within_a_row_of_several_lines_is_found(write):
    content = f"text,label\n{GOOD}schön,x\n".encode() + b'"a\ncaf\xe9\nb",x\n'
    corpus = load_corpus(write("a.csv", content))
    assert "line 503: byte 0xe9 is not UTF-8" in corpus.warnings[0]
    assert corpus.train.texts[-1] == "schön"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"text": "a"', "not JSON: "),
        ("[1]", "no object, but [1]"),
        ('{"label": "x"}', "no text"),
        ('{"text": "a"}', "no label"),
        ('{"text": ["a"], "label": "x"}', "the text must be a string, got ['a']"),
        (
            '{"text": "a", "label": {"b": 1}}',
            'the label must be a string or a whole number, got {"',
        ),
        ('{"text": "\\ud83d", "label": "x"}', "half a surrogate pair in the text"),
    ],
)
def test_a_damaged_object_of_many_is_left_out_and_told(write, row, said):
    good = "".join(json.dumps({"text": f"w {n}", "label": n % 2}) + "\n" for n in range(200))
    corpus = load_corpus(write("a.jsonl", f"{good}{row}\n{good}"))
    assert len(corpus.train) == 400
    assert f"line 201: {said}" in corpus.warnings[0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("__label__x __label__y text", "2 labels instead of 1"),
        ("text alone", "no label"),
        ("__label__x", "no text"),
    ],
)
def test_a_damaged_line_of_fasttext_is_left_out_and_told(write, row, said):
    good = "".join(f"__label__{n % 2} w {n}\n" for n in range(200))
    corpus = load_corpus(write("a.txt", f"{good}{row}\n{good}"))
    assert len(corpus.train) == 400
    assert f"line 201: {said}" in corpus.warnings[0]


def test_texts_without_labels_leave_damaged_rows_out_too(write):
    path = write("a.csv", f"text,label\n{GOOD}a,b,c\n")
    assert len(list(read_texts(path))) == 500
    with pytest.raises(ValueError, match="line 502: 3 fields instead of 2"):
        list(read_texts(path, STOP))
    with pytest.raises(ValueError, match="1 of 2 rows cannot be used: line 3: 3 fields"):
        list(read_texts(write("b.csv", "text,label\na,x\na,b,c\n")))


def test_a_label_that_the_classifier_does_not_have_always_stops(write):
    path = write("a.csv", f"text,label\n{GOOD}a,z\n")
    with pytest.raises(ValueError, match=r"line 502: the label must be one of the run's, 'x', 'y'"):
        load_labelled(path, ("x", "y"), SKIP)


@pytest.mark.parametrize(
    ("value", "label"), [("true", "true"), ("1.0", "1"), ('" a "', "a"), ("-3", "-3")]
)
def test_labels_of_objects_may_be_numbers_and_truth_values(write, value, label):
    lines = f'{{"text": "a", "label": {value}}}\n{{"text": "b", "label": "other"}}\n'
    assert label in load_corpus(write("a.jsonl", lines)).class_names
