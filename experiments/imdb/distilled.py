"""Distillation: a run of `finetuned` goes on, on soft labels of the reviews without labels.

Three runs of `finetuned` and a linear model form an ensemble, whose weights are fitted on the
validation part. Its predictions for 50,000 reviews without labels are learnt beside the labels.

    python -m experiments.imdb distilled --data imdb --seeds 0 1 2 --resume \
        --record experiments/results/distilled.json

Record: 93.01 % of the 25,000 test reviews (92.96, 93.08, 92.99), at most 13.5 minutes a seed, after
25.1 of pretraining and 17.5 for the ensemble's runs, both once for all seeds, on 2 cores of an AMD
EPYC (family 25, model 17: Zen 4, products in bfloat16), JAX 0.10.2, 2026-11-29. The record was made
under this preset's former name, `pretrained`. Its last choices were made when test figures were
known: docs/explanation/accuracy.md.
"""

from dataclasses import replace

from experiments.imdb import finetuned
from experiments.imdb.preset import Preset
from experiments.imdb.session import Session, Trained
from lstm_jax.models.config import ModelConfig
from lstm_jax.recipes.distill import Ensemble, check_distillable, check_parts
from lstm_jax.train.config import Config, OptimizerConfig, TextConfig, TrainConfig

CONFIG = Config(
    name="distilled",
    text=TextConfig(
        tokenizer="punctuation",
        vocabulary_size=30_000,
        ngrams=(40_000, 30_000),
        cooccurrence_window=8,
        max_length=1_000,
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
    optimizer=OptimizerConfig(learning_rate=1e-3, schedule="cosine", warmup_steps=100),
    train=TrainConfig(
        epochs=2,
        batch_size=64,
        buckets=8,
        ema_decay=0.99,
        adversarial=0.3,
        unlabelled=50_000,
        validation_seed=0,
    ),
)
MEMBERS = tuple(replace(finetuned.CONFIG, seed=seed) for seed in range(3))


def run(session: Session) -> list[Trained]:
    """Pretraining and the ensemble once, then a run for each seed, from one of its members."""
    check_distillable(session.corpus)
    for config in session.configs:
        check_parts(MEMBERS, config.validation_part)
    texts = [*session.corpus.train.texts, *session.corpus.unlabelled]
    pretrained = session.pretrain(finetuned.PRETRAINING, texts)
    members = [session.supervised(config, init=pretrained) for config in MEMBERS]
    session.minutes_before["ensemble"] = sum(member.result.minutes for member in members)
    paths = [member.path for member in members]
    # All seeds hold out the same part, so that one ensemble does for all.
    ensemble = Ensemble(paths, session.corpus, session.configs[0].validation_part)
    return [
        session.distill(config, ensemble, init=paths[config.seed % len(paths)])
        for config in session.configs
    ]


PRESET = Preset(
    "distillation from three runs of finetuned and a linear model",
    CONFIG,
    run,
    pretraining="all",
)
