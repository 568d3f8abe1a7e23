"""The ledger of an LSTM's memory: what every step wrote, and what is left of it.

With the gates i, f, g, o of every step and c_0 = 0 the cell state is, exactly, a sum over the steps
that wrote it:

    c_T = Σ_t S_t ∘ i_t ∘ g_t,    S_t = ∏_{s > t} f_s

S_t, the survival, is the share of what step t wrote that is left at the end: the forget gate's
elimination of information, measured. A target that reads the outputs h_t linearly, Σ_t w_t · h_t,
is a sum of the same kind. With q_t = w_t ∘ h_t / c_t (in the limit w_t ∘ o_t at c_t = 0) and

    r_t = q_t + f_{t+1} ∘ r_{t+1},    R_t = Σ_units r_t ∘ i_t ∘ g_t

it is Σ_t w_t · h_t = Σ_t R_t, with no rest. R_t is what the word at step t wrote into the memory,
as far as it reached the target. That the words before it helped to decide what it wrote is not in
R_t; `lstm_jax.explain.lrp` and `lstm_jax.explain.decomposition` are about that.

The division is by the cell state of the unit itself, so it holds for every cell in which
c_t = f ∘ c_{t-1} + i ∘ g: with peepholes, coupled gates, layer normalisation of what is shown.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.explain.readout import Readout
from lstm_jax.explain.trace import Direction, Steps, Trace
from lstm_jax.recurrence import valid_steps
from lstm_jax.shapes import Encodings, Lengths


def written(steps: Steps) -> Encodings:
    """What each step writes into the cell state: i_t ∘ g_t, [B, T, H]."""
    return steps.input * steps.candidate


def survival(steps: Steps, lengths: Lengths, *, reverse: bool = False) -> Encodings:
    """The share of what each step wrote that is left after the last step read.

    S_t = ∏ f_s over the steps s that are read after t.

    Args:
        steps: of one direction.
        lengths: valid steps [B].
        reverse: whether it reads last to first.

    Returns:
        [B, T, H], in [0, 1]; 1 at the last step read, and zero past each length.
    """
    valid = valid_steps(lengths, steps.forget.shape[1])[..., None]
    kept = jnp.where(valid, steps.forget, 1)
    product = partial(jax.lax.cumprod, axis=1, reverse=not reverse)
    # Of all later steps and not the step itself: one place further.
    later = jnp.roll(product(kept), 1 if reverse else -1, axis=1)
    last = jnp.arange(kept.shape[1])[None, :, None] == (0 if reverse else kept.shape[1] - 1)
    return jnp.where(valid, jnp.where(last, 1, later), 0)


def cell_ledger(steps: Steps, lengths: Lengths, *, reverse: bool = False) -> Encodings:
    """What each step contributes to the last cell state: S_t ∘ i_t ∘ g_t.

    Args:
        steps, lengths, reverse: as for `survival`.

    Returns:
        [B, T, H]; its sum over the steps is the cell state after the last step read.
    """
    return survival(steps, lengths, reverse=reverse) * written(steps)


def half_life(forget: Array) -> Array:
    """After how many steps half of what was written is left: -ln 2 / ln f, of any shape.

    Args:
        forget: forget gates in (0, 1), or their geometric means over steps.

    Returns:
        Steps; infinite where a gate is 1.
    """
    return -jnp.log(2.0) / jnp.log(forget)


def logit_ledger(trace: Trace, readout: Readout) -> Encodings:
    """What each step of the last layer contributes to a target, R_t.

    Args:
        trace: of the texts.
        readout: of the target.

    Returns:
        [B, T], both directions together; with the readout's bias it adds up to the target.
    """
    last = trace.layers[-1].directions
    ledgers = map(unit_ledger, last, readout.weights)
    return sum(ledger.sum(axis=-1) for ledger in ledgers)  # pyright: ignore[reportReturnType]


def unit_ledger(direction: Direction, weights: Encodings) -> Encodings:
    """What each step contributes to a target, by the unit that it wrote to: r_t ∘ i_t ∘ g_t.

    Args:
        direction: one of the last layer.
        weights: of its outputs in the target [B, T, H].

    Returns:
        [B, T, H].
    """
    steps, reverse = direction.steps, direction.reverse
    shown = per_cell(steps) * weights

    def step(later: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        shown, forget = at
        here = shown + later
        return forget * here, here

    by_time = jnp.swapaxes(shown, 0, 1), jnp.swapaxes(steps.forget, 0, 1)
    start = jnp.zeros_like(shown.sum(axis=1))
    _, reached = jax.lax.scan(step, start, by_time, reverse=not reverse)
    return jnp.swapaxes(reached, 0, 1) * written(steps)


def per_cell(steps: Steps) -> Encodings:
    """h_t / c_t [B, T, H]: what a unit shows of each part of its cell state; o_t where c_t is 0."""
    small = jnp.abs(steps.cell) < jnp.finfo(steps.cell.dtype).tiny
    return jnp.where(small, steps.output, steps.hidden / jnp.where(small, 1, steps.cell))
