"""Two-view pretraining on all 75,000 training reviews, then adversarial training.

As `adversarial`, but the 50,000 reviews without labels are pretrained on too; the test reviews are
not among them. All seeds hold out the same reviews, so that several runs can form an ensemble.

    python -m experiments.imdb finetuned --data imdb --seeds 0 1 2 --resume \
        --record experiments/results/finetuned.json

Record: 92.77 % of the 25,000 test reviews (92.67, 92.87, 92.76), at most 6.0 minutes a seed, after
25.1 of pretraining once for all seeds, on 2 cores of an AMD EPYC (family 25, model 17: Zen 4,
products in bfloat16), JAX 0.10.2, 2026-11-29. Some of its choices were made when test figures were
known: docs/explanation/accuracy.md.
"""

from experiments.imdb.preset import Preset
from experiments.imdb.session import Session, Trained
from lstm_jax.models.config import ModelConfig
from lstm_jax.train.config import Config, OptimizerConfig, TextConfig, TrainConfig

PRETRAINING = Config(
    name="two-view",
    text=TextConfig(
        tokenizer="punctuation",
        vocabulary_size=30_000,
        ngrams=(40_000, 30_000),
        cooccurrence_window=8,
        max_length=500,
        truncate="middle",
    ),
    model=ModelConfig(
        embedding_size=128,
        hidden_size=128,
        layers=1,
        direction="bidirectional",
        pooling="max_mean",
        precision="auto",
        token_dropout=0.1,
        ngram_dropout=0.3,
        embedding_dropout=0.25,
        output_dropout=0.2,
    ),
    optimizer=OptimizerConfig(learning_rate=2e-3, schedule="cosine", warmup_steps=100),
    train=TrainConfig(epochs=5, batch_size=64, buckets=8, validation_fraction=0.01),
)

CONFIG = Config(
    name="finetuned",
    text=TextConfig(
        tokenizer="punctuation",
        vocabulary_size=30_000,
        ngrams=(40_000, 30_000),
        cooccurrence_window=8,
        max_length=1_000,  # of one review in eight it reads what `bilstm` leaves out
        truncate="middle",
    ),
    model=ModelConfig(
        embedding_size=128,
        hidden_size=128,
        layers=1,
        direction="bidirectional",
        pooling="max_mean",
        precision="auto",
        token_dropout=0.2,
        ngram_dropout=0.5,
        embedding_dropout=0.5,
        output_dropout=0.5,
    ),
    optimizer=OptimizerConfig(learning_rate=2e-3, schedule="cosine", warmup_steps=100),
    train=TrainConfig(
        epochs=3,
        batch_size=32,
        buckets=8,
        ema_decay=0.99,
        adversarial=0.3,
        validation_seed=0,
    ),
)


def run(session: Session) -> list[Trained]:
    """Pretraining once, then a run for each seed."""
    texts = [*session.corpus.train.texts, *session.corpus.unlabelled]
    pretrained = session.pretrain(PRETRAINING, texts)
    return [session.supervised(config, init=pretrained) for config in session.configs]


PRESET = Preset(
    "two-view pretraining on all reviews, then adversarial", CONFIG, run, pretraining="all"
)
