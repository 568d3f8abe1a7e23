"""Batches of a few fixed shapes, ready before the step that needs them begins, on Grain.

Sequences of similar length share a bucket and are padded to its width, so that there is one
compilation for each bucket and little is computed on padding. What a batch holds is a pure function
of (data, seed, number of the batch): the order is drawn anew for each epoch, the position is one
number that goes into a checkpoint, and neither depends on the number of devices.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_jax.text.buckets import Padding, bucket_edges
from lstm_jax.text.corpus import UNLABELLED, checked_labels
from lstm_jax.text.tokenizer import PADDING

# Grain wants a finite length; nobody trains for this many epochs.
_ENDLESS = 1_000_000_000

# One thread builds a batch in far less time than a step takes; a few batches ahead hide its jitter.
_READ_AHEAD = 4


class Batch(NamedTuple):
    """Rows of equal width; the rows that only fill the batch up have weight 0.

    Args:
        tokens: int32 `[B, T]`, padded with 0.
        lengths: int32 `[B]`, the steps of each row that the model runs over.
        labels: int32 `[B]`, UNLABELLED where there is none, 0 in filler rows.
        weights: float32 `[B]`, how much an example counts, usually 1; 0 for filler.
        index: int32 `[B]`, the example's row number in the data, -1 for filler.
        taught: float32 `[B, C]`, what to learn in the place of a label where there is none; or
            None, if no example has such.
    """

    tokens: NDArray[np.int32]
    lengths: NDArray[np.int32]
    labels: NDArray[np.int32]
    weights: NDArray[np.float32]
    index: NDArray[np.int32]  # pyright: ignore[reportIncompatibleMethodOverride]
    taught: NDArray[np.float32] | None = None


class BatchSource:
    """All batches of one or more passes over the data, each found by its number.

    Made by `evaluation_batches`, and underneath `training_batches`. `len(source)` is the number of
    batches, `source[index]` is one, and each `iter(source)` begins with the first again.

    Attributes:
        edges: the widths of the buckets.
        shapes: the distinct `[B, T]` of the batches, one for each bucket that is not empty.
        batches_per_epoch: the same in every epoch.
        fingerprint: differs where (data, order, batch size, widths) differ.
    """

    def __init__(
        self,
        sequences: Sequence[NDArray[np.integer]],
        labels: Sequence[int] | NDArray[np.integer] | None,
        *,
        batch_size: int,
        padding: Padding,
        buckets: int | tuple[int, ...],
        row_multiple: int = 1,
        seed: int | None = None,
        epochs: int = 1,
        weights: NDArray[np.floating] | None = None,
        taught: NDArray[np.floating] | None = None,
    ) -> None:
        """See `training_batches`; with `seed=None` the order is by length, without shuffling."""
        for name, value in (
            ("batch_size", batch_size),
            ("row_multiple", row_multiple),
            ("epochs", epochs),
            ("the number of sequences", len(sequences)),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if seed is not None and seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        if labels is None:
            labels = np.zeros(len(sequences), np.int32)
        self._labels = checked_labels(labels, len(sequences), UNLABELLED)
        if weights is None:
            weights = np.ones(len(sequences), np.float32)
        if np.shape(weights) != (len(sequences),) or not (np.asarray(weights) > 0).all():
            raise ValueError(
                f"weights must be a number above 0 for each of {len(sequences)} sequences, got"
                f" shape {np.shape(weights)}"
            )
        self._weights = np.asarray(weights, np.float32)
        if taught is not None and (np.ndim(taught) != 2 or len(taught) != len(sequences)):
            raise ValueError(
                f"taught must be a row for each of {len(sequences)} sequences, got shape"
                f" {np.shape(taught)}"
            )
        self._taught = None if taught is None else np.asarray(taught, np.float32)
        self._sequences = [
            padding.cut(_checked_ids(number, sequence)) for number, sequence in enumerate(sequences)
        ]
        self._padding = padding
        self._batch_size = batch_size
        self._rows = -(-batch_size // row_multiple) * row_multiple
        self._seed = seed
        self._epochs = epochs
        lengths = np.array([len(sequence) for sequence in self._sequences], np.int32)
        self.edges = _widths(lengths, padding, buckets)
        bucket_of = np.searchsorted(self.edges, lengths)
        self._buckets = [
            (width, rows[np.argsort(lengths[rows], kind="stable")])
            for number, width in enumerate(self.edges)
            if len(rows := np.flatnonzero(bucket_of == number))
        ]
        self.shapes = [(self._rows, width) for width, _ in self._buckets]
        self.batches_per_epoch = sum(-(-len(rows) // batch_size) for _, rows in self._buckets)
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
        plan = []
        for width, rows in self._buckets:
            if generator is not None:
                rows = generator.permutation(rows)
            starts = range(0, len(rows), self._batch_size)
            plan += [(width, rows[start : start + self._batch_size]) for start in starts]
        if generator is not None:
            plan = [plan[place] for place in generator.permutation(len(plan))]
        return plan

    def _fill(self, width: int, rows: NDArray[np.int64]) -> Batch:
        """Copies the examples into a batch; a copy per row is faster than one big gather."""
        front = self._padding.pad == "front"
        tokens = np.full((self._rows, width), PADDING, np.int32)
        lengths = np.full(self._rows, width if front else 0, np.int32)
        labels = np.zeros(self._rows, np.int32)
        weights = np.zeros(self._rows, np.float32)
        index = np.full(self._rows, -1, np.int32)
        for place, row in enumerate(rows):
            sequence = self._sequences[row]
            start = width - len(sequence) if front else 0
            tokens[place, start : start + len(sequence)] = sequence
            if not front:
                lengths[place] = len(sequence)
        labels[: len(rows)] = self._labels[rows]
        weights[: len(rows)] = self._weights[rows]
        index[: len(rows)] = rows
        taught = None
        if self._taught is not None:
            taught = np.zeros((self._rows, self._taught.shape[1]), np.float32)
            taught[: len(rows)] = self._taught[rows]
        return Batch(tokens, lengths, labels, weights, index, taught)

    def _fingerprint(self) -> str:
        # Without row_multiple: a run may go on with another number of devices.
        settings = (self._seed, self._batch_size, self.edges, self._padding, len(self._sequences))
        checksum = zlib.crc32(repr(settings).encode())
        checksum = zlib.crc32(self._labels.tobytes(), checksum)
        checksum = zlib.crc32(self._weights.tobytes(), checksum)
        if self._taught is not None:
            checksum = zlib.crc32(self._taught.tobytes(), checksum)
        for sequence in self._sequences:
            checksum = zlib.crc32(np.ascontiguousarray(sequence, np.int32).data, checksum)
        return f"{checksum:08x}"


class BatchIterator(Iterator[Batch]):
    """Batches one after the other, built ahead on one thread, from a position that can be saved.

    Attributes:
        source: the batches by number; `source.shapes` says which shapes will come.
    """

    def __init__(self, source: BatchSource) -> None:
        """Starts at the first batch.

        Args:
            source: the batches.
        """
        import grain  # here, because it takes most of a second

        options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=_READ_AHEAD)
        self.source = source
        self._batches = iter(grain.MapDataset.source(source).to_iter_dataset(options))

    def __next__(self) -> Batch:
        return next(self._batches)

    @property
    def batches_per_epoch(self) -> int:
        """The number of batches in a pass over the data, the same in every epoch."""
        return self.source.batches_per_epoch

    def get_state(self) -> dict[str, Any]:
        """The position, to be saved with a checkpoint.

        Returns:
            A dictionary that `json.dumps` takes.
        """
        return {"grain": self._batches.get_state(), "fingerprint": self.source.fingerprint}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to a saved position; what follows is bit for bit what followed there.

        Args:
            state: what `get_state` gave, here or in another process.

        Raises:
            ValueError: if it is the position in other batches: other data, seed, batch size,
                widths.
        """
        if state.get("fingerprint") != self.source.fingerprint:
            raise ValueError(
                f"state must be a position in the batches {self.source.fingerprint}, got one in"
                f" {state.get('fingerprint')}: the data, tokenizer, seed, batch size or padding"
                " is not what it was"
            )
        self._batches.set_state(state["grain"])

    def close(self) -> None:
        """Ends the thread; the iterator cannot be used afterwards."""
        self._batches.close()


