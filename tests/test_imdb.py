"""The IMDB reviews from every place they can come from; made-up archives stand in for the real."""

import gzip
import hashlib
import http.server
import io
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from lstm_jax.data import DataUnavailableError, imdb

SHARED = Path(__file__).parents[2] / "shared" / "data"
real_data = pytest.mark.real_data
needs_prepared = pytest.mark.skipif(
    not (SHARED / "tfds").is_dir(), reason=f"no prepared IMDB reviews in {SHARED / 'tfds'}"
)
needs_archive = pytest.mark.skipif(
    not (SHARED / "aclImdb_v1.tar.gz").is_file(), reason=f"no aclImdb_v1.tar.gz in {SHARED}"
)


def make_reviews(count=12):
    """Names in the archive and contents, `count` in each folder."""
    return {
        f"aclImdb/{part}/{folder}/{number}_{rating}.txt": (
            f" {part} {folder} number {number}: naïve “film”<br />…\n".encode()
        )
        for part, folder, rating in [
            ("train", "pos", 9),
            ("train", "neg", 2),
            ("train", "unsup", 0),
            ("test", "pos", 10),
            ("test", "neg", 1),
        ]
        for number in range(count)
    }


def pack(files):
    """A tar.gz of files by name, with what else the real archive has in it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        folder = tarfile.TarInfo("aclImdb/train/pos")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        others = {"aclImdb/README": b"read me", "aclImdb/train/labeledBow.feat": b"9 0:9"}
        for name, content in {**others, **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "aclImdb_v1.tar.gz"
    path.write_bytes(pack(make_reviews()))
    return path


def unpack(files, root):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def same_corpus(one, other):
    return (
        one.train.texts == other.train.texts
        and one.test.texts == other.test.texts
        and one.train.labels.tolist() == other.train.labels.tolist()
        and one.test.labels.tolist() == other.test.labels.tolist()
        and one.unlabelled == other.unlabelled
        and one.class_names == other.class_names
    )


# Archives and folders.


def test_an_archive_gives_each_review_with_its_label(archive):
    corpus = imdb.read_archive(archive, unlabelled=True)
    assert corpus.class_names == ("negative", "positive")
    for part, examples in (("train", corpus.train), ("test", corpus.test)):
        assert examples is not None
        expected = {
            f"{part} {folder} number {number}: naïve “film”<br />…": label
            for label, folder in enumerate(["neg", "pos"])
            for number in range(12)
        }
        assert dict(zip(examples.texts, examples.labels.tolist(), strict=True)) == expected
        assert len(examples) == 24
        # Mixed, as TFDS has them: the first half of the examples has both classes.
        assert 2 < examples.labels[:12].sum() < 10
    assert len(set(corpus.unlabelled)) == 12
    assert all(text.startswith("train unsup") for text in corpus.unlabelled)
    assert imdb.read_archive(archive).unlabelled == []


def test_a_folder_gives_what_its_archive_gives(archive, tmp_path):
    unpack(make_reviews(), tmp_path / "unpacked")
    unpack({"aclImdb/train/pos/notes.txt": b"no review"}, tmp_path / "unpacked")
    corpus = imdb.read_archive(archive, unlabelled=True)
    for folder in ("unpacked", "unpacked/aclImdb"):
        assert same_corpus(corpus, imdb.read_archive(tmp_path / folder, unlabelled=True))


def test_the_order_of_files_in_an_archive_does_not_matter(archive, tmp_path):
    backwards = tmp_path / "backwards.tar.gz"
    renamed = {f"./{name}": content for name, content in reversed(make_reviews().items())}
    backwards.write_bytes(pack(renamed))
    one, other = (imdb.read_archive(path, unlabelled=True) for path in (archive, backwards))
    assert same_corpus(one, other)


def test_hostile_names_in_an_archive_are_not_read_and_nothing_is_written(archive, tmp_path):
    hostile = {
        "../aclImdb/train/pos/90_9.txt": b"up",
        "/aclImdb/train/pos/91_9.txt": b"root",
        "aclImdb/train/pos/../pos/92_9.txt": b"around",
        "aclImdb/train/pos/93_9.txt/94_9.txt": b"below",
    }
    path = tmp_path / "in" / "hostile.tar.gz"
    path.parent.mkdir()
    path.write_bytes(pack({**make_reviews(), **hostile}))
    before = sorted(tmp_path.rglob("*"))
    assert same_corpus(imdb.read_archive(path), imdb.read_archive(archive))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_truncated_archive_is_an_error_wherever_it_ends(tmp_path):
    whole = pack(make_reviews())
    path = tmp_path / "cut.tar.gz"
    for length in (0, 5, 12, *range(20, len(whole), 97), len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.tar\.gz: (truncated|no reviews)"):
            imdb.read_archive(path)


def test_a_damaged_archive_is_an_error(tmp_path):
    path = tmp_path / "bad.tar.gz"
    content = bytearray(pack(make_reviews()))
    content[len(content) // 2] ^= 0xFF
    for bad in (bytes(content), b"<html>not found</html>", gzip.compress(b"not a tar" * 999)):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=r"bad\.tar\.gz: truncated, damaged or not"):
            imdb.read_archive(path)


def test_an_incomplete_archive_says_what_is_missing(tmp_path):
    path = tmp_path / "part.tar.gz"
    files = {name: text for name, text in make_reviews().items() if "test/neg" not in name}
    path.write_bytes(pack(files))
    with pytest.raises(ValueError, match="no reviews in aclImdb/test/neg; they must be laid out"):
        imdb.read_archive(path)
    with pytest.raises(ValueError, match="no reviews in aclImdb/train/neg, aclImdb/train/pos"):
        imdb.read_archive(tmp_path)
    path.write_bytes(pack({**make_reviews(), "aclImdb/train/neg/99_1.txt": b"caf\xe9"}))
    with pytest.raises(ValueError, match=r"aclImdb/train/neg/99_1\.txt is not UTF-8"):
        imdb.read_archive(path)


# TensorFlow Datasets.


@pytest.fixture
def server():
    """A web server on this machine that has one file; `server.content` is the file."""

    class Handler(http.server.BaseHTTPRequestHandler):
        server: Any

        def do_HEAD(self):
            self.send_response(200 if self.server.content is not None else 404)
            self.send_header("Content-Length", str(len(self.server.content or b"")))
            self.end_headers()

        def do_GET(self):
            self.server.requests.append(self.path)
            self.do_HEAD()
            self.wfile.write(self.server.content or b"")

        def log_message(self, format, *args):
            pass

    serving: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving:
        serving.content, serving.requests = pack(make_reviews()), []
        serving.url = f"http://127.0.0.1:{serving.server_port}/aclImdb_v1.tar.gz"
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture
def made_up_url(server, monkeypatch):
    """The made-up archive as the one to download, with its checksum."""
    import tensorflow_datasets as tfds

    from lstm_jax.data.imdb_builder import ImdbReviews

    checksum = hashlib.sha256(server.content).hexdigest()
    info = tfds.core.download.checksums.UrlInfo(len(server.content), checksum, "a.tar.gz")  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(imdb, "ARCHIVE_URL", server.url)
    monkeypatch.setattr(ImdbReviews, "url_infos", {server.url: info})
    return server


def test_preparing_downloads_once_and_reads_back_what_the_archive_has(
    made_up_url, archive, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    corpus = imdb.load_imdb(unlabelled=True)
    assert same_corpus(corpus, imdb.read_archive(archive, unlabelled=True))
    assert len(made_up_url.requests) == 1
    assert same_corpus(imdb.load_imdb(unlabelled=True), corpus)
    assert imdb.load_imdb().unlabelled == []
    assert len(made_up_url.requests) == 1
    assert capfd.readouterr().out == ""


def test_what_is_prepared_has_the_layout_of_tfds(made_up_url, tmp_path):
    import tensorflow_datasets as tfds

    imdb.load_imdb(tmp_path)
    files = {file.name for file in (tmp_path / "imdb_reviews/plain_text/1.0.0").iterdir()}
    assert files == {
        "dataset_info.json",
        "features.json",
        "imdb_reviews-test.array_record-00000-of-00001",
        "imdb_reviews-train.array_record-00000-of-00001",
        "imdb_reviews-unsupervised.array_record-00000-of-00001",
        "label.labels.txt",
    }
    source: Any = tfds.data_source("imdb_reviews", split="train", data_dir=str(tmp_path))
    example = source[0]
    assert set(example) == {"text", "label"}
    assert example["text"].decode() == imdb.load_imdb(tmp_path).train.texts[0]
    unlabelled: Any = tfds.data_source("imdb_reviews", split="unsupervised", data_dir=str(tmp_path))
    assert {example["label"] for example in unlabelled} == {-1}


def test_the_real_address_is_asked_through_the_proxy_and_its_checksum_is_checked(
    server, tmp_path, monkeypatch
):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(DataUnavailableError, match=r"(?s)wrong checksum.*c40f74a18d3b61f90feba"):
        imdb.load_imdb(tmp_path)
    assert server.requests == ["http://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"]
    assert not (tmp_path / imdb.PREPARED).exists()


def test_nothing_without_a_known_checksum_is_downloaded(server, tmp_path, monkeypatch):
    monkeypatch.setattr(imdb, "ARCHIVE_URL", server.url)
    with pytest.raises(DataUnavailableError, match="Missing checksums"):
        imdb.load_imdb(tmp_path)
    assert server.requests == []


def test_a_download_that_breaks_off_is_not_taken_for_the_data(made_up_url, tmp_path):
    whole = made_up_url.content
    made_up_url.content = whole[:-100]
    with pytest.raises(DataUnavailableError, match=r"preparing them failed(?s:.*)checksum"):
        imdb.load_imdb(tmp_path)
    made_up_url.content = None
    with pytest.raises(DataUnavailableError, match="HTTP Error 404"):
        imdb.load_imdb(tmp_path)
    made_up_url.content = whole
    assert len(imdb.load_imdb(tmp_path).train) == 24


def test_prepared_files_that_cannot_be_read_say_so(made_up_url, tmp_path):
    imdb.load_imdb(tmp_path)
    info = tmp_path / imdb.PREPARED / "dataset_info.json"
    good = info.read_text()
    info.write_text(good.replace('"array_record"', '"tfrecord"'))
    with pytest.raises(DataUnavailableError, match=r"(?is)tfrecord.*What to do"):
        imdb.load_imdb(tmp_path)
    info.write_text(good[:100])
    with pytest.raises(DataUnavailableError, match="cannot be read from there"):
        imdb.load_imdb(tmp_path)
    info.write_text(good)
    (tmp_path / imdb.PREPARED / "imdb_reviews-train.array_record-00000-of-00001").unlink()
    with pytest.raises(DataUnavailableError, match="cannot be read from there"):
        imdb.load_imdb(tmp_path)


def test_tensorflow_is_not_imported(made_up_url, tmp_path):
    import sys

    before = "tensorflow" in sys.modules
    imdb.load_imdb(tmp_path)
    assert ("tensorflow" in sys.modules) == before


# The real reviews.


@real_data
@needs_prepared
def test_the_prepared_reviews_are_all_there():
    corpus = imdb.load_imdb(SHARED / "tfds")
    assert corpus.test is not None
    assert (len(corpus.train), len(corpus.test)) == (25_000, 25_000)
    assert corpus.train.labels.sum() == corpus.test.labels.sum() == 12_500
    # The example that TFDS documents.
    assert corpus.train.texts[0].startswith("This was an absolutely terrible movie. Don't be lured")
    assert corpus.train.labels[0] == 0


@real_data
@needs_prepared
@needs_archive
def test_the_archive_gives_the_prepared_reviews_in_the_same_order():
    prepared = imdb.load_imdb(SHARED / "tfds", unlabelled=True)
    assert len(prepared.unlabelled) == 50_000
    assert same_corpus(prepared, imdb.read_archive(SHARED / "aclImdb_v1.tar.gz", unlabelled=True))
