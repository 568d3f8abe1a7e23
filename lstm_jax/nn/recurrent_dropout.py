"""Regularisation inside the recurrence: of the state, and of the weights that read it.

The first two wrap a cell and keep what they draw in its state, so that they work wherever a cell
does: with lengths, backward, in chunks, and over a state carried on. Each sequence draws for
itself, whatever stands beside it in the batch.

    recurrent dropout   h_{t-1} ∘ m, with one mask m for all steps of a sequence
    zoneout             c_t = d ∘ c_{t-1} + (1 - d) ∘ c'_t, and h_t likewise, with a new mask d at
                        every step; without random numbers, d is its mean
    weight drop         U ∘ M, with one mask M for all sequences and steps

Source: Gal & Ghahramani (2016), eq. 7; Krueger et al. (2017), eqs. 4 and 5; Merity, Keskar & Socher
(2018), section 2.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import LSTMParams, LSTMState
from lstm_jax.shapes import StepInputs
from lstm_jax.variants import Cell


class MaskedState(NamedTuple):
    """A state, and what its hidden part is multiplied with."""

    state: LSTMState
    mask: Array  # [B, R]


@dataclass(frozen=True)
class RecurrentDropout:
    """A cell that reads its hidden state through a mask that stays the same over time.

    Attributes:
        cell: the cell, with an `LSTMState`.
        rate: probability in [0, 1) that a unit is hidden from the cell; the others are scaled up.
    """

    cell: Cell
    rate: float

    def with_noise(self, key: Array, state: LSTMState) -> MaskedState:
        """The cell's own state with a mask drawn for each sequence."""
        kept = jax.random.bernoulli(key, 1 - self.rate, state.hidden.shape)
        return MaskedState(state, kept / jnp.asarray(1 - self.rate, state.hidden.dtype))

    def __call__(
        self, params: Any, state: MaskedState, inputs: StepInputs
    ) -> tuple[MaskedState, Array]:
        """One step; see `lstm_jax.variants.Cell`."""
        seen = state.state._replace(hidden=state.state.hidden * state.mask)
        new_state, output = self.cell(params, seen, inputs)
        return MaskedState(new_state, state.mask), output


class KeyedState(NamedTuple):
    """A state, and the random keys [B, 2] from which its next step draws, as raw data."""

    state: LSTMState
    keys: Array


@dataclass(frozen=True)
class Zoneout:
    """A cell whose units at random stay as they were for a step.

    It takes a `KeyedState` in training, and the cell's own state for predictions.

    Attributes:
        cell: the cell, with an `LSTMState`; its output must be its hidden state.
        hidden_rate, cell_rate: probabilities in [0, 1] that a unit's hidden and cell state stay.
    """

    cell: Cell
    hidden_rate: float
    cell_rate: float

    def with_noise(self, key: Array, state: LSTMState) -> KeyedState:
        """The cell's own state with a key for each sequence."""
        return KeyedState(state, jax.random.key_data(jax.random.split(key, len(state.hidden))))

    def __call__(
        self, params: Any, state: LSTMState | KeyedState, inputs: StepInputs
    ) -> tuple[LSTMState | KeyedState, Array]:
        """One step; see `lstm_jax.variants.Cell`."""
        rates = (self.hidden_rate, self.cell_rate)
        if isinstance(state, LSTMState):
            new, _ = self.cell(params, state, inputs)
            pairs = zip(rates, state, new, strict=True)
            mixed = LSTMState(*(rate * old + (1 - rate) * fresh for rate, old, fresh in pairs))
            return mixed, mixed.hidden
        new, _ = self.cell(params, state.state, inputs)

        def draw(key: Array, fresh: LSTMState, old: LSTMState) -> tuple[Array, LSTMState]:
            next_key, *keys = jax.random.split(jax.random.wrap_key_data(key), 3)
            kept = [
                jnp.where(jax.random.bernoulli(of_part, rate, was.shape), was, now)
                for of_part, rate, was, now in zip(keys, rates, old, fresh, strict=True)
            ]
            return jax.random.key_data(next_key), LSTMState(*kept)

        keys, mixed = jax.vmap(draw)(state.keys, new, state.state)
        return KeyedState(mixed, keys), mixed.hidden


def drop_weights(key: Array, params: LSTMParams, rate: float) -> LSTMParams:
    """U with each weight zero at random, the others scaled up: any implementation can run it.

    Args:
        key: random key.
        params: any NamedTuple with a `recurrent_kernel`.
        rate: probability in [0, 1) that a weight is dropped.

    Returns:
        The parameters with another recurrent kernel.
    """
    kernel = params.recurrent_kernel
    kept = jax.random.bernoulli(key, 1 - rate, kernel.shape)
    return params._replace(recurrent_kernel=jnp.where(kept, kernel / (1 - rate), 0))
