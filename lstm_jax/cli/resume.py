"""`--resume` on the command line: what was typed when the run was started need not be typed again.

An option that is typed counts; one that is not is what it was when the run was started. What the
run then makes of options that differ, `lstm_jax.train.open_run` decides.
"""

import contextlib
import dataclasses
import io
import re
import shlex
import sys
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import tyro

from lstm_jax.train.config import Config
from lstm_jax.train.run_folder import RunFolder

Command = Callable[..., Any]


def resumed_config(folder: RunFolder, given: Config, typed: Collection[str]) -> Config:
    """The settings of the run in a folder, with those typed now in their place.

    Args:
        folder: the run's; without a run in it, the settings are those given.
        given: what the command line says, defaults included.
        typed: the names of those that were typed, see `typed_options`.

    Raises:
        ValueError: if the folder's settings cannot be read.
    """
    if not folder.config.exists():
        return given
    return Config.load(folder.config).replaced(typed, given)


def resumable(command: Command) -> Command:
    """A command that goes on with a run takes what was typed first, if nothing else is typed now.

    Args:
        command: a function of the data, the run's folder, and options, `config` and `resume` among
            them.
    """

    @wraps(command)
    def resuming(data: str, run: Path, /, **options: Any) -> Any:
        folder, typed = RunFolder(run), typed_options(sys.argv[1:])
        if options.get("resume") and folder.config.exists():
            config = resumed_config(folder, options["config"], typed)
            _, first = _first_call(command, folder)
            kept = {
                name: _kept(name, first[name], options[name], typed)
                for name in first
                if name != "distributed"  # which of many processes this is, now
            }
            options = {**options, **kept, "config": config, "resume": True}
        return command(data, run, **options)

    return resuming


def _kept(name: str, first: Any, now: Any, typed: Collection[str]) -> Any:
    """An option as it was typed first, unless it is typed now; of a group, each by itself."""
    if dataclasses.is_dataclass(first) and not isinstance(first, type):
        fields = [field.name for field in dataclasses.fields(first)]
        kept = {
            name: _kept(name, getattr(first, name), getattr(now, name), typed) for name in fields
        }
        return dataclasses.replace(now, **kept)
    return now if name in typed else first


def complete_arguments(command: Command, arguments: Sequence[str]) -> list[str]:
    """A command line with the data in it, where it only says `--resume RUN`.

    Args:
        command: as for `resumable`.
        arguments: the command line, without the command's name.

    Raises:
        ValueError: if there is no run in the folder, or it does not say what its data is.
    """
    given = list(arguments)
    named = given[:1] == ["--resume"] and len(given) > 1 and not given[1].startswith("-")
    if not named or (len(given) > 2 and not given[2].startswith("-")):
        return given
    folder = RunFolder(Path(given[1]))
    if not folder.config.exists():
        raise ValueError(f"--resume needs the folder of a run, and {given[1]} has none")
    Config.load(folder.config)  # of another version, it says so; its options may have other names
    data, _ = _first_call(command, folder)
    if data is None:
        raise ValueError(
            f"{folder.data}: command does not say what the data is; give it: DATA RUN --resume"
        )
    return [data, given[1], "--resume", *given[2:]]


def typed_options(arguments: Sequence[str]) -> set[str]:
    """The options on a command line, by their names in Python: "train.batch_size"."""
    typed = set()
    for argument in arguments:
        if argument.startswith("--"):
            name = argument[2:].partition("=")[0].replace("-", "_")
            typed |= {name, re.sub(r"(^|\.)no_", r"\1", name)}
    return typed


def _first_call(command: Command, folder: RunFolder) -> tuple[str | None, dict[str, Any]]:
    """The data and the options that a run was started with; none if they cannot be known."""
    line = shlex.split(folder.load_data().command)
    if command.__name__ not in line:  # not started by this command
        return None, {}
    arguments = line[line.index(command.__name__) + 1 :]
    with contextlib.suppress(SystemExit, ValueError), contextlib.redirect_stderr(io.StringIO()):
        arguments = complete_arguments(command, arguments)
        (data, _), options = tyro.cli(_parsed(command), args=arguments)
        return data, options
    return None, {}


def _parsed(command: Command) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
    """A function that takes what the command takes, and gives it back."""

    @wraps(command)
    def parsed(*values: Any, **options: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return values, options

    return parsed
