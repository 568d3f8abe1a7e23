"""The article's experiment, steadied: an LSTM over padded reviews, its last state classified.

The article's: the top 6,000 words, rows padded and cut in front to 500, whose padding the LSTM
reads; Embedding 32, LSTM 100, its last state into one sigmoid unit; Adam, 3 epochs, all of the
training reviews. Ours: clipping, and batches of 64; docs/explanation/article-recipe.md says why.

    python -m experiments.imdb article --data imdb --seeds 0 1 2 --resume \
        --record experiments/results/article.json

Record: 87.06 % of the 25,000 test reviews (87.78, 86.39, 87.02), at most 1.7 minutes a seed, on 2
cores of an AMD EPYC (family 25, model 17), JAX 0.10.2, 2026-11-29. With true lengths, in
buckets (`--text.pad back --train.buckets 8`): 86.67 %, 1.0 minutes.
"""

from experiments.imdb.preset import Preset
from experiments.imdb.session import Session, Trained
from lstm_jax.models.config import ModelConfig
from lstm_jax.train.config import Config, OptimizerConfig, TextConfig, TrainConfig

CONFIG = Config(
    name="article",
    text=TextConfig(
        tokenizer="keras",
        vocabulary_size=6_000,
        max_length=500,
        truncate="front",
        pad="front",
    ),
    model=ModelConfig(
        embedding_size=32,
        hidden_size=100,
        layers=1,
        direction="forward",
        pooling="last",
    ),
    optimizer=OptimizerConfig(learning_rate=1e-3, clip_norm=1.0),
    train=TrainConfig(epochs=3, batch_size=64, validation_fraction=0.0),
)


def run(session: Session) -> list[Trained]:
    """A run for each seed."""
    return [session.supervised(config) for config in session.configs]


PRESET = Preset("the article's experiment, its padding included", CONFIG, run)
