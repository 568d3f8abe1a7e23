"""`lstm-jax completion`."""

from typing import Annotated, Literal

from tyro.conf import Positional, arg


def completion(
    shell: Annotated[Positional[Literal["bash", "zsh", "fish"]], arg(metavar="SHELL")],
    /,
) -> None:
    """Print a script with which a shell completes commands, options and their values.

    Example: lstm-jax completion bash > ~/.local/share/bash-completion/completions/lstm-jax

    Args:
        shell: bash, zsh or fish. A shell that is started later reads the script.
    """
    from lstm_jax.cli.commands import COMMANDS, PROGRAM, command
    from lstm_jax.cli.parsing import call

    commands = {name: command(name) for name in COMMANDS}
    call(commands, ["--tyro-write-completion", shell, "-"], typed=PROGRAM)
