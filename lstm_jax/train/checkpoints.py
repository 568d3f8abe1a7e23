"""Checkpoints with Orbax: the whole state of training, and the weights that it ends with."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import orbax.checkpoint as ocp

from lstm_jax.classifier import ENCODER
from lstm_jax.shapes import Params
from lstm_jax.train.step import TrainState


class Checkpoints:
    """The checkpoints of one run: written whole or not at all, the oldest deleted."""

    def __init__(self, folder: Path, keep: int) -> None:
        """Opens a folder, which is made where there is none.

        Args:
            folder: where they are.
            keep: how many are kept.
        """
        # Written in the foreground: what is saved then is exactly what the step left.
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._manager.close()

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState, progress: dict[str, Any]) -> None:
        """Writes a checkpoint.

        Args:
            state: the arrays.
            progress: what is not an array, such as the position in the data; JSON.
        """
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress)
        )
        self._manager.save(int(state.step), args=items)

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """Reads the newest checkpoint into the shapes, types and devices of `like`."""
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, like)),
            progress=ocp.args.JsonRestore(),
        )
        restored = self._manager.restore(self.latest_step, args=items)
        return restored["state"], restored["progress"]


def save_weights(folder: Path, params: Params) -> None:
    """Writes parameters; what was there is replaced once they are complete."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute(), params, force=True)


def load_weights(folder: Path, init: Callable[[], Params]) -> Params:
    """Reads parameters that `save_weights` wrote.

    Args:
        folder: where they are.
        init: makes parameters of the same shapes; it is only traced.
    """
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(folder.absolute(), jax.eval_shape(init))


def load_encoder(folder: Path) -> Params:
    """Reads only what turns tokens into encodings: the embedding and the stack of LSTMs.

    Args:
        folder: where `save_weights` wrote the parameters of a classifier or of what was pretrained.
    """
    with ocp.StandardCheckpointer() as checkpointer:
        params = checkpointer.restore(folder.absolute())
    return {name: params[name] for name in ENCODER}
