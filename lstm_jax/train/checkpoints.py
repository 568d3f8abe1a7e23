"""What a run keeps of its arrays: checkpoints, and the weights that it ends with.

A checkpoint is a folder that is called after its step: `state/`, all arrays of training;
`progress.json`, the rest; and `files.sha256`, by which damage is seen.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax

from lstm_jax.files import (
    new_folder,
    read_json,
    remove_abandoned,
    remove_folder,
    verify_checksums,
    write_checksums,
    write_json,
)
from lstm_jax.models.encoder import ENCODER
from lstm_jax.shapes import Params
from lstm_jax.train.arrays import literal_path, read_arrays, read_part, write_arrays
from lstm_jax.train.processes import is_first, put
from lstm_jax.train.step import TrainState


@dataclass(frozen=True)
class Best:
    """The validation with the lowest loss so far: after which step, and its metrics by name."""

    step: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Progress:
    """What a checkpoint holds beside arrays.

    Attributes:
        batches: the position in them, `BatchIterator.get_state`.
        seconds: that were trained.
        epoch_began: at how many seconds the epoch began.
        best: the best validation, if there was one.
    """

    batches: dict[str, Any]
    seconds: float
    epoch_began: float
    best: Best | None = None


class Restored(NamedTuple):
    """What a checkpoint held, and why newer ones were not taken, a line each."""

    state: TrainState
    progress: Progress
    skipped: tuple[str, ...]


class Checkpoints:
    """The checkpoints of one run: written whole or not at all, the oldest deleted."""

    def __init__(self, folder: Path, keep: int) -> None:
        """Opens a folder, which is made where there is none.

        Args:
            folder: where they are; one process writes there.
            keep: how many are kept.

        Raises:
            OSError: if nothing can be written there.
            ValueError: if arrays cannot be written to such a path.
        """
        self._folder, self._keep = folder, keep
        if not is_first():
            return
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder)
        with literal_path(folder):  # where it fails, it fails before training
            pass

    @property
    def steps(self) -> list[int]:
        """The steps that there are checkpoints of, the newest first."""
        names = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def save(self, state: TrainState, progress: Progress) -> None:
        """Writes a checkpoint, and deletes those that are too many or of later steps.

        In a training of many processes the first one does: each has all of the parameters.

        Args:
            state: the arrays.
            progress: what is not an array.

        Raises:
            OSError: naming the file or folder that cannot be written; no checkpoint is lost.
        """
        if not is_first():
            return
        step = int(state.step)
        path = self._folder / str(step)
        if path.exists():  # one that is damaged, since training went on from an earlier one
            remove_folder(path)
        with new_folder(path) as partial:
            (partial / "state").mkdir()
            write_arrays(partial / "state", state)
            write_json(partial / "progress.json", asdict(progress))
            write_checksums(partial)
        later = [each for each in self.steps if each > step]
        for each in later + self.steps[len(later) + self._keep :]:
            remove_folder(self._folder / str(each))

    def restore(self, like: TrainState) -> Restored | None:
        """Reads the newest whole checkpoint into the shapes, types and devices of `like`.

        Returns:
            What it holds; None if there are no checkpoints.

        Raises:
            ValueError: if all are damaged, or the newest whole one is of another model.
        """
        skipped: list[str] = []
        for step in self.steps:
            path = self._folder / str(step)
            try:
                verify_checksums(path)
            except ValueError as error:
                skipped.append(str(error))
                continue
            state = read_arrays(path / "state", like)
            state = put(state, jax.tree.map(lambda array: array.sharding, like))
            progress = read_json(path / "progress.json", Progress)
            return Restored(state, progress, tuple(skipped))
        if not skipped:
            return None
        raise ValueError(
            f"{self._folder}: no checkpoint is whole ({'; '.join(skipped)}); delete it to begin "
            "the run again"
        )


def save_weights(folder: Path, params: Params) -> None:
    """Writes parameters; what was there is deleted before.

    Raises:
        OSError: naming the folder, if its files cannot be written or do not hold the parameters.
    """
    if folder.exists():
        remove_folder(folder)
    with new_folder(folder) as partial:
        write_arrays(partial, params)


def load_weights(folder: Path, init: Callable[[], Params]) -> Params:
    """Reads parameters that `save_weights` wrote, as NumPy arrays.

    Args:
        folder: where they are.
        init: makes parameters of the same shapes; it is only traced.

    Raises:
        ValueError: naming the folder, if its files are damaged or hold other parameters.
    """
    return read_arrays(folder, jax.eval_shape(init))


def load_encoder(folder: Path) -> Params:
    """Reads only what turns tokens into encodings: the embedding and the stack of LSTMs.

    Args:
        folder: where `save_weights` wrote the parameters of a classifier or of what was pretrained.

    Returns:
        The parameters, NumPy arrays.

    Raises:
        ValueError: naming the folder, if its files are damaged or hold no encoder.
    """
    return read_part(folder, ENCODER)
