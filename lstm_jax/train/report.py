"""What a run keeps of how it went: metrics.jsonl, TensorBoard events, a picture, a table."""

import contextlib
import io
import json
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
from pydantic import TypeAdapter, ValidationError

from lstm_jax.console import Sheet
from lstm_jax.files import write_bytes, write_text
from lstm_jax.shapes import Params
from lstm_jax.train.processes import is_first

_RECORD = TypeAdapter(dict[str, int | float | None])  # a line of metrics.jsonl


class Report:
    """Writes down how a run goes, from the step it starts or continues at.

    Lines of metrics.jsonl that will be written again are dropped: those beyond that step, written
    by a run that was interrupted after its last checkpoint, and that of an epoch which ends with
    it, since the checkpoint is written before the validation. So each stands there once.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        """Opens the files; in a training of many processes, those that are not the first have none.

        Args:
            folder: the run's.
            step: steps done before.
        """
        from tensorboardX import SummaryWriter  # here, because it takes a while

        self._writes = is_first()
        if not self._writes:
            return
        self._path = folder / "metrics.jsonl"
        self._records = [
            record
            for record in read_metrics(self._path)
            if record["step"] < step + ("epoch" not in record)
        ]
        write_text(self._path, "".join(json.dumps(record) + "\n" for record in self._records))
        self._file = self._path.open("a", encoding="utf-8")
        self._events = SummaryWriter(str(folder), purge_step=step, write_to_disk=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for close in (self._file.close, self._events.close) if self._writes else ():
            try:
                with _naming(self._path):
                    close()
            except OSError:
                if error is None:  # or what has ended the run says more
                    raise

    def training(self, step: int, loss: float, norm: float) -> None:
        """A line on one batch: its loss in nats and gradient norm before clipping."""
        self._write({"step": step, "loss": loss, "gradient_norm": norm})

    def epoch(self, record: dict[str, Any]) -> None:
        """A line on a whole epoch."""
        self._write(record)

    def flush(self) -> None:
        """Has what was written so far reach the files."""
        if not self._writes:
            return
        with _naming(self._path):
            self._events.flush()

    def _write(self, record: dict[str, Any]) -> None:
        if not self._writes:
            return
        self._records.append(record)
        with _naming(self._path):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        for name, value in record.items():
            if name != "step":
                self._events.add_scalar(name, value, record["step"])


@contextlib.contextmanager
def _naming(path: Path) -> Generator[None]:
    """Names a file in an error, since the system does not where a file is open already."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; lines that are cut short or damaged are left out."""
    records = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with contextlib.suppress(ValidationError):
            record = _RECORD.validate_json(line, strict=True)
            if isinstance(record.get("step"), int):
                records.append(record)
    return records


def draw_curves(metrics: Path, picture: Path) -> None:
    """Draws loss and accuracy over the steps of a run as a PNG.

    Args:
        metrics: the run's metrics.jsonl.
        picture: where the picture goes, whole or not at all.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    records = read_metrics(metrics)
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    batches = [record for record in records if "loss" in record]
    loss_axes.plot(
        [record["step"] for record in batches],
        [record["loss"] for record in batches],
        color="0.8",
        linewidth=0.8,
        label="one batch",
    )
    for axes, quantity in ((loss_axes, "loss"), (accuracy_axes, "accuracy")):
        for part in ("train", "validation"):
            name = f"{part}_{quantity}"
            points = [(record["step"], record[name]) for record in records if name in record]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=part)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    loss_axes.set_ylabel("cross-entropy (nats)")
    accuracy_axes.set_ylabel("accuracy")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120, format="png")
    write_bytes(picture, drawn.getvalue())


def parameter_table(params: Params) -> Sheet:
    """The parameters of a model, a row each, with their shapes and their number."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    rows = [
        (
            jax.tree_util.keystr(path, simple=True, separator="/"),
            " × ".join(map(str, array.shape)),
            f"{array.size:,}",
        )
        for path, array in leaves
    ]
    total = sum(array.size for _, array in leaves)
    rows.append(("all", "", f"{total:,}"))
    sections = frozenset({len(rows) - 1})
    return Sheet(("parameter", "shape", "numbers"), rows, title="Model", sections=sections)
