"""What decides a run beside its settings, as checksums: to know other data when it comes."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import jax
import numpy as np

from lstm_jax.data import Corpus
from lstm_jax.shapes import Params
from lstm_jax.train.config import Config
from lstm_jax.train.run_folder import RunFolder


def inputs_of(config: Config, corpus: Corpus, source: RunFolder | None) -> dict[str, str]:
    """The checksum of all that decides a classifier's weights or its result, but its settings.

    Args:
        config: the run's settings: they say whether texts without labels are read.
        corpus: what it is trained and measured on.
        source: the finished run that it starts from, if any.

    Returns:
        Checksums by name, as data.json has them.
    """
    parts = {"training_examples": corpus.train, "test_examples": corpus.test}
    inputs = {
        name: checksum_of(
            chain(corpus.class_names, [""], map(str, part.labels.tolist()), part.texts)
        )
        for name, part in parts.items()
        if part is not None
    }
    if corpus.train.weights is not None:
        inputs["example_weights"] = checksum_of(map(str, corpus.train.weights.tolist()))
    from_counts = config.text.cooccurrence_window > 0 and source is None
    if corpus.unlabelled and (config.train.unlabelled > 0 or from_counts):
        inputs["texts_without_labels"] = checksum_of(corpus.unlabelled)
    return inputs | inputs_of_runs(init=[source] if source else [])


def inputs_of_runs(**uses: Sequence[RunFolder]) -> dict[str, str]:
    """The checksum of what a run takes from finished runs, by the name of the use; none of none."""
    return {
        name: checksum_of(folder.fingerprint() for folder in folders)
        for name, folders in uses.items()
        if folders
    }


def changed_inputs(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names of what is not the same, for people to read; with its values if they are short."""
    changed = []
    for name in sorted({*before, *now}):
        values = [inputs.get(name, "none") for inputs in (before, now)]
        if values[0] != values[1]:
            short = max(map(len, values)) < 40
            shown = f" ({values[0]}, not {values[1]})" if short else ""
            changed.append(name.replace("_", " ") + shown)
    return changed


def checksum_of(texts: Iterable[str]) -> str:
    """The SHA-256 of strings and of where one ends and the next begins."""
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode(errors="surrogatepass")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def checksum_of_arrays(arrays: Params) -> str:
    """The SHA-256 of a tree of arrays: of their names, types, shapes and values."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(arrays):
        array = np.ascontiguousarray(leaf)
        about = (jax.tree_util.keystr(path), array.dtype.name, array.shape)
        digest.update(repr(about).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
