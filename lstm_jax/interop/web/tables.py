"""The weights of a run, packed for the page: small integers with a scale a row, compressed."""

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_jax.nn.layer import REVERSED
from lstm_jax.predictor import Predictor
from lstm_jax.train.quantized import quantise

CELLS = ("lstm", "peephole", "coupled", "no_bias")
_FINEST = 32_767


@dataclass(frozen=True)
class Levels:
    """The largest whole number that stands for a weight of a vector: fewer take less room.

    On 300 reviews of IMDB the defaults moved a probability by 0.001 at most and by 0.00003 in the
    median; 127 for words moved one by 0.002, and 63 for n-grams one by 0.003.
    """

    words: int = 255
    ngrams: int = 127


class Packed(NamedTuple):
    """What the page opens: where each table stands, and all of them as base64 of a zlib stream."""

    tables: dict[str, Any]
    content: str


class _Packer:
    """Puts tables one behind the other, each at a multiple of four bytes."""

    def __init__(self) -> None:
        self.tables: dict[str, Any] = {}
        self.bytes = bytearray()

    def array(self, name: str, array: NDArray[Any]) -> None:
        """An array as it is, but flat."""
        self.tables[name] = self._described(array)

    def text(self, name: str, text: str) -> None:
        """A text in UTF-8."""
        described = self._described(np.frombuffer(text.encode(), np.uint8))
        self.tables[name] = {**described, "kind": "text"}

    def rows(self, name: str, matrix: NDArray[np.floating], levels: int = _FINEST) -> None:
        """Whole numbers with a scale for each row: row r is numbers · scales[r] · step."""
        numbers, scales, step = quantise(matrix, levels)
        if numbers.dtype == np.int8:
            described = self._described(numbers)
        else:  # all low bytes, then all high ones, which are nearly alike
            planes = numbers.astype("<i2").view(np.uint8).reshape(-1, 2).T
            described = self._described(planes) | {"kind": "int16", "size": numbers.size}
        self.tables[name] = {
            **described,
            "shape": matrix.shape,
            "step": step,
            "scales": self._described(scales),
        }

    def packed(self) -> Packed:
        """What was put together."""
        content = zlib.compress(bytes(self.bytes), 9)
        return Packed(self.tables, base64.b64encode(content).decode("ascii"))

    def _described(self, array: NDArray[Any]) -> dict[str, Any]:
        self.bytes += b"\0" * (-len(self.bytes) % 4)
        offset = len(self.bytes)
        self.bytes += array.astype(array.dtype.newbyteorder("<")).tobytes()
        return {"kind": array.dtype.name, "offset": offset, "size": array.size}


def pack(run: Predictor, levels: Levels | None = None) -> Packed:
    """Packs the vocabulary, the n-grams and the weights of a run.

    Args:
        run: one whose cell is in `CELLS`.
        levels: how finely vectors are rounded; None for the defaults.

    Raises:
        ValueError: for another cell.
    """
    config, params = run.config.model, run.params
    if config.cell not in CELLS:
        raise ValueError(
            f"cell must be one of {', '.join(CELLS)} in a page, got {config.cell!r};"
            " a StableHLO program may have any"
        )
    levels = levels or Levels()
    packer = _Packer()
    _pack_words(packer, run)
    for name, table in params["embedding"].items():
        packer.rows(name, np.asarray(table), levels.words if name == "table" else levels.ngrams)
    for layer in range(config.layers):
        _pack_layer(packer, f"layer_{layer}", params["stack"][f"layer_{layer}"], config.direction)
    if config.pooling == "attention":
        keys, query = params["pooling"]["keys"], params["pooling"]["query"]
        packer.rows("attention/keys", np.asarray(keys["kernel"]).T)
        packer.array("attention/bias", np.asarray(keys["bias"]))
        packer.array("attention/query", np.asarray(query["kernel"])[:, 0])
    for name in ("kernel", "bias"):
        packer.array(f"head/{name}", np.asarray(params["head"][name]).reshape(-1))
    if config.linear:
        for name, table in params["linear"].items():
            if name.startswith("weights"):
                packer.rows(f"linear/{name}", np.asarray(table).T)
            else:
                packer.array(f"linear/{name}", np.asarray(table))
    return packer.packed()


def _pack_words(packer: _Packer, run: Predictor) -> None:
    words = run.tokenizer.words(range(run.tokenizer.vocabulary_size))
    packer.text("words", json.dumps(words, ensure_ascii=False))
    saved = json.loads(run.tokenizer.to_json())["model"]
    if "merges" in saved:
        ids = saved["vocab"]
        pairs = [[ids[first], ids[second]] for first, second in saved["merges"]]
        packer.array("merges", np.array(pairs, np.int32).reshape(-1))
    if run.model.ngrams is not None:
        for length, keys in enumerate(run.model.ngrams.keys, 2):
            packer.array(f"keys_of_{length}", keys)


def _pack_layer(packer: _Packer, name: str, layer: Any, direction: str) -> None:
    for reverse in REVERSED[direction]:
        which = "backward" if reverse else "forward"
        weights = layer[which]
        fields = weights if isinstance(weights, dict) else weights._asdict()
        for part, array in fields.items():
            if array is None:
                continue
            if part.endswith("kernel"):
                packer.rows(f"{name}/{which}/{part}", np.asarray(array).T)
            else:
                packer.array(f"{name}/{which}/{part}", np.asarray(array).reshape(-1))
