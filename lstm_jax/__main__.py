"""`python -m lstm_jax`, and the program `lstm-jax`."""

from lstm_jax.stops import watch


def main() -> None:
    """Runs the command that is typed."""
    watch()  # before the commands are imported, which takes seconds

    from lstm_jax.cli import main as run

    run()


if __name__ == "__main__":
    main()
