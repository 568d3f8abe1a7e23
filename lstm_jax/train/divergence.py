"""Notices that training diverges, before what it has become is saved."""

import math
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from lstm_jax.shapes import Params

# Times the loss of a model that gives everything the same chance: of two classes, the logits of a
# batch, or of an epoch, are then wrong by 700 on average. A run may come back from less.
_LIMIT = 1000

# Times the length of all parameters at the check before. In a healthy run it changes by a few
# per cent; a learning rate of 1e6 makes it a million times as long in one step.
_GROWTH_LIMIT = 100

# Steps whose losses wait on the device to be looked at.
_WAITING = 100


class Divergence:
    """Looks at every step of a run, some steps later, so that no step waits for it.

    The loss and gradient norm of a step are numbers that it computes anyway. They stay on the
    device until the next line of the log, checkpoint or end of an epoch asks for them.
    """

    def __init__(
        self, params: Params, *, step: int, uniform_loss: float, schedule: optax.Schedule
    ) -> None:
        """Begins before a step.

        Args:
            params: the parameters then.
            step: how many steps were done before.
            uniform_loss: in nats, of a model that gives everything the same chance.
            schedule: the learning rate of each step, to be named in errors.
        """
        self._uniform_loss, self._schedule = uniform_loss, schedule
        self._length = _finite_length(params)
        self._checked = step
        self._waiting: list[dict[str, Array]] = []

    def add(self, of_step: dict[str, Array]) -> None:
        """Takes the `loss` and `norm` of one more step, and waits until the step before is done.

        Without that, steps would be asked for much faster than they are computed, and a process
        that is told to stop would have to compute those asked for first.
        """
        if self._waiting:
            jax.block_until_ready(self._waiting[-1])
        self._waiting.append(of_step)
        if len(self._waiting) >= _WAITING:
            self.check()

    def check(self) -> None:
        """Looks at the steps that were added since the last time.

        Raises:
            FloatingPointError: naming the first bad one.
        """
        for of_step in jax.device_get(self._waiting):
            self._checked += 1
            loss, norm = float(of_step["loss"]), float(of_step["norm"])
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self.fail(f"loss {loss:.4g} or gradient norm {norm:.4g} is not finite")
            if loss > _LIMIT * self._uniform_loss:
                self.fail(f"the loss is {loss:.4g}, {self._compared(loss)},")
        self._waiting.clear()

    def check_params(self, params: Params) -> None:
        """Looks at the parameters themselves, of which the last step's loss says nothing yet.

        Raises:
            FloatingPointError: if one is not finite, or all together are much longer than the last
                time.
        """
        length = _finite_length(params)
        if not math.isfinite(length):
            self.fail("the parameters are not finite")
        if length > _GROWTH_LIMIT * self._length > 0:
            self.fail(f"the parameters became {length / self._length:.4g} times as long")
        self._length = length

    def check_epoch(self, part: str, loss: float) -> None:
        """Looks at the mean loss of a part of the data, "train" or "validation".

        Raises:
            FloatingPointError: if it is not finite, or far above that of a model that gives
                everything the same chance.
        """
        if not math.isfinite(loss):
            self.fail(f"the {part} loss, {loss}, is not finite")
        if loss > _LIMIT * self._uniform_loss:
            self.fail(f"the {part} loss is {loss:.4g}, {self._compared(loss)},")

    def fail(self, what: str) -> NoReturn:
        """Ends the training, naming the step and its learning rate.

        Raises:
            FloatingPointError: always.
        """
        rate = float(np.asarray(self._schedule(max(self._checked - 1, 0))))
        raise FloatingPointError(
            f"{what} at step {self._checked}, learning rate {rate:.3g}; give a lower "
            "optimizer.learning_rate or optimizer.clip_norm"
        )

    def _compared(self, loss: float) -> str:
        times = loss / self._uniform_loss
        return f"{times:.4g} times that of a model that has learnt nothing"


@jax.jit
def _length_of(params: Params) -> Array:
    return jnp.asarray(optax.tree.norm(params))


def _finite_length(params: Params) -> float:
    return float(np.asarray(_length_of(params)))
