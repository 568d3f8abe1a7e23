"""`python -m lstm_jax`: one module a command."""

from lstm_jax.cli.commands import main

__all__ = ["main"]
