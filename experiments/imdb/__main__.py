"""Sentiment of movie reviews, trained and measured on IMDB.

    python -m experiments.imdb                  a bidirectional LSTM, preset `bilstm`
    python -m experiments.imdb article          the article's experiment
    python -m experiments.imdb adversarial      two-view pretraining on the labelled reviews first
    python -m experiments.imdb finetuned        two-view pretraining on all reviews first
    python -m experiments.imdb distilled        soft labels of an ensemble besides

With `--seeds 0 1 2 --record experiments/results/PRESET.json` accuracy and minutes of each seed are
kept, with command, machine, versions and date.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

from experiments.imdb.command import main
from lstm_jax.cli.program import run_command

if __name__ == "__main__":
    run_command(main)
