"""Every format of a user's files gives the same texts and labels, and a damaged file one line."""

import bz2
import gzip
import json
import lzma
import sys

import numpy as np
import openpyxl
import pandas
import pyarrow
import pytest
import zstandard
from pyarrow import feather, parquet

from lstm_jax.data import Reading, load_corpus, load_labelled, open_table, read_texts

ROWS = [(f"a film, and {number} words — é", ("neg", "pos")[number % 2]) for number in range(30)]
TEXTS = [text for text, _ in ROWS]
COLUMNS = {"id": list(range(30)), "Kommentar": TEXTS, "Klasse": [label for _, label in ROWS]}
FRAME = pandas.DataFrame(COLUMNS)


def as_csv(**options):
    return lambda path: FRAME.to_csv(path, index=False, **options)


def as_json(**options):
    return lambda path: FRAME.to_json(path, **options)


def fasttext(path):
    path.write_text("".join(f"__label__{label} {text}\n" for text, label in ROWS), encoding="utf-8")


def arrow_stream(path):
    table = pyarrow.table(COLUMNS)
    with pyarrow.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def nested(path):
    lines = [json.dumps({"id": 1, "a": {"b": text}, "c": {"d": label}}) for text, label in ROWS]
    path.write_text("\n".join(lines))


FORMATS = {
    "a.csv": as_csv(),
    "b.csv": as_csv(sep=";"),
    "c.tsv": as_csv(sep="\t"),
    "d.txt": as_csv(sep="\t"),
    "e.csv": as_csv(header=False),
    "f.jsonl": as_json(orient="records", lines=True, force_ascii=False),
    "g.json": as_json(orient="records", lines=True),
    "h.json": as_json(orient="records", indent=2),
    "i.json": as_json(),
    "j.ndjson": nested,
    "k.parquet": lambda path: parquet.write_table(pyarrow.table(COLUMNS), path, row_group_size=7),
    "l.feather": lambda path: feather.write_feather(FRAME, str(path)),
    "m.arrow": arrow_stream,
    "n.xlsx": lambda path: FRAME.to_excel(path, index=False),
    "o.txt": fasttext,
}
PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}
SAID = {
    "a.csv": "UTF-8, columns separated by ',', text in 'Kommentar', label in 'Klasse'",
    "b.csv": "columns separated by ';'",
    "d.txt": "columns separated by tabs",
    "e.csv": "no header, so the columns are called 1, 2, ..., text in '2', label in '3'",
    "j.ndjson": "text in 'a.b', label in 'c.d'",
    "n.xlsx": "sheet 'Sheet1'",
    "o.txt": "__label__ lines of fastText",
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_texts_and_labels_and_says_what_it_found(tmp_path, name):
    path = tmp_path / name
    FORMATS[name](path)
    corpus = load_corpus(path)
    assert corpus.train.texts == TEXTS
    assert corpus.train.labels.tolist() == [number % 2 for number in range(30)]
    assert (corpus.class_names, corpus.warnings) == (("neg", "pos"), ())
    assert corpus.notes[0].startswith(f"{path}: ")
    assert SAID.get(name, "") in corpus.notes[0]


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_compressed_file_gives_what_is_in_it(tmp_path, name, suffix):
    FORMATS[name](tmp_path / name)
    packed = tmp_path / f"{name}.{suffix}"
    packed.write_bytes(PACKERS[suffix]((tmp_path / name).read_bytes()))
    assert load_corpus(packed).train.texts == TEXTS


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_compressed_file_that_is_cut_off_is_one_line(tmp_path, suffix):
    content = PACKERS[suffix](np.random.default_rng(0).bytes(50_000).hex().encode())
    path = tmp_path / f"a.csv.{suffix}"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=rf"^{path}: damaged or cut off, as .* reads it: ") as told:
        load_corpus(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.parquet", "Parquet"), ("a.feather", "Feather or Arrow"), ("a.xlsx", "Excel")],
)
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"ARROW1 and more", b"text,label\na,x\n"])
def test_a_damaged_binary_file_is_one_line(tmp_path, name, kind, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path}: not an? {kind} file, or damaged") as told:
        load_corpus(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "a.json: no rows"),
        ("[]", "a.json: no rows"),
        ("[{]", "a.json: not JSON: "),
        ("5", "must be an array of objects, got 5"),
        ("[5]", "row 1: no object, but 5"),
        ('{"text": "a", "label": 1}', "at least two labels"),
    ],
)
def test_json_that_is_no_table_is_one_line(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_corpus(tmp_path / "a.json")


def test_an_array_within_an_object_is_read(tmp_path):
    records = [{"text": text, "label": label} for text, label in ROWS]
    (tmp_path / "a.json").write_text(json.dumps({"data": records}))
    assert load_corpus(tmp_path / "a.json").train.texts == TEXTS
    (tmp_path / "b.jsonl").write_text(json.dumps(records, indent=1))
    assert load_corpus(tmp_path / "b.jsonl").train.texts == TEXTS


@pytest.mark.parametrize(
    ("name", "package"), [("k.parquet", "pyarrow"), ("n.xlsx", "openpyxl"), ("a.zst", "zstandard")]
)
def test_a_missing_package_is_named_with_how_to_get_it(tmp_path, monkeypatch, name, package):
    path = tmp_path / name
    if name == "a.zst":
        path.write_bytes(PACKERS["zst"](b"text,label\n"))
    else:
        FORMATS[name](path)
    for module in (package, "pyarrow.parquet", "pyarrow.ipc"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"{package} is needed .*: pip install {package}, or"):
        load_corpus(path)


# Excel.


def test_the_first_sheet_with_rows_is_read_as_its_csv_would_be(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.create_sheet("data")
    sheet.append([])
    for row in (["text", "label", None], ["1984", 1.0, None], [2001, 0, None], [None, 1]):
        sheet.append(row)
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(ValueError, match=r"1 of 3 rows cannot be used: row 5: no text"):
        load_corpus(tmp_path / "a.xlsx")
    corpus = load_corpus(tmp_path / "a.xlsx", Reading(on_error="skip"))
    assert corpus.train.texts == ["1984", "2001"]
    assert corpus.class_names == ("0", "1")
    assert "sheet 'data' of 2" in corpus.notes[0]


def test_an_empty_excel_file_is_one_line(tmp_path):
    openpyxl.Workbook().save(tmp_path / "a.xlsx")
    with pytest.raises(ValueError, match=r"a\.xlsx: empty"):
        load_corpus(tmp_path / "a.xlsx")


# Folders.


def write_folders(path, folders, count=3):
    for folder in folders:
        (path / folder).mkdir(parents=True)
        for number in range(count):
            content = f"a {number}\r\n\n{folder[-3:]} é\n".encode()
            (path / folder / f"{number}.txt").write_bytes(content)


def test_a_folder_of_class_folders_gives_a_text_for_each_file(tmp_path):
    write_folders(tmp_path / "a", ["pos", "neg"])
    (tmp_path / "a" / "pos" / "notes.md").write_text("no text")
    (tmp_path / "a" / "pos" / ".hidden.txt").write_text("no text")
    (tmp_path / "a" / "empty").mkdir()
    (tmp_path / "a" / "pos" / "2.txt").write_bytes("a 2\npos é".encode("windows-1252"))
    corpus = load_corpus(tmp_path / "a")
    assert corpus.class_names == ("neg", "pos")
    assert corpus.train.texts[:4] == [f"a {n}\r\n\nneg é" for n in range(3)] + ["a 0\r\n\npos é"]
    assert corpus.train.texts[5] == "a 2\npos é"
    assert corpus.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert corpus.test is None


def test_folders_called_train_and_test_are_the_parts(tmp_path):
    write_folders(tmp_path, ["train/pos", "train/neg", "test/pos", "test/neg"], count=2)
    corpus = load_corpus(tmp_path)
    assert corpus.test is not None
    assert (len(corpus.train), len(corpus.test)) == (4, 4)
    assert len(load_labelled(tmp_path, ("neg", "pos")).examples) == 4
    assert next(read_texts(tmp_path / "test")) == "a 0\r\n\nneg é"


def test_an_empty_file_in_a_folder_is_named(tmp_path):
    write_folders(tmp_path, ["pos", "neg"])
    (tmp_path / "pos" / "1.txt").write_text(" \n")
    with pytest.raises(ValueError, match=r"1 of 6 rows cannot be used: pos/1\.txt: no text"):
        load_corpus(tmp_path)


def write_dataset(path, labels, names=("neg", "pos")):
    """What `Dataset.save_to_disk` writes, as far as it is read."""
    path.mkdir(parents=True)
    half = len(labels) // 2
    for shard, part in enumerate((slice(0, half), slice(half, None))):
        table = pyarrow.table({"text": TEXTS[: len(labels)][part], "label": labels[part]})
        file = path / f"data-0000{shard}-of-00002.arrow"
        with pyarrow.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    files = [{"filename": file.name} for file in sorted(path.glob("*.arrow"))]
    (path / "state.json").write_text(json.dumps({"_data_files": files}))
    label = {"names": list(names), "_type": "ClassLabel"}
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": label}
    (path / "dataset_info.json").write_text(json.dumps({"features": features}))


def test_a_datasets_folder_has_its_classes_names_in_their_order(tmp_path):
    write_dataset(tmp_path / "a", [0, 1, 0, 1], ("pos", "neg"))
    corpus = load_corpus(tmp_path / "a")
    assert (corpus.class_names, corpus.train.texts) == (("pos", "neg"), TEXTS[:4])
    assert corpus.train.labels.tolist() == [0, 1, 0, 1]
    write_dataset(tmp_path / "b", [0, 1, -1, 7])
    with pytest.raises(ValueError, match=r"row 3: no label; row 4: there are 2 classes, got label"):
        load_corpus(tmp_path / "b")


def test_the_splits_of_a_datasets_folder_are_the_parts(tmp_path):
    for split, count in (("train", 6), ("test", 4), ("validation", 2)):
        write_dataset(tmp_path / "a" / split, [0, 1] * (count // 2))
    splits = {"splits": ["train", "test", "validation"]}
    (tmp_path / "a" / "dataset_dict.json").write_text(json.dumps(splits))
    corpus = load_corpus(tmp_path / "a")
    assert corpus.test is not None
    assert (len(corpus.train), len(corpus.test)) == (6, 4)
    assert corpus.notes[0] == f"{tmp_path / 'a'}: not read: 'validation'"
    (tmp_path / "a" / "dataset_dict.json").write_text('{"splits": ["dev"]}')
    with pytest.raises(ValueError, match="there must be a split 'train', got dev"):
        load_corpus(tmp_path / "a")
    (tmp_path / "a" / "train" / "state.json").write_text("{}")
    with pytest.raises(ValueError, match=r"state\.json: must name the _data_files"):
        load_corpus(tmp_path / "a" / "train")


# Tables as they are read.


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_can_be_read_twice_and_says_how_far_it_is(tmp_path, name):
    FORMATS[name](tmp_path / name)
    table = open_table(tmp_path / name)
    assert table.counted.share() in (0.0, 1.0)
    assert len(list(table.read())) == len(list(table.read())) == 30
    assert table.counted.share() == 1.0


@pytest.mark.parametrize(
    ("name", "reading", "option"),
    [
        ("f.jsonl", Reading(delimiter=";"), "delimiter"),
        ("f.jsonl", Reading(header="no"), "header"),
        ("k.parquet", Reading(encoding="utf-8"), "encoding"),
        ("n.xlsx", Reading(delimiter=","), "delimiter"),
    ],
)
def test_what_a_format_does_not_have_is_refused(tmp_path, name, reading, option):
    FORMATS[name](tmp_path / name)
    with pytest.raises(ValueError, match=f"such a file has no {option}, got --{option}"):
        load_corpus(tmp_path / name, reading)
