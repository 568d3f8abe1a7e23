"""The optimizer: clipping, Adam, a schedule, and weight decay that really decays."""

from functools import lru_cache

import jax
import optax

from lstm_jax.models.encoder import ENCODER
from lstm_jax.shapes import Params
from lstm_jax.train.config import OptimizerConfig


def make_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """The learning rate of each step of a run of so many steps."""
    warmup = min(config.warmup_steps, steps)
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(config.learning_rate, max(steps - warmup, 1))
    else:
        after = optax.constant_schedule(config.learning_rate)
    if warmup == 0:
        return after
    rise = optax.linear_schedule(0.0, config.learning_rate, warmup)
    return optax.join_schedules([rise, after], [warmup])


@lru_cache(maxsize=32)  # equal ones are one object, so that runs alike share their programs
def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Adam with decoupled weight decay on everything but biases, behind global-norm clipping.

    Source: Kingma & Ba (2015), algorithm 1; Loshchilov & Hutter (2019), algorithm 2; Pascanu,
        Mikolov & Bengio (2013), algorithm 1, for the clipping that keeps LSTMs from blowing up.
    """
    adam = optax.adamw(
        make_schedule(config, steps), weight_decay=config.weight_decay, mask=_not_biases
    )
    clip, slow = optax.identity(), optax.identity()
    if config.clip_norm is not None:
        clip = optax.clip_by_global_norm(config.clip_norm)
    if config.encoder_learning_rate_multiplier != 1:
        slow = optax.masked(optax.scale(config.encoder_learning_rate_multiplier), _of_encoder)
    return optax.chain(clip, adam, slow)


def _of_encoder(params: Params) -> Params:
    return {name: name in ENCODER for name in params}


def _not_biases(params: Params) -> Params:
    return jax.tree.map(lambda array: array.ndim > 1, params)
