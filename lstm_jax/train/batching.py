"""How a configuration makes batches."""

from lstm_jax.data import Batching
from lstm_jax.train.config import Config


def training_batching(config: Config, devices: int = 1) -> Batching:
    """Batches of `train.batch_size` examples over so many devices, each in as many parts."""
    multiple = devices * config.train.accumulate
    return Batching(config.train.batch_size, config.text.padding, config.train.buckets, multiple)


def evaluation_batching(config: Config, devices: int = 1) -> Batching:
    """Twice as many at a time, since no backward pass needs room."""
    return Batching(2 * config.train.batch_size, config.text.padding, config.train.buckets, devices)
