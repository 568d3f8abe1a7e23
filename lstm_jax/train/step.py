"""One step of training, and of prediction: pure functions, compiled once per batch shape."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike
from jaxtyping import Float

from lstm_jax.classifier import TextClassifier
from lstm_jax.shapes import Logits, Params
from lstm_jax.text import Batch


class Totals(NamedTuple):
    """Sums over the examples seen since they were last reset; on the device, so free to keep."""

    loss: Array  # nats
    correct: Array
    examples: Array


class TrainState(NamedTuple):
    """Everything that changes in training, and thus everything that a checkpoint must hold."""

    step: Array
    key: Array  # raw key data; step n draws from fold_in(key, n)
    params: Params
    optimizer: optax.OptState
    ema: Params | None  # moving average of the parameters, if kept
    best: Params | None  # the parameters with the lowest validation loss, if there is one
    totals: Totals

    @property
    def evaluated(self) -> Params:
        """The parameters that predictions are made with."""
        return self.params if self.ema is None else self.ema


def zero_totals() -> Totals:
    """Totals of no examples."""
    return Totals(*jnp.zeros(3))


def init_state(
    model: TextClassifier,
    optimizer: optax.GradientTransformation,
    seed: int,
    *,
    keep_ema: bool,
    keep_best: bool,
) -> TrainState:
    """The state before the first step."""
    init_key, dropout_key = jax.random.split(jax.random.key(seed))
    tokens, lengths = jnp.zeros((1, 1), jnp.int32), jnp.ones(1, jnp.int32)
    params = jax.jit(model.init)(init_key, tokens, lengths)["params"]

    def copy() -> Params:
        return jax.tree.map(jnp.copy, params)

    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=jax.random.key_data(dropout_key),
        params=params,
        optimizer=optimizer.init(params),
        ema=copy() if keep_ema else None,
        best=copy() if keep_best else None,
        totals=zero_totals(),
    )


def example_losses(logits: Logits, labels: ArrayLike) -> Float[Array, "B"]:
    """Cross-entropy in nats of each example, and for one logit the binary cross-entropy."""
    if logits.shape[-1] == 1:
        return optax.sigmoid_binary_cross_entropy(logits[:, 0], jnp.asarray(labels))
    return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(labels))


def predicted_labels(logits: Logits) -> Array:
    """The likeliest class of each example, as an integer."""
    if logits.shape[-1] == 1:
        return (logits[:, 0] > 0).astype(jnp.int32)
    return logits.argmax(-1)


@partial(jax.jit, static_argnames=("model", "optimizer", "ema_decay"), donate_argnames="state")
def train_step(
    model: TextClassifier,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    state: TrainState,
    batch: Batch,
) -> tuple[TrainState, dict[str, Array]]:
    """One gradient step on the mean loss of the batch's examples; filler rows have weight 0.

    Args:
        model, optimizer, ema_decay: what does not change in a run.
        state: before the step; its buffers are reused.
        batch: tokens [B, T] and the rest.

    Returns:
        The state after it, and the batch's `loss` (nats) and gradient `norm` before clipping.
    """
    dropout_key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)

    def mean_loss(params: Params) -> tuple[Array, Totals]:
        logits = model.apply(
            {"params": params},
            batch.tokens,
            batch.lengths,
            train=True,
            rngs={"dropout": dropout_key},
        )
        assert isinstance(logits, Array)
        correct = predicted_labels(logits) == batch.labels
        losses = example_losses(logits, batch.labels)
        sums = Totals(*((batch.weights * x).sum() for x in (losses, correct, 1.0)))
        return sums.loss / jnp.maximum(sums.examples, 1.0), sums

    (loss, sums), gradients = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = state.ema
    if ema is not None:
        # The decay grows to its value, so that the random start is forgotten soon.
        decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
        ema = optax.incremental_update(params, ema, 1.0 - decay)
    new_state = state._replace(
        step=state.step + 1,
        params=params,
        optimizer=optimizer_state,
        ema=ema,
        totals=jax.tree.map(jnp.add, state.totals, sums),
    )
    return new_state, {"loss": loss, "norm": optax.tree.norm(gradients)}


@partial(jax.jit, static_argnames="model")
def predict_step(model: TextClassifier, params: Params, tokens: Array, lengths: Array) -> Logits:
    """Logits [B, C] of token ids [B, T] with lengths [B], without dropout."""
    logits = model.apply({"params": params}, tokens, lengths)
    assert isinstance(logits, Array)
    return logits


class Placement(NamedTuple):
    """Where arrays go: parameters onto every device, the rows of a batch over the devices."""

    replicated: NamedSharding
    by_row: NamedSharding

    @property
    def devices(self) -> int:
        """How many devices there are; the rows of a batch must be a multiple of it."""
        return self.by_row.mesh.size


def all_devices() -> Placement:
    """A placement over all of `jax.devices()`."""
    mesh = Mesh(jax.devices(), ("rows",))
    return Placement(
        NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("rows"))
    )
