"""Weights as small whole numbers: how a quantised run keeps its parameters.

A large array becomes a table of whole numbers with a scale for each row, in the store that all
weights are kept in. Vectors of words and n-grams may be coordinates in fewer dimensions, the
principal ones, before they are rounded. Small arrays stay float32: they cost little.

Source: for fewer dimensions, Eckart & Young (1936), "The approximation of one matrix by another of
lower rank".
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from lstm_jax.checked import Count, Size, checked
from lstm_jax.files import read_json
from lstm_jax.shapes import Params
from lstm_jax.train.arrays import read_arrays
from lstm_jax.train.checkpoints import load_weights
from lstm_jax.train.run_folder import RunFolder

VECTORS, WORDS = "embedding/", "embedding/table"  # names of arrays
SMALLEST = 1024  # numbers of an array that is worth rounding
# A linear model has one number a token and class, some a hundred times as large as others.
LINEAR_LEVELS = 2047
BYTE = 127  # the largest whole number of an int8


@checked
class Precision:
    """How finely weights are kept: smaller numbers take less room."""

    words: Size = 127
    """The largest whole number that stands for a number of a word's vector."""
    ngrams: Size = 127
    """The same of an n-gram's vector."""
    kernels: Size = 127
    """The same of all other large arrays but those of the linear model."""
    word_rank: Count = 0
    """Dimensions of a word's vector that are kept; 0 for all."""
    ngram_rank: Count = 0
    """The same of an n-gram's vector."""

    def levels(self, name: str) -> int:
        """The largest whole number in the array of a name, such as "embedding/table"."""
        if name.startswith("linear/"):
            return LINEAR_LEVELS
        if name.startswith(VECTORS):
            return self.words if name == WORDS else self.ngrams
        return self.kernels

    def rank(self, name: str, matrix: Any) -> int:
        """The dimensions of an array's rows that are kept; 0 for all."""
        if not name.startswith(VECTORS):
            return 0
        rank = self.word_rank if name == WORDS else self.ngram_rank
        return rank if rank < min(matrix.shape) else 0


@checked
class Quantization:
    """What quantized.json holds."""

    source: str
    """The fingerprint of the run that was made smaller."""
    command: str
    """What the user typed to make it smaller."""
    precision: Precision
    """How finely its weights are rounded."""
    ngrams: tuple[int, int]
    """How many n-grams have a vector: before, and now."""
    vocabulary: tuple[int, int]
    """How many token ids there are: before, and now."""


def quantise(
    matrix: NDArray[np.floating], levels: int
) -> tuple[NDArray[np.signedinteger], NDArray[np.uint16], float]:
    """Writes each row as whole numbers times a scale, rounded to the nearest.

    Args:
        matrix: [R, C].
        levels: the largest magnitude of a whole number, from 1 to 32,767.

    Returns:
        The numbers [R, C], int8 if they fit; the scales [R], themselves whole numbers; and the
        step: an element is number · scale · step.
    """
    largest = np.abs(matrix).max(axis=1, initial=0.0).astype(np.float64)
    step = float(largest.max(initial=0.0)) / levels / 65_535 or 1.0
    # Rounded up, so that no number is beyond the levels.
    scales = np.ceil(largest / levels / step - 1e-9).clip(1, 65_535).astype(np.uint16)
    matrix = np.ascontiguousarray(matrix)
    numbers = np.rint(matrix / (scales[:, None] * step)).clip(-levels, levels)
    return numbers.astype(np.int8 if levels <= BYTE else np.int16), scales, step


def round_weights(params: Params, precision: Precision) -> Params:
    """The parameters as they are stored: a dictionary in the place of each large array.

    Args:
        params: of a classifier.
        precision: how finely they are rounded.

    Returns:
        A tree of NumPy arrays. `numbers`, `scales` and `step` stand for an array, as `quantise`
        gives them: its rows are vectors of words and n-grams, and columns of anything else. Where
        vectors have fewer dimensions, `basis` [rank, E] turns them into whole ones.
    """

    def stored(name: str, array: Any) -> Any:
        array = np.asarray(array)
        if not _is_rounded(array.shape):
            return array
        rows, basis = _rows(name, array), {}
        if rank := precision.rank(name, rows):
            _, directions = np.linalg.eigh(rows.T.astype(np.float64) @ rows)
            principal = directions[:, : -rank - 1 : -1].astype(np.float32)
            rows, basis = rows @ principal, {"basis": np.ascontiguousarray(principal.T)}
        numbers, scales, step = quantise(rows, precision.levels(name))
        return {"numbers": numbers, "scales": scales, "step": np.float32(step), **basis}

    return _by_name(stored, params)


def restore_weights(stored: Params, like: Params) -> Params:
    """The parameters, float32, that `round_weights` gave a tree for; `like` has their shapes."""

    def restored(name: str, leaf: Any, kept: Any) -> NDArray[np.float32]:
        if not _is_rounded(leaf.shape):
            return np.asarray(kept, np.float32)
        sizes = kept["scales"].astype(np.float32) * kept["step"]
        rows = kept["numbers"].astype(np.float32) * sizes[:, None]
        if "basis" in kept:
            rows = rows @ kept["basis"]
        rows = rows if name.startswith(VECTORS) else rows.T
        return np.ascontiguousarray(rows).reshape(leaf.shape)

    return _by_name(restored, like, stored)


def weights_of(folder: RunFolder, init: Callable[[], Params]) -> Params:
    """Reads the parameters of a run, quantised or not, as NumPy arrays.

    Args:
        folder: of a finished run.
        init: makes parameters of the same shapes; it is only traced.

    Raises:
        ValueError: naming the folder, if its files are damaged or hold other parameters.
    """
    if not folder.quantized.exists():
        return load_weights(folder.weights, init)
    precision, shapes = read_quantization(folder).precision, jax.eval_shape(init)

    def stored(name: str, leaf: Any) -> Any:
        if not _is_rounded(leaf.shape):
            return leaf
        rows = jax.eval_shape(partial(_rows, name), leaf)
        count, width = rows.shape
        rank = precision.rank(name, rows)
        kind = np.int8 if precision.levels(name) <= BYTE else np.int16
        return {
            "numbers": jax.ShapeDtypeStruct((count, rank or width), kind),
            "scales": jax.ShapeDtypeStruct((count,), np.uint16),
            "step": jax.ShapeDtypeStruct((), np.float32),
            **({"basis": jax.ShapeDtypeStruct((rank, width), np.float32)} if rank else {}),
        }

    return restore_weights(read_arrays(folder.weights, _by_name(stored, shapes)), shapes)


def read_quantization(folder: RunFolder) -> Quantization:
    """What quantized.json holds.

    Raises:
        ValueError: naming the file, if it is not what a quantised run has.
    """
    return read_json(folder.quantized, Quantization)


def _is_rounded(shape: tuple[int, ...]) -> bool:
    return math.prod(shape) >= SMALLEST


def _rows(name: str, array: Any) -> Any:
    """An array as a matrix whose rows have a scale each."""
    if array.ndim == 1:
        return array[None]
    return array if name.startswith(VECTORS) else array.reshape(-1, array.shape[-1]).T


def _by_name(function: Callable[..., Any], *trees: Params) -> Params:
    """`jax.tree.map` with the name of each leaf, such as "embedding/table", as first argument."""

    def named(path: Any, *leaves: Any) -> Any:
        return function(jax.tree_util.keystr(path, simple=True, separator="/"), *leaves)

    return jax.tree_util.tree_map_with_path(named, *trees)