def training_batches(
    sequences: Sequence[NDArray[np.integer]],
    labels: Sequence[int] | NDArray[np.integer],
    *,
    batch_size: int,
    padding: Padding,
    buckets: int | tuple[int, ...],
    seed: int,
    row_multiple: int = 1,
    epochs: int | None = None,
    weights: NDArray[np.floating] | None = None,
    taught: NDArray[np.floating] | None = None,
) -> BatchIterator:
    """Goes over the examples again and again, in a new random order each time.

    In each epoch the examples are shuffled within their buckets and cut into batches, and then the
    batches of all buckets are shuffled; the last batch of a bucket may have filler rows.

    Args:
        sequences: the ids of each example, `[length]` each.
        labels: `[N]`, one class number for each example, >= 0, or UNLABELLED.
        batch_size: the examples of a full batch; >= 1.
        padding: how a sequence becomes a row.
        buckets: how many widths to find in the data, or the widths themselves.
        seed: which random orders; >= 0.
        row_multiple: B is a multiple of it (the number of devices); the rows added are filler, so
            the examples of a batch do not depend on it.
        epochs: after how many to stop, or None for never.
        weights: `[N]`, how much each example counts, above 0; None for 1 each.
        taught: `[N, C]`, what is to be learnt in the place of the labels of examples that have
            none, if there is such; the rows of others do not count.

    Returns:
        The iterator; its `batches_per_epoch` is Σ over buckets ⌈examples / batch_size⌉.

    Raises:
        ValueError: if an argument is not as described.
    """
    return BatchIterator(
        BatchSource(
            sequences,
            labels,
            batch_size=batch_size,
            padding=padding,
            buckets=buckets,
            row_multiple=row_multiple,
            seed=seed,
            epochs=_ENDLESS if epochs is None else epochs,
            weights=weights,
            taught=taught,
        )
    )


