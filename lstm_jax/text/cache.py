"""Token ids on disk, so that a set of texts is cut into words once.

Each file is named for what it was made from, the tokenizer and the texts; when either changes,
another name is asked for. The folder is `$LSTM_JAX_CACHE`, else `lstm_jax` in `$XDG_CACHE_HOME` or
`~/.cache`; deleting it costs nothing but time. Where there is no such place, nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lstm_jax.files import write_bytes
from lstm_jax.text.tokenizer import WordTokenizer

# Two sets of texts, train and test, for a few seeds: 25 MB a set of IMDB.
_FILES = 12

# Below this many texts, reading a file takes as long as cutting them.
_WORTHWHILE = 1000
_MOST_IDS = 1 << 28


def encode_once(tokenizer: WordTokenizer, texts: Sequence[str]) -> list[NDArray[np.int32]]:
    """`tokenizer.encode_batch(texts)`, read from disk if it was there before.

    A file that is damaged is made again; a folder that cannot be written to is done without.

    Args:
        tokenizer, texts: as for `WordTokenizer.encode_batch`.

    Returns:
        For each text its int32 ids `[length]`.

    Raises:
        ValueError: as `WordTokenizer.encode_batch`.
    """
    if len(texts) < _WORTHWHILE:
        return tokenizer.encode_batch(texts)
    folder = cache_folder()
    if folder is None:
        return tokenizer.encode_batch(texts)
    path = folder / f"{_fingerprint(tokenizer, texts)}.npz"
    # Whatever a damaged file raises, of zipfile, NumPy or the system's memory: it is made again.
    with contextlib.suppress(Exception):
        return _read(path, len(texts), tokenizer.vocabulary_size)
    ids = tokenizer.encode_batch(texts)
    if sum(map(len, ids)) <= _MOST_IDS:  # writing needs as much memory again
        with contextlib.suppress(OSError):
            _write(path, ids)
    return ids


def cache_folder() -> Path | None:
    """Where the files are; it need not exist. None where nothing says where the user's files go.

    That is so in a container, for a user that the system does not know and without $HOME.
    """
    if folder := os.environ.get("LSTM_JAX_CACHE"):
        return Path(folder)
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "lstm_jax"
    try:
        return Path.home() / ".cache" / "lstm_jax"
    except RuntimeError:
        return None


def _fingerprint(tokenizer: WordTokenizer, texts: Sequence[str]) -> str:
    digest = hashlib.sha256(tokenizer.to_json().encode())
    for text in texts:
        content = str(text).encode(errors="surrogatepass")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()[:32]


def _read(path: Path, count: int, vocabulary_size: int) -> list[NDArray[np.int32]]:
    # A zip file has a checksum of each array, which is compared when its last byte is read.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        ids, ends = arrays["ids"], arrays["ends"]
    if ids.dtype != np.int32 or ids.ndim != 1 or ends.dtype != np.int64 or ends.shape != (count,):
        raise ValueError(f"{path}: must hold the ids of {count} texts")
    lengths = np.diff(ends, prepend=0)
    if lengths.min() < 1 or ends[-1] != len(ids):
        raise ValueError(f"{path}: ends must ascend to {len(ids)}")
    if ids.min() < 0 or ids.max() >= vocabulary_size:
        raise ValueError(f"{path}: ids must be in [0, {vocabulary_size})")
    os.utime(path)  # the files used last are kept
    return np.split(ids, ends[:-1])


def _write(path: Path, ids: list[NDArray[np.int32]]) -> None:
    content = io.BytesIO()
    np.savez(content, ids=np.concatenate(ids), ends=np.cumsum([len(row) for row in ids]))
    write_bytes(path, content.getvalue())
    by_age = sorted(path.parent.glob("*.npz"), key=lambda file: file.stat().st_mtime)
    for old in by_age[:-_FILES]:
        old.unlink(missing_ok=True)
