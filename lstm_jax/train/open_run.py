"""A run from its folder to its result: begun once, gone on with, and written down when complete.

A folder becomes a run's when everything before the training is known to work: the data, the split,
the model. Until then nothing stands in it, so a start that fails can be repeated. `config.json` is
written last of all that comes before the training, `result.json` last of all.
"""

import contextlib
import hashlib
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import jax
from rich.console import Console

from lstm_jax.console import say
from lstm_jax.files import (
    PARTIAL,
    remove_abandoned,
    sha256,
    write_json,
    write_text,
)
from lstm_jax.machine import environment, peak_memory
from lstm_jax.models.encoder import lstm_stack
from lstm_jax.shapes import Params
from lstm_jax.stops import cleaning
from lstm_jax.text import NGrams, WordTokenizer
from lstm_jax.train.checkpoints import save_weights
from lstm_jax.train.config import Config
from lstm_jax.train.inputs import changed_inputs, checksum_of, checksum_of_arrays
from lstm_jax.train.lock import LOCK, locked
from lstm_jax.train.processes import agree, connected, is_first, wait_for_all
from lstm_jax.train.report import draw_curves
from lstm_jax.train.result import Outcome, Result
from lstm_jax.train.run_folder import DataDescription, RunFolder
from lstm_jax.train.step import Shardings, all_devices

# Settings that an unfinished run may change: no bit of its weights depends on them.
CHANGEABLE = {"train.checkpoint_every", "train.keep_checkpoints", "train.log_every"}


@dataclass(frozen=True)
class Request:
    """Where a run goes, and how it was asked for.

    Attributes:
        path: the run's folder.
        command: what the user typed, for the record.
        resume: go on with the run in the folder, if there is one; a finished one is left as it is,
            unless the configuration has more epochs.
        console: where progress is shown; standard output by default.
    """

    path: Path
    command: str
    resume: bool = False
    console: Console = field(default_factory=Console)


