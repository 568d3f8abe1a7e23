"""Batches of a few fixed shapes, ready before the step that needs them begins.

Examples of similar length share a bucket and are padded to its width, so that there is one
compilation for each bucket and little is computed on padding. What a batch holds is a pure function
of (data, seed, number of the batch): the order is drawn anew for each epoch, the position is one
number that goes into a checkpoint, and neither depends on the number of devices.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_jax.data.buckets import Padding, bucket_edges
from lstm_jax.data.dataset import Dataset
from lstm_jax.text.tokenizer import PADDING

# Grain wants a finite length; nobody trains for this many epochs.
_ENDLESS = 1_000_000_000

# One thread builds a batch in far less time than a step takes; a few batches ahead hide its jitter.
_READ_AHEAD = 4


class Batch(NamedTuple):
    """Rows of equal width; padding rows, which only fill the batch up, have weight 0.

    Args:
        tokens: int32 `[B, T]`, padded with 0.
        lengths: int32 `[B]`, the steps of each row that the model runs over.
        labels: int32 `[B]`, UNLABELLED where there is none, 0 in padding rows.
        weights: float32 `[B]`, how much an example counts, usually 1; 0 for padding rows.
        index: int32 `[B]`, the example's row number in the data, -1 for padding rows.
        soft_labels: float32 `[B, C]`, what to learn in the place of a label where there is none; or
            None, if no example has any.
    """

    tokens: NDArray[np.int32]
    lengths: NDArray[np.int32]
    labels: NDArray[np.int32]
    weights: NDArray[np.float32]
    index: NDArray[np.int32]  # pyright: ignore[reportIncompatibleMethodOverride]
    soft_labels: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Batching:
    """How examples become batches.

    Args:
        batch_size: the examples of a full batch; >= 1.
        padding: how a sequence of ids becomes a row.
        buckets: how many widths to find in the data, or the widths themselves (`edges` of other
            batches, say, to have the same shapes).
        row_multiple: B is a multiple of it (the number of devices). Padding rows fill it up, so
            the examples of a batch do not depend on it.

    Raises:
        ValueError: if a number is below 1.
    """

    batch_size: int
    padding: Padding
    buckets: int | tuple[int, ...] = 1
    row_multiple: int = 1

    def __post_init__(self) -> None:
        for name in ("batch_size", "row_multiple"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def rows(self) -> int:
        """B."""
        return -(-self.batch_size // self.row_multiple) * self.row_multiple


class Batches:
    """All batches of one or more epochs, each found by its number.

    `len(batches)` is their number, `batches[index]` is one, and each `iter(batches)` begins with
    the first again.

    Attributes:
        edges: the widths of the buckets.
        shapes: the distinct `[B, T]` of the batches, one for each bucket that is not empty.
        batches_per_epoch: the same in every epoch.
        fingerprint: differs where (data, order, batch size, widths) differ.
    """

    def __init__(
        self, data: Dataset, batching: Batching, *, seed: int | None = None, epochs: int = 1
    ) -> None:
        """Plans the batches; with `seed=None` the order is by length, without shuffling."""
        for name, value in (("epochs", epochs), ("the number of examples", len(data))):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if seed is not None and seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        self._data, self._batching = data, batching
        self._ids = [batching.padding.cut(ids) for ids in data.ids]
        self._seed, self._epochs = seed, epochs
        lengths = np.array([len(ids) for ids in self._ids], np.int32)
        self.edges = _widths(lengths, batching)
        bucket_of = np.searchsorted(self.edges, lengths)
        self._buckets = [
            (width, rows[np.argsort(lengths[rows], kind="stable")])
            for number, width in enumerate(self.edges)
            if len(rows := np.flatnonzero(bucket_of == number))
        ]
        self.shapes = [(batching.rows, width) for width, _ in self._buckets]
        self.batches_per_epoch = sum(
            -(-len(rows) // batching.batch_size) for _, rows in self._buckets
        )
        self.fingerprint = self._fingerprint()
        # Two epochs, because reading ahead crosses from one into the next.
        self._plan = lru_cache(maxsize=2)(self._make_plan)

    def __len__(self) -> int:
        return self._epochs * self.batches_per_epoch

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(f"index must be from 0 to {len(self) - 1}, got {index}")
        epoch, step = divmod(index, self.batches_per_epoch)
        width, rows = self._plan(epoch)[step]
        return self._fill(width, rows)

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))

    def _make_plan(self, epoch: int) -> list[tuple[int, NDArray[np.int64]]]:
        """The width and the examples of each batch of an epoch: a pure function of its number."""
        generator = None
        if self._seed is not None:
            generator = np.random.Generator(
                np.random.PCG64(np.random.SeedSequence((self._seed, epoch)))
            )
        size, plan = self._batching.batch_size, []
        for width, rows in self._buckets:
            if generator is not None:
                rows = generator.permutation(rows)
            plan += [(width, rows[start : start + size]) for start in range(0, len(rows), size)]
        if generator is not None:
            plan = [plan[place] for place in generator.permutation(len(plan))]
        return plan

    def _fill(self, width: int, rows: NDArray[np.int64]) -> Batch:
        """Copies the examples into a batch; a copy per row is faster than one big gather."""
        front, size, data = self._batching.padding.pad == "front", self._batching.rows, self._data
        tokens = np.full((size, width), PADDING, np.int32)
        lengths = np.full(size, width if front else 0, np.int32)
        labels = np.zeros(size, np.int32)
        weights = np.zeros(size, np.float32)
        index = np.full(size, -1, np.int32)
        for place, row in enumerate(rows):
            ids = self._ids[row]
            start = width - len(ids) if front else 0
            tokens[place, start : start + len(ids)] = ids
            if not front:
                lengths[place] = len(ids)
        labels[: len(rows)] = data.labels[rows]
        weights[: len(rows)] = data.weights[rows]
        index[: len(rows)] = rows
        soft_labels = None
        if data.soft_labels is not None:
            soft_labels = np.zeros((size, data.soft_labels.shape[1]), np.float32)
            soft_labels[: len(rows)] = data.soft_labels[rows]
        return Batch(tokens, lengths, labels, weights, index, soft_labels)

    def _fingerprint(self) -> str:
        # Without row_multiple: a run may go on with another number of devices.
        batching, data = self._batching, self._data
        settings = (self._seed, batching.batch_size, self.edges, batching.padding, len(data))
        checksum = zlib.crc32(repr(settings).encode())
        for array in (data.labels, data.weights, data.soft_labels):
            if array is not None:
                checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
        for ids in self._ids:
            checksum = zlib.crc32(np.ascontiguousarray(ids, np.int32).data, checksum)
        return f"{checksum:08x}"


class BatchIterator(Iterator[Batch]):
    """Batches one after the other, from a position that can be saved.

    Grain maps the numbers of batches to batches, ahead of the reader on one thread, and keeps the
    position.

    Attributes:
        batches: by number; `batches.shapes` says which shapes will come.
    """

    def __init__(self, batches: Batches) -> None:
        """Starts at the first batch."""
        import grain  # here, because it takes most of a second

        options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=_READ_AHEAD)
        self.batches = batches
        numbers = grain.MapDataset.range(len(batches))
        self._iterator = iter(numbers.map(batches.__getitem__).to_iter_dataset(options))

    def __next__(self) -> Batch:
        return next(self._iterator)

    @property
    def batches_per_epoch(self) -> int:
        """The number of batches in an epoch, the same in every epoch."""
        return self.batches.batches_per_epoch

    def get_state(self) -> dict[str, Any]:
        """The position, to be saved with a checkpoint.

        Returns:
            A dictionary that `json.dumps` takes.
        """
        return {"grain": self._iterator.get_state(), "fingerprint": self.batches.fingerprint}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to a saved position; what follows is bit for bit what followed there.

        Args:
            state: what `get_state` gave, here or in another process.

        Raises:
            ValueError: if it is the position in other batches: other data, seed, batch size,
                widths.
        """
        if state.get("fingerprint") != self.batches.fingerprint:
            raise ValueError(
                f"state must be a position in the batches {self.batches.fingerprint}, got one in"
                f" {state.get('fingerprint')}: the data, tokenizer, seed, batch size or padding"
                " is not what it was"
            )
        self._iterator.set_state(state["grain"])

    def close(self) -> None:
        """Ends the thread; the iterator cannot be used afterwards."""
        self._iterator.close()


