"""What all runs have in common: begun once, gone on with, and written down when complete."""

import json
from collections.abc import Callable
from typing import Any

import jax
from rich.console import Console

from lstm_jax.classifier import lstm_stack
from lstm_jax.console import say
from lstm_jax.machine import environment, peak_memory
from lstm_jax.shapes import Params
from lstm_jax.train.checkpoints import save_weights
from lstm_jax.train.config import Config
from lstm_jax.train.fit import Clock
from lstm_jax.train.folder import RunFolder, write_json
from lstm_jax.train.report import draw_curves


def complete(
    config: Config,
    folder: RunFolder,
    work: Callable[[Clock], tuple[Params, dict[str, Any]]],
    *,
    command: str,
    resume: bool,
    console: Console,
) -> dict[str, Any]:
    """Does a run's work, unless it is done already.

    Args:
        config: the run's settings.
        folder: the run's, made here.
        work: trains; from the beginning, or from the folder's newest checkpoint. It gives the
            parameters to keep and what is to be said of them in result.json.
        command: what the user typed, for the record.
        resume: go on with the run in the folder, if there is one; a finished one is left as it is.
        console: where progress is shown.

    Returns:
        What result.json holds.

    Raises:
        ValueError: if the folder holds a run and `resume` is false, or the run in it has other
            settings; and, before there is a folder, if the model cannot run on this machine.
    """
    clock = Clock()
    lstm_stack(config.model).layer().check()
    folder.claim(config, resume=resume)
    if folder.result.exists():
        say(console, f"{folder.path} is finished; nothing to do")
        return json.loads(folder.result.read_text())
    params, found = work(clock)
    save_weights(folder.weights, params)
    draw_curves(folder.metrics, folder.curves)
    result = {
        "name": config.name,
        "seed": config.seed,
        **found,
        "minutes": clock.seconds() / 60,
        "memory_mib": peak_memory(),
        "parameters": sum(array.size for array in jax.tree.leaves(params)),
        "command": command,
        **environment(),
    }
    write_json(folder.result, result)
    return result
