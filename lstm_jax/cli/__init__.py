"""`lstm-jax`, or `python -m lstm_jax`: one module a command."""

import sys


def main() -> None:
    """The entry point of both; what is slow to import is imported for commands alone."""
    if sys.argv[1:] == ["--version"]:
        from lstm_jax.cli.version import version

        print(version())
        return
    from lstm_jax.cli.commands import main as run

    run()
