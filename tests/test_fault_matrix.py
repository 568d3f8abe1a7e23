"""Every format with every fault that a row of it can have: told with its place, and left out."""

import json

import pandas
import pyarrow
import pytest
from pyarrow import feather, parquet

from lstm_jax.data import Reading, load_corpus
from lstm_jax.data.formats import STATE

COUNT = 200  # one row of them is more than 1 % no longer
BAD = 120  # its place, counted from 0
ROWS = [(f"words {number}", ("x", "y")[number % 2]) for number in range(COUNT)]


def separated(delimiter):
    def write(path, rows):
        lines = [delimiter.join([text or "", label or ""]) for text, label in rows]
        path.write_text("\n".join([f"text{delimiter}label", *lines]), encoding="utf-8")

    return write


def objects(lines):
    def write(path, rows):
        records = [{"a": {"text": text}, "label": label} for text, label in rows]
        content = "\n".join(map(json.dumps, records)) if lines else json.dumps(records, indent=1)
        path.write_text(content, encoding="utf-8")

    return write


def fasttext(path, rows):
    lines = [f"__label__{label} {text or ''}" if label else text for text, label in rows]
    path.write_text("\n".join(lines), encoding="utf-8")


def arrow_table(rows):
    texts, labels = zip(*rows, strict=True)
    return pyarrow.table({"text": texts, "label": labels})


def excel(path, rows):
    pandas.DataFrame(rows, columns=["text", "label"]).to_excel(path, index=False)


def dataset(path, rows):
    path.mkdir()
    table = arrow_table(rows)
    with pyarrow.ipc.new_stream(path / "data.arrow", table.schema) as writer:
        writer.write_table(table)
    (path / STATE).write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))


def class_folders(path, rows):
    for number, (text, label) in enumerate(rows):
        folder = path / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03}.txt").write_text(text or "")


WRITERS = {
    "a.csv": separated(","),
    "b.csv": separated(";"),
    "c.tsv": separated("\t"),
    "d.txt": separated("\t"),
    "e.jsonl": objects(lines=True),
    "f.json": objects(lines=False),
    "g.parquet": lambda path, rows: parquet.write_table(arrow_table(rows), path),
    "h.feather": lambda path, rows: feather.write_feather(arrow_table(rows), str(path)),
    "i.xlsx": excel,
    "j.txt": fasttext,
    "dataset": dataset,
    "classes": class_folders,
}
# Where the row is, in the words of its format: behind a header, counted from 1, or by its name.
PLACES = {
    **dict.fromkeys(["a.csv", "b.csv", "c.tsv", "d.txt"], f"line {BAD + 2}"),
    **dict.fromkeys(["e.jsonl", "j.txt"], f"line {BAD + 1}"),
    **dict.fromkeys(["f.json", "g.parquet", "h.feather", "dataset"], f"row {BAD + 1}"),
    "i.xlsx": f"row {BAD + 2}",
    "classes": f"x/{BAD:03}.txt",
}
# What a row of it cannot have: a file in a folder of class folders has a class.
CASES = [
    (name, fault)
    for name in WRITERS
    for fault in ("no text", "no label")
    if (name, fault) != ("classes", "no label")
]


@pytest.mark.parametrize(("name", "fault"), CASES)
def test_a_row_of_any_format_without_text_or_label_is_left_out_and_told(tmp_path, name, fault):
    text, label = ROWS[BAD]
    row = (None, label) if fault == "no text" else (text, None)
    path = tmp_path / name
    WRITERS[name](path, [*ROWS[:BAD], row, *ROWS[BAD + 1 :]])
    corpus = load_corpus(path)
    kept = [text for text, _ in ROWS if text != ROWS[BAD][0]]
    assert sorted(corpus.train.texts) == sorted(kept)
    said = f"{PLACES[name]}: {fault}"
    assert corpus.warnings == (f"{path}: 1 of {COUNT} rows cannot be used and is left out: {said}",)
    with pytest.raises(ValueError, match=rf"^{path}, {said}$"):
        load_corpus(path, Reading(on_error="stop"))


@pytest.mark.parametrize("name", WRITERS)
def test_in_any_format_more_than_one_in_a_hundred_stops_the_run_unless_they_are_skipped(
    tmp_path, name
):
    rows = [
        (None, label) if number < 3 else (text, label) for number, (text, label) in enumerate(ROWS)
    ]
    path = tmp_path / name
    WRITERS[name](path, rows)
    with pytest.raises(
        ValueError, match=rf"^{path}: 3 of {COUNT} rows cannot be used: .*1%$"
    ) as told:
        load_corpus(path)
    assert "\n" not in str(told.value)
    assert len(load_corpus(path, Reading(on_error="skip")).train) == COUNT - 3


@pytest.mark.parametrize(
    "name", ["a.csv", "b.csv", "c.tsv", "d.txt", "e.jsonl", "j.txt", "classes"]
)
def test_damaged_bytes_of_any_text_cost_their_row(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path, ROWS)
    damaged = path / f"x/{BAD:03}.txt" if path.is_dir() else path
    whole = damaged.read_bytes()
    damaged.write_bytes(whole.replace(f"words {BAD}".encode(), "Müß \xff".encode("latin-1")))
    if name != "classes":  # there a file with no UTF-8 at all is in Windows-1252
        more = "ü".encode()
        damaged.write_bytes(
            damaged.read_bytes().replace(b"words 1", more).replace(b"words 5", more)
        )
    corpus = load_corpus(path)
    if name == "classes":
        assert "Müß ÿ" in corpus.train.texts
    else:
        (warning,) = corpus.warnings
        assert warning.endswith(f"{PLACES[name]}: byte 0xfc is not UTF-8")