def training_batches(
    data: Dataset, batching: Batching, *, seed: int, epochs: int | None = None
) -> BatchIterator:
    """Goes over the examples again and again, in a new random order each time.

    In each epoch the examples are shuffled within their buckets and cut into batches, and then the
    batches of all buckets are shuffled; the last batch of a bucket may have padding rows.

    Args:
        data: the examples.
        batching: how they become batches.
        seed: which random orders; >= 0.
        epochs: after how many to stop, or None for never.

    Returns:
        The iterator; its `batches_per_epoch` is Σ over buckets ⌈examples / batch_size⌉.

    Raises:
        ValueError: if an argument is not as described.
    """
    return BatchIterator(
        Batches(data, batching, seed=seed, epochs=_ENDLESS if epochs is None else epochs)
    )


def evaluation_batches(data: Dataset, batching: Batching) -> Batches:
    """Goes over the examples once, ordered by length: each is in exactly one row of weight 1.

    Args:
        data: the examples.
        batching: how they become batches.

    Returns:
        The batches: iterate as often as needed; `index` says which example a row is.

    Raises:
        ValueError: if an argument is not as described.
    """
    return Batches(data, batching)


def _widths(lengths: NDArray[np.int32], batching: Batching) -> tuple[int, ...]:
    """The widths of the buckets: given, found in the lengths, or one for all."""
    if batching.padding.pad == "front":
        return (batching.padding.max_length,)
    if isinstance(batching.buckets, int):
        return bucket_edges(lengths, batching.buckets)
    edges, longest = tuple(int(edge) for edge in batching.buckets), int(lengths.max())
    if not edges or list(edges) != sorted(set(edges)) or edges[0] < 1 or edges[-1] < longest:
        raise ValueError(
            f"buckets must be increasing widths, the last of them at least the longest length,"
            f" {longest}, got {edges}"
        )
    return edges
