"""The recurrence with a hand-written backward pass, in plain XLA.

What differentiating `lax.scan` would do inside its loop is done as one large product behind it,
unless a CPU is faster the other way: the loop backward in time finds ∂L/∂z, the gradient at the
gates' preactivations z [B, 4H],

    ∂L/∂h_t = ∂L/∂(output of t) + ∂L/∂z_{t+1} Uᵀ
    ∂L/∂c_t = ∂L/∂c_{t+1} ∘ f_{t+1} + ∂L/∂h_t ∘ o ∘ (1 - tanh² c_t)
    ∂L/∂z_t = [∂c ∘ g ∘ i(1-i),  ∂c ∘ c_{t-1} ∘ f(1-f),  ∂c ∘ i ∘ (1-g²),  ∂h ∘ tanh c_t ∘ o(1-o)]

and then, over all steps and sequences at once,

    ∂L/∂W = Σ x_tᵀ ∂z_t,   ∂L/∂U = Σ h_{t-1}ᵀ ∂z_t,   ∂L/∂b = Σ ∂z_t,   ∂L/∂x_t = ∂z_t Wᵀ.

`lstm_jax.kernels.xla_cpu` and `xla_accelerator` have the loops, each as suits its platform.

Source: derived in docs/reference/equations.md; the form is Graves & Schmidhuber (2005), appendix A.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import LSTMParams, LSTMState
from lstm_jax.kernels import xla_accelerator, xla_cpu
from lstm_jax.kernels.derivatives import with_backward_pass
from lstm_jax.recurrence import valid_steps, zero_padding
from lstm_jax.shapes import Inputs, Lengths, Outputs

Results = tuple[tuple[Outputs, LSTMState], ...]


def run(
    params: tuple[LSTMParams, ...],
    inputs: Inputs,
    lengths: Lengths,
    initial_states: tuple[LSTMState, ...],
    *,
    reverse: tuple[bool, ...],
    precision: str | None = None,
) -> Results:
    """The contract of `lstm_jax.kernels` for each direction."""
    how: Any = {"reverse": reverse, "precision": precision}
    return jax.lax.platform_dependent(
        params,
        zero_padding(inputs, lengths),  # a NaN would reach the gradients from a masked step
        lengths,
        initial_states,
        cpu=partial(one_by_one, **how),
        default=partial(at_once, **how),
    )


def one_by_one(
    params: tuple[LSTMParams, ...],
    inputs: Inputs,
    lengths: Lengths,
    initial_states: tuple[LSTMState, ...],
    *,
    reverse: tuple[bool, ...],
    precision: str | None = None,
) -> Results:
    """Each direction in a loop of its own, as suits a CPU."""
    steps, run = _steps(inputs, lengths), _on_cpu(precision == "bfloat16")

    def one(params: LSTMParams, initial_state: LSTMState, turned: bool) -> Any:
        inputs, valid = _turn(steps, turned)
        outputs, final_state = run((params, inputs, initial_state), valid)
        return jnp.swapaxes(_turn(outputs, turned), 0, 1), final_state

    return tuple(map(one, params, initial_states, reverse))


def at_once(
    params: tuple[LSTMParams, ...],
    inputs: Inputs,
    lengths: Lengths,
    initial_states: tuple[LSTMState, ...],
    *,
    reverse: tuple[bool, ...],
    precision: str | None = None,
) -> Results:
    """All directions in one loop: an accelerator waits for each step, not for what is in it."""
    steps, run = _steps(inputs, lengths), _on_accelerator(precision == "bfloat16")
    turned_inputs, valid = _stack([_turn(steps, turned) for turned in reverse])
    arrays = _stack(params), turned_inputs, _stack(initial_states)
    outputs, final_states = jax.vmap(run)(arrays, valid)
    return tuple(
        (jnp.swapaxes(_turn(outputs[n], turned), 0, 1), jax.tree.map(itemgetter(n), final_states))
        for n, turned in enumerate(reverse)
    )


def _steps(inputs: Inputs, lengths: Lengths) -> tuple[Array, Array]:
    """The inputs of each step [T, B, D], and which sequences have that step [T, B]."""
    return jnp.swapaxes(inputs, 0, 1), valid_steps(lengths, inputs.shape[1]).T


def _turn(steps: Any, turned: bool) -> Any:
    """Arrays with time as their first axis; last step first if `turned`."""
    return jax.tree.map(lambda array: array[::-1], steps) if turned else steps


def _stack(of_each: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *of_each)


# Outputs [T, B, H] and the final state, of the parameters, the inputs [T, B, D] and the initial
# state of one direction, and of where steps are valid [T, B].
_Loop = Callable[[tuple[LSTMParams, Array, LSTMState], Array], tuple[Array, LSTMState]]


@cache
def _on_cpu(rounded: bool) -> _Loop:
    """With the arrays a product reads rounded to bfloat16, or not."""
    forward = partial(xla_cpu.forward, rounded)

    def predict(arrays: Any, valid: Array) -> Any:
        return forward(arrays, valid)[0]

    return with_backward_pass(predict, forward, partial(xla_cpu.backward, rounded), predict)


@cache
def _on_accelerator(rounded: bool) -> _Loop:
    """The same."""
    forward = partial(xla_accelerator.forward, rounded)

    def predict(arrays: Any, valid: Array) -> Any:
        return forward(arrays, valid, keep=False)[0]

    return with_backward_pass(predict, forward, partial(xla_accelerator.backward, rounded), predict)