def evaluation_batches(
    sequences: Sequence[NDArray[np.integer]],
    labels: Sequence[int] | NDArray[np.integer] | None,
    *,
    batch_size: int,
    padding: Padding,
    buckets: int | tuple[int, ...],
    row_multiple: int = 1,
) -> BatchSource:
    """Goes over the examples once, ordered by length: each is in exactly one row of weight 1.

    Args:
        sequences: the ids of each example, `[length]` each.
        labels: `[N]`, one class number for each example; >= 0; or None where there are none.
        batch_size: the examples of a full batch; >= 1.
        padding: how a sequence becomes a row.
        buckets: how many widths to find in the data, or the widths themselves (`edges` of the
            training batches, say, to have the same shapes).
        row_multiple: B is a multiple of it; the rows added are filler.

    Returns:
        The batches: iterate as often as needed; `index` says which example a row is.

    Raises:
        ValueError: if an argument is not as described.
    """
    return BatchSource(
        sequences,
        labels,
        batch_size=batch_size,
        padding=padding,
        buckets=buckets,
        row_multiple=row_multiple,
    )


def _checked_ids(number: int, sequence: NDArray[np.integer]) -> NDArray[np.integer]:
    """The ids of a sequence, checked to be a row of whole numbers."""
    ids = np.asarray(sequence)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(
            f"sequences[{number}] must be whole numbers of shape (length,), got {ids.dtype} of"
            f" shape {ids.shape}"
        )
    return ids


def _widths(
    lengths: NDArray[np.int32], padding: Padding, buckets: int | tuple[int, ...]
) -> tuple[int, ...]:
    """The widths of the buckets: given, found in the lengths, or one for all."""
    if padding.pad == "front":
        return (padding.max_length,)
    if isinstance(buckets, int):
        return bucket_edges(lengths, buckets)
    edges, longest = tuple(int(edge) for edge in buckets), int(lengths.max())
    if not edges or list(edges) != sorted(set(edges)) or edges[0] < 1 or edges[-1] < longest:
        raise ValueError(
            f"buckets must be increasing widths, the last of them at least the longest length,"
            f" {longest}, got {edges}"
        )
    return edges