class Clock:
    """Seconds of a run, those before an interruption included."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def set(self, seconds: float) -> None:
        """Goes on from so many seconds."""
        self._start = time.monotonic() - seconds

    def seconds(self) -> float:
        """How many there are so far."""
        return time.monotonic() - self._start


@dataclass(frozen=True)
class OpenRun:
    """A run whose folder no other process can open: all that its parts need to know of it.

    Attributes:
        folder: its files.
        config: its settings: those given, or the folder's with what may change as given.
        inputs: checksums of what else decides it.
        request: how it was asked for.
        data: what the folder says of the data; None before `claim`, in a folder without a run.
        result: of a finished run.
        clock: its time.
        shardings: where its arrays go.
    """

    folder: RunFolder
    config: Config
    inputs: Mapping[str, str]
    request: Request
    data: DataDescription | None
    result: Result | None
    clock: Clock = field(default_factory=Clock)
    shardings: Shardings = field(default_factory=all_devices)

    @property
    def console(self) -> Console:
        """Where progress is shown."""
        return self.request.console

    def claim(
        self,
        tokenizer: WordTokenizer,
        ngrams: NGrams | None,
        *,
        name: str,
        class_names: Sequence[str],
        examples: dict[str, int],
    ) -> None:
        """Makes the folder this run's, or takes over the settings that were changed.

        Args:
            tokenizer, ngrams: how it reads texts; a folder with a run has them already.
            name: the data's.
            class_names: in the order of the labels.
            examples: the size of each part of the data.
        """
        folder, config = self.folder, self.config.to_json()
        if not is_first():
            return
        if self.data is None:
            tokenizer.save(folder.tokenizer)
            if ngrams is not None:
                ngrams.save(folder.ngrams)
            written = [file for file in (folder.tokenizer, folder.ngrams) if file.exists()]
            data = {
                "name": name,
                "class_names": list(class_names),
                "examples": examples,
                "command": self.request.command,
                "inputs": dict(self.inputs),
                "checksums": {file.name: sha256(file) for file in written},
                "configs": [_checksum(config)],
            }
            folder.write_data(data)
        elif _checksum(config) == sha256(folder.config):
            return
        else:
            # In this order: whenever it is broken off, the files agree with each other.
            folder.result.unlink(missing_ok=True)
            configs = {*self.data.configs, _checksum(config)}
            folder.write_data({**asdict(self.data), "configs": sorted(configs)})
        write_text(folder.config, config)

    def finish(
        self, params: Params, outcome: Outcome, *, temperature: float | None = None
    ) -> Result:
        """Writes the weights and what came out.

        Args:
            params: the parameters to keep.
            outcome: what is to be said of them in result.json.
            temperature: what logits are to be divided by, if it was fitted.

        Returns:
            What result.json holds.
        """
        folder = self.folder
        if is_first():
            save_weights(folder.weights, params)
            if temperature is None:
                folder.calibration.unlink(missing_ok=True)
            else:
                write_json(folder.calibration, {"temperature": temperature})
            draw_curves(folder.metrics, folder.curves)
        wait_for_all("weights")
        taken = [sha256(file) for file in (folder.tokenizer, folder.ngrams) if file.exists()]
        result = Result(
            name=self.config.name,
            seed=self.config.seed,
            outcome=outcome,
            minutes=self.clock.seconds() / 60,
            memory_mib=peak_memory(),
            parameters=sum(array.size for array in jax.tree.leaves(params)),
            fingerprint=checksum_of([checksum_of_arrays(params), str(temperature), *taken]),
            command=self.request.command,
            environment=environment(),
        )
        if is_first():
            folder.write_result(result)
        wait_for_all("result")
        return result


@contextlib.contextmanager
def open_run(config: Config, inputs: Mapping[str, str], request: Request) -> Generator[OpenRun]:
    """Opens a folder for a new run, or for the one that is in it.

    Args:
        config: the run's settings.
        inputs: checksums of what else decides the run, see `lstm_jax.train.inputs`.
        request: names the folder, made here. It is deleted again if the block ends before
            `OpenRun.claim`. All processes of a training must see it.

    Yields:
        The run. While the block lasts, no other process can open it. Of a finished run with nothing
        left to do, that is said.

    Raises:
        ValueError: if the model cannot run on this machine; if another process trains in the
            folder; if it holds a run and `resume` is false, or the run in it has other settings or
            other inputs, or is damaged.
    """
    lstm_stack(config.model).layer().check()
    folder = RunFolder(request.path)
    opened = _opened_by_all if connected() else _opened
    with opened(folder, config, inputs, request) as run:
        yield run


@contextlib.contextmanager
def _opened_by_all(
    folder: RunFolder, config: Config, inputs: Mapping[str, str], request: Request
) -> Generator[OpenRun]:
    """The same in every process of a training; the first alone writes, and all go on or none."""
    with contextlib.ExitStack() as stack:
        run, refusal = None, ""
        try:
            if is_first():
                run = stack.enter_context(_opened(folder, config, inputs, request))
            else:
                run = _found(folder, config, inputs, request)
        except (ValueError, OSError) as error:
            refusal = str(error)
        agree(refusal)
        assert run is not None
        yield run


@contextlib.contextmanager
def _opened(
    folder: RunFolder, config: Config, inputs: Mapping[str, str], request: Request
) -> Generator[OpenRun]:
    """The folder with its lock."""
    _check_is_free(folder)
    with locked(folder.path):
        try:
            _check_is_free(folder)
            with cleaning(partial(_remove_unclaimed, folder)):
                if not folder.config.exists():
                    _remove_leftovers(folder)
                yield _found(folder, config, inputs, request)
        finally:
            _remove_unclaimed(folder)


def _found(
    folder: RunFolder, config: Config, inputs: Mapping[str, str], request: Request
) -> OpenRun:
    """The run in a folder, or a new one."""
    if folder.config.exists():
        return _existing(folder, config, inputs, request)
    return OpenRun(folder, config, inputs, request, None, None)


def _check_is_free(folder: RunFolder) -> None:
    """Refuses a folder in which there is something that is no run."""
    if folder.config.exists() or not folder.path.exists():
        return
    names = {path.name for path in folder.path.iterdir()}
    ours = {path.name for path in folder.written_first} if LOCK in names else set()
    if any(name not in ours | {LOCK} and not PARTIAL.fullmatch(name) for name in names):
        raise ValueError(f"run folder {folder.path} is not empty, and holds no run")


def _existing(
    folder: RunFolder, config: Config, inputs: Mapping[str, str], request: Request
) -> OpenRun:
    """The run in a folder, if it is the one that is asked for."""
    finished = folder.result.exists()
    folder.refuse_quantized("run")
    if not request.resume:
        raise ValueError(
            f"run folder {folder.path} holds {'a finished' if finished else 'an unfinished'} run; "
            "give --resume to go on with it, or another folder"
        )
    saved, data = Config.load(folder.config), folder.load_data()
    settled = _settled(folder, saved, config)
    if changed := changed_inputs(data.inputs, inputs):
        raise ValueError(f"run folder {folder.path} holds a run with other {', '.join(changed)}")
    more = settled.train.epochs > saved.train.epochs
    if not finished:
        return OpenRun(folder, settled, inputs, request, data, None)
    if not more:
        say(request.console, f"{folder.path} is finished; nothing to do")
        return OpenRun(folder, saved, inputs, request, data, folder.load_result())
    if not (folder.checkpoints.is_dir() and any(folder.checkpoints.iterdir())):
        raise ValueError(f"{folder.checkpoints}: missing, so there is nothing to go on from")
    return OpenRun(folder, settled, inputs, request, data, None)


def _settled(folder: RunFolder, saved: Config, given: Config) -> Config:
    """The settings of a run in a folder, those that may change as they are given now."""
    refused, changed = [], set(CHANGEABLE)
    for name, difference in saved.differences(given).items():
        if name == "train.epochs" and given.train.epochs > saved.train.epochs:
            if saved.optimizer.schedule == "constant":
                changed.add(name)
            else:
                refused.append(
                    f"{difference} (with optimizer.schedule {saved.optimizer.schedule} every step "
                    "depends on the number of epochs)"
                )
        elif name not in CHANGEABLE:
            refused.append(difference)
    if refused:
        raise ValueError(
            f"run folder {folder.path} holds a run with other settings: {'; '.join(refused)}"
        )
    return saved.replaced(changed, given)


def _remove_unclaimed(folder: RunFolder) -> None:
    """Deletes what a start has written, unless the folder became a run's."""
    if not folder.config.exists():
        _remove_leftovers(folder)


def _remove_leftovers(folder: RunFolder) -> None:
    """Deletes what a start that did not get as far as config.json has left."""
    left, ours = list(folder.path.iterdir()), {LOCK, *(file.name for file in folder.written_first)}
    if all(file.name in ours or PARTIAL.fullmatch(file.name) for file in left):
        remove_abandoned(folder.path)
        for file in folder.written_first:
            file.unlink(missing_ok=True)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
