"""One step of training, and of prediction: pure functions, compiled once per batch shape."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lstm_jax.data import Batch
from lstm_jax.memory import check_memory
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.shapes import Logits, Params
from lstm_jax.train.losses import Loss, Totals, zero_totals


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


def init_state(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    seed: int,
    *,
    keep_ema: bool,
    keep_best: bool,
    start: Params | None = None,
) -> TrainState:
    """The state before the first step.

    Args:
        loss, optimizer: what is minimised, and by which steps.
        seed: decides the parameters and dropout.
        keep_ema, keep_best: whether the state has these two.
        start: parameters that take the place of those of the same names.

    Raises:
        ValueError: if one of them has another shape.
    """
    init_key, dropout_key = jax.random.split(jax.random.key(seed))
    params = _init(loss, init_key)
    if start is not None:
        params = _replaced(params, start)

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


@partial(jax.jit, static_argnames="loss")
def _init(loss: Loss, key: Array) -> Params:
    return loss.init(key)


def check_state(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    keep_ema: bool,
    keep_best: bool,
    start: Params | None = None,
) -> None:
    """Finds out, without computing anything, whether there can be such a state.

    Args:
        loss, optimizer, keep_ema, keep_best, start: as for `init_state`.

    Raises:
        ValueError: as `init_state`, or whatever is wrong with the model; or if memory does not
            suffice for it.
    """
    options = {"keep_ema": keep_ema, "keep_best": keep_best, "start": start}
    check_memory(lambda: init_state(loss, optimizer, 0, **options))


def _replaced(params: Params, start: Params) -> Params:
    """`params` with the arrays of `start` in the places that have their names."""
    arrays = dict(jax.tree_util.tree_leaves_with_path(params))
    for name, array in jax.tree_util.tree_leaves_with_path(start):
        wanted = arrays[name].shape if name in arrays else "nothing of that name"
        if array.shape != wanted:
            raise ValueError(
                f"the parameters to start from must fit the model; {jax.tree_util.keystr(name)} "
                f"has shape {array.shape}, and the model's is {wanted}: give it the same model "
                "and text settings"
            )
        arrays[name] = jnp.asarray(array)
    return jax.tree.unflatten(jax.tree.structure(params), arrays.values())


@partial(
    jax.jit,
    static_argnames=("loss", "optimizer", "ema_decay", "accumulate"),
    donate_argnames="state",
)
def train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    state: TrainState,
    batch: Batch,
    accumulate: int = 1,
) -> tuple[TrainState, dict[str, Array]]:
    """One gradient step.

    Args:
        loss, optimizer, ema_decay: what does not change in a run.
        state: before the step; its buffers are reused.
        batch: tokens [B, T] and the rest.
        accumulate: parts of B / accumulate rows each, whose gradients are computed one after the
            other and added; B is a multiple of it.

    Returns:
        The state after it, and the batch's `loss` (nats) and gradient `norm` before clipping.
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    (value, totals), gradients = _differentiated(loss, accumulate, state.params, batch, key)
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
        totals=jax.tree.map(jnp.add, state.totals, totals),
    )
    return new_state, {"loss": value, "norm": optax.tree.norm(gradients)}


def _differentiated(
    loss: Loss, parts: int, params: Params, batch: Batch, key: Array
) -> tuple[tuple[Array, Totals], Params]:
    """The loss and totals of a batch, and the gradient, in so many parts one after the other.

    A loss is a mean over the weights of its rows, so the parts are averaged by theirs.
    """
    differentiated = jax.value_and_grad(loss, has_aux=True)
    if parts == 1:
        return differentiated(params, batch, key)

    def cut(array: Array) -> Array:
        # Every so many-th row, so that each device cuts the rows that it has.
        return jnp.swapaxes(array.reshape(-1, parts, *array.shape[1:]), 0, 1)

    def add(sums: Any, part: tuple[Batch, Array]) -> tuple[Any, None]:
        (value, totals), gradients = differentiated(params, part[0], part[1])
        weight = part[0].weights.sum()
        of_part = jax.tree.map(lambda array: weight * array, (value, gradients))
        return jax.tree.map(jnp.add, sums, (of_part, totals)), None

    none = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)), zero_totals()
    pieces = jax.tree.map(cut, batch), jax.random.split(key, parts)
    (sums, totals), _ = jax.lax.scan(add, none, pieces)
    weight = jnp.maximum(batch.weights.sum(), 1e-6)
    value, gradients = jax.tree.map(lambda array: array / weight, sums)
    return (value, totals), gradients


@partial(jax.jit, static_argnames="model")
def predict_step(model: TextClassifier, params: Params, tokens: Array, lengths: Array) -> Logits:
    """Logits [B, C] of token ids [B, T] with lengths [B], without dropout."""
    logits = model.apply({"params": params}, tokens, lengths)
    assert isinstance(logits, Array)
    return logits


class Shardings(NamedTuple):
    """Where arrays go: parameters onto every device, the rows of a batch over the devices."""

    replicated: NamedSharding
    by_row: NamedSharding

    @property
    def devices(self) -> int:
        """How many devices there are; the rows of a batch must be a multiple of it."""
        return self.by_row.mesh.size


def all_devices() -> Shardings:
    """Over all of `jax.devices()`."""
    mesh = Mesh(jax.devices(), ("rows",))
    return Shardings(
        NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("rows"))
    )
