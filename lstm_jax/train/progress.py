"""What a person sees while a run is trained: what it is doing, how far it is, a line an epoch."""

import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from lstm_jax.console import doing, duration, interactive, say, say_items

SECONDS_OF_SILENCE = 60.0  # after which a line says how far it is, where there is no bar


class TrainingProgress:
    """Shows the steps of a run: "compiling" until the first is done, then a bar.

    Where no terminal is looking, such as in a file, lines take the place of the bar.
    """

    def __init__(self, console: Console, *, step: int, steps: int) -> None:
        """Shows nothing yet.

        Args:
            console: where.
            step: steps done before.
            steps: steps of the whole run.
        """
        self._console, self._steps, self._ahead = console, steps, step < steps
        self._said = time.monotonic()
        self._shapes: set[tuple[tuple[int, ...], ...]] = set()  # of the batches so far
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Ahead()
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("training", total=steps, completed=step, loss=None)
        self._starting = ExitStack()

    def __enter__(self) -> Self:
        if self._ahead:
            self._starting.enter_context(doing(self._console, "compiling"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._starting.close()
        if self._bar.live.is_started:  # else rich prints an empty line
            self._bar.stop()

    @contextmanager
    def stepping(self, step: int, batch: Any) -> Generator[None]:
        """Shows a step while it is taken; the first on batches of a shape compiles.

        Args:
            step: its number, counted from 1.
            batch: arrays.
        """
        shape = tuple(array.shape for array in jax.tree.leaves(batch))
        if self._shapes and shape not in self._shapes:
            with self.during("compiling"):
                yield
        else:
            yield
        self._bar.update(self._task, completed=step)
        if not self._shapes:
            self._starting.close()
            if interactive(self._console):
                self._bar.start()
        self._shapes.add(shape)

    @contextmanager
    def during(self, what: str) -> Generator[None]:
        """Shows something else than "training" beside the bar for as long as it lasts."""
        self._bar.update(self._task, description=what)
        yield
        self._bar.update(self._task, description="training")

    def loss(self, step: int, loss: float) -> None:
        """Shows the loss of a batch, in nats: beside the bar, or now and then in a line."""
        self._bar.update(self._task, loss=loss)
        if not interactive(self._console) and time.monotonic() > self._said + SECONDS_OF_SILENCE:
            say(self._console, f"step {step} of {self._steps}  loss {loss:.4f}")
            self._said = time.monotonic()

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Shows a line on an epoch, which stays: numbers by name, as metrics.jsonl has them."""
        names = ("train_loss", "train_accuracy")
        names += ("validation_loss", "validation_accuracy", "validation_auc")
        items = [f"epoch {record['epoch']}"]
        items += [
            f"{name.replace('_', ' ').replace('auc', 'AUC')} {record[name]:.4f}"
            for name in names
            if name in record
        ]
        say_items(self._console, [*items, f"{record['examples_per_second']:.0f} texts/s"])
        self._said = time.monotonic()


class _Ahead(ProgressColumn):
    """The time that is left and the newest loss, once they are known."""

    def render(self, task: Task) -> Text:
        """The column of the bar."""
        shown = []
        if task.time_remaining is not None and not task.finished:
            shown.append(f"{duration(task.time_remaining)} left")
        if task.fields["loss"] is not None:
            shown.append(f"loss {task.fields['loss']:.3f}")
        return Text("  ".join(shown))
