"""`python -m lstm_jax`."""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the commands are imported, which takes seconds

    from lstm_jax.cli import main

    main()
