"""The commands of `lstm-jax`; of each, only what it needs is imported."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import run_command

PROGRAM = "lstm-jax"
COMMANDS = (
    *("check", "train", "evaluate", "predict", "explain", "compare", "inspect"),
    *("pretrain", "quantize", "export", "demo", "serve", "completion"),
)
DESCRIPTION = """Train text classifiers, measure them and use them.

lstm-jax COMMAND --help explains a command; lstm-jax --version says what is installed."""


def main() -> None:
    """Runs the command that is typed."""
    run_command(_call, PROGRAM)


def _call() -> None:
    arguments = sys.argv[1:]
    named = arguments[:1]
    if named in (["train"], ["pretrain"]):
        from lstm_jax.cli.resume import complete_arguments

        arguments[1:] = complete_arguments(command(arguments[0]), arguments[1:])
    needed = named if arguments and arguments[0] in COMMANDS else COMMANDS
    commands = {name: command(name) for name in needed}
    call(commands, arguments, typed=PROGRAM, description=DESCRIPTION)


def command(name: str) -> Callable[..., Any]:
    """The function of a command, imported when it is asked for."""
    return getattr(import_module(f"lstm_jax.cli.{name}"), name)
