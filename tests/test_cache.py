"""Token ids on disk."""

import os
import pwd

import numpy as np
import pytest

from lstm_jax.text import WordTokenizer, encode_once
from lstm_jax.text.cache import cache_folder

TEXTS = [f"a film of {n} words and {n % 7} more" for n in range(1200)]


@pytest.fixture
def tokenizer(tmp_path, monkeypatch):
    monkeypatch.setenv("LSTM_JAX_CACHE", str(tmp_path / "cache"))
    return WordTokenizer.train(TEXTS, preset="keras", vocabulary_size=50)


def files():
    folder = cache_folder()
    assert folder is not None
    return sorted(folder.glob("*"))


def same(found, expected):
    return len(found) == len(expected) and all(
        a.dtype == np.int32 and np.array_equal(a, b) for a, b in zip(found, expected, strict=True)
    )


def test_texts_are_cut_into_words_once(tokenizer, monkeypatch):
    expected = tokenizer.encode_batch(TEXTS)
    assert same(encode_once(tokenizer, TEXTS), expected)
    monkeypatch.setattr(WordTokenizer, "encode_batch", lambda *_: pytest.fail("cut again"))
    assert same(encode_once(tokenizer, TEXTS), expected)


def test_other_texts_or_another_tokenizer_have_files_of_their_own(tokenizer):
    encode_once(tokenizer, TEXTS)
    encode_once(tokenizer, [*TEXTS[1:], TEXTS[0]])
    smaller = WordTokenizer.train(TEXTS, preset="keras", vocabulary_size=20)
    assert same(encode_once(smaller, TEXTS), smaller.encode_batch(TEXTS))
    assert len(files()) == 3


@pytest.mark.parametrize("damage", [b"", b"no archive", None], ids=["empty", "other", "truncated"])
def test_a_damaged_file_is_made_again(tokenizer, damage):
    expected = encode_once(tokenizer, TEXTS)
    (path,) = files()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert same(encode_once(tokenizer, TEXTS), expected)
    assert path.read_bytes() == whole


def test_bytes_changed_anywhere_never_change_ids(tokenizer, rng, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # hundreds of them take their time
    expected = encode_once(tokenizer, TEXTS)
    (path,) = files()
    whole = path.read_bytes()
    edges = {*range(0, 300, 2), *range(len(whole) - 250, len(whole), 2)}
    for place in [*edges, *rng.integers(len(whole), size=100)]:
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        assert same(encode_once(tokenizer, TEXTS), expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda ids, ends: (ids, ends[::-1]),
        lambda ids, ends: (ids, ends - 1),
        lambda ids, ends: (ids, ends[1:]),
        lambda ids, ends: (ids, np.r_[ends[1], ends[1:]]),
        lambda ids, ends: (ids, ends.astype(float)),
        lambda ids, ends: (ids.astype(np.int64), ends),
        lambda ids, ends: (ids + 50, ends),
        lambda ids, ends: (ids - 2, ends),
        lambda ids, ends: (ids[:0], ends * 0),
        lambda ids, ends: (ids[None], ends),
    ],
)
def test_a_file_that_holds_no_ids_of_these_texts_is_made_again(tokenizer, change):
    expected = encode_once(tokenizer, TEXTS)
    (path,) = files()
    whole = path.read_bytes()
    with np.load(path) as arrays:
        ids, ends = change(arrays["ids"], arrays["ends"])
    np.savez(path, ids=ids, ends=ends)
    assert same(encode_once(tokenizer, TEXTS), expected)
    assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_made_is_done_without(tokenizer, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LSTM_JAX_CACHE", str(tmp_path / "file" / "cache"))
    assert same(encode_once(tokenizer, TEXTS), tokenizer.encode_batch(TEXTS))


def test_the_files_used_last_are_kept(tokenizer):
    for n in range(14):
        encode_once(tokenizer, TEXTS[n:] + TEXTS[:n])
        for age, path in enumerate(sorted(files(), key=os.path.getmtime, reverse=True)):
            os.utime(path, (1e9 - age, 1e9 - age))
    assert len(files()) == 12
    assert not [path for path in files() if path.suffix != ".npz"]


def test_few_texts_leave_no_file(tokenizer):
    encode_once(tokenizer, TEXTS[:10])
    assert not files()


def test_a_user_without_a_home_has_no_cache(tokenizer, monkeypatch):
    for name in ("LSTM_JAX_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(_):
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert cache_folder() is None
    assert same(encode_once(tokenizer, TEXTS), tokenizer.encode_batch(TEXTS))
