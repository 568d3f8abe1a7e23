"""The recurrence with a hand-written backward pass, in plain XLA.

What differentiating `lax.scan` would do inside its loop is done here as one large product behind
it, unless a CPU is faster the other way: the loop backward in time finds ∂L/∂z, the gradient at the
gates' preactivations z [B, 4H],

    ∂L/∂h_t = ∂L/∂(output of t) + ∂L/∂z_{t+1} Uᵀ
    ∂L/∂c_t = ∂L/∂c_{t+1} ∘ f_{t+1} + ∂L/∂h_t ∘ o ∘ (1 - tanh² c_t)
    ∂L/∂z_t = [∂c ∘ g ∘ i(1-i),  ∂c ∘ c_{t-1} ∘ f(1-f),  ∂c ∘ i ∘ (1-g²),  ∂h ∘ tanh c_t ∘ o(1-o)]

and then, over all steps and sequences at once,

    ∂L/∂W = Σ x_tᵀ ∂z_t,   ∂L/∂U = Σ h_{t-1}ᵀ ∂z_t,   ∂L/∂b = Σ ∂z_t,   ∂L/∂x_t = ∂z_t Wᵀ.

Source: derived in docs/equations.md; the form is Graves & Schmidhuber (2005), appendix A.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lstm_jax.cell import LSTMGates, LSTMParams, LSTMState
from lstm_jax.recurrence import where_valid, zero_padding
from lstm_jax.shapes import Inputs, Lengths, Outputs


class _Saved(NamedTuple):
    """What the backward pass needs of the forward pass; time first."""

    gates: LSTMGates  # [T, B, H] each: as one array, a copy would be made of it at every step
    cells_before: Array  # [T, B, H] the cell state each step started from
    hiddens: Array  # [T, B, H] the hidden state each step ended with


def run(
    params: LSTMParams,
    inputs: Inputs,
    lengths: Lengths,
    initial_state: LSTMState,
    *,
    reverse: bool,
) -> tuple[Outputs, LSTMState]:
    """The contract of `lstm_jax.kernels`; reverse mode only."""
    inputs = zero_padding(inputs, lengths)  # a NaN would reach the gradients from a masked step
    return _run(reverse, params, inputs, lengths, initial_state)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(
    reverse: bool, params: LSTMParams, inputs: Inputs, lengths: Lengths, initial_state: LSTMState
) -> tuple[Outputs, LSTMState]:
    return _forward(reverse, params, inputs, lengths, initial_state)[0]


def _forward(
    reverse: bool, params: LSTMParams, inputs: Inputs, lengths: Lengths, initial_state: LSTMState
) -> tuple[tuple[Outputs, LSTMState], tuple]:
    recurrence = partial(_recurrence, reverse=reverse)
    final_state, saved = jax.lax.platform_dependent(
        params,
        jnp.swapaxes(inputs, 0, 1),
        lengths,
        initial_state,
        cpu=partial(recurrence, project_ahead=False),
        default=partial(recurrence, project_ahead=True),
    )
    outputs = zero_padding(jnp.swapaxes(saved.hiddens, 0, 1), lengths)
    return (outputs, final_state), (params, inputs, lengths, initial_state, saved)


def _recurrence(
    params: LSTMParams,
    inputs: Array,
    lengths: Lengths,
    initial_state: LSTMState,
    *,
    reverse: bool,
    project_ahead: bool,
) -> tuple[LSTMState, _Saved]:
    """The loop forward in time; inputs are [T, B, D].

    On an accelerator the inputs of all steps are projected by one product ahead of the loop. On a
    CPU, XLA fuses the addition of that projection into the activations and then does not vectorise
    them: at B = 32, T = 500, D = 32, H = 100 the loop takes 34 ms so and 11 ms with the one product
    [x, h] [W; U] (2 cores of an AMD EPYC of family 26, JAX 0.10.2, float32; PyTorch 2.13 takes 7).
    """
    if project_ahead:
        inputs = inputs @ params.input_kernel + params.bias
    kernel = jnp.concatenate([params.input_kernel, params.recurrent_kernel])

    def step(state: LSTMState, step_inputs: tuple[Array, Array]) -> tuple[LSTMState, _Saved]:
        time, x = step_inputs
        if project_ahead:
            z = x + state.hidden @ params.recurrent_kernel
        else:
            z = jnp.concatenate([x, state.hidden], axis=-1) @ kernel + params.bias
        i, f, g, o = jnp.split(z, 4, axis=-1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        cell = f * state.cell + i * g
        new_state = LSTMState(hidden=o * jnp.tanh(cell), cell=cell)
        new_state = jax.tree.map(partial(where_valid, time < lengths), new_state, state)
        gates = LSTMGates(i, f, g, o)
        return new_state, _Saved(gates, cells_before=state.cell, hiddens=new_state.hidden)

    times = jnp.arange(inputs.shape[0])
    return jax.lax.scan(step, initial_state, (times, inputs), reverse=reverse)


def _backward(
    reverse: bool, residuals: tuple, cotangents: tuple[Array, LSTMState]
) -> tuple[LSTMParams, Array, None, LSTMState]:
    params, inputs, lengths, initial_state, saved = residuals
    d_outputs, d_final_state = cotangents
    loop = partial(_backward_recurrence, reverse=reverse)
    d_params, d_inputs, d_initial_state = jax.lax.platform_dependent(
        params,
        jnp.swapaxes(inputs, 0, 1),
        lengths,
        saved,
        _shifted(saved.hiddens, initial_state.hidden, reverse),
        jnp.swapaxes(zero_padding(d_outputs, lengths), 0, 1),
        d_final_state,
        cpu=partial(loop, sum_in_loop=_small(params) and inputs.shape[0] >= 64),
        default=partial(loop, sum_in_loop=False),
    )
    return d_params, jnp.swapaxes(d_inputs, 0, 1), None, d_initial_state


def _small(params: LSTMParams) -> bool:
    """Whether the kernels' gradients stay in a processor's cache."""
    return sum(array.size * array.dtype.itemsize for array in params) <= 2**21


def _backward_recurrence(
    params: LSTMParams,
    inputs: Array,
    lengths: Lengths,
    saved: _Saved,
    hiddens_before: Array,
    d_outputs: Array,
    d_final_state: LSTMState,
    *,
    reverse: bool,
    sum_in_loop: bool,
) -> tuple[LSTMParams, Array, LSTMState]:
    """The loop backward in time, and the gradients of parameters and inputs; all time first.

    Where a step is a large product and the kernels are small, XLA on a CPU is faster if each step
    adds its part of their gradients and no ∂z is kept: docs/speed.md has the times.
    """
    recurrent_kernel_transposed = params.recurrent_kernel.T
    times = jnp.arange(inputs.shape[0])

    def gradients(x: Array, hidden_before: Array, dz: Array) -> tuple[LSTMParams, Array]:
        def rows(array: Array) -> Array:
            return array.reshape(-1, array.shape[-1])

        d_params = LSTMParams(
            input_kernel=rows(x).T @ rows(dz),
            recurrent_kernel=rows(hidden_before).T @ rows(dz),
            bias=rows(dz).sum(0),
        )
        return d_params, dz @ params.input_kernel.T

    def step(carry: tuple[LSTMState, LSTMParams | None], of_step: tuple) -> tuple[Any, Array]:
        d_state, sums = carry
        time, x, hidden_before, d_output, (gates, cell_before, _) = of_step
        i, f, g, o = gates
        tanh_cell = jnp.tanh(f * cell_before + i * g)
        d_hidden = d_state.hidden + d_output
        d_cell = d_state.cell + d_hidden * o * (1 - tanh_cell**2)
        dz = jnp.concatenate(
            [
                d_cell * g * i * (1 - i),
                d_cell * cell_before * f * (1 - f),
                d_cell * i * (1 - g**2),
                d_hidden * tanh_cell * o * (1 - o),
            ],
            axis=-1,
        )
        valid = time < lengths
        before = LSTMState(hidden=dz @ recurrent_kernel_transposed, cell=d_cell * f)
        before = jax.tree.map(partial(where_valid, valid), before, d_state)
        dz = where_valid(valid, dz, jnp.zeros_like(dz))
        if sums is None:
            return (before, None), dz
        of_params, d_input = gradients(x, hidden_before, dz)
        return (before, jax.tree.map(jnp.add, sums, of_params)), d_input

    sums = jax.tree.map(jnp.zeros_like, params) if sum_in_loop else None
    steps = (times, inputs, hiddens_before, d_outputs, saved)
    (d_initial_state, sums), found = jax.lax.scan(
        step, (d_final_state, sums), steps, reverse=not reverse
    )
    if sums is not None:
        return sums, found, d_initial_state
    d_params, d_inputs = gradients(inputs, hiddens_before, found)
    return d_params, d_inputs, d_initial_state


_run.defvjp(_forward, _backward)


def _shifted(hiddens: Array, initial: Array, reverse: bool) -> Array:
    """The hidden state [T, B, H] that each step started from."""
    if reverse:
        return jnp.concatenate([hiddens, initial[None]])[1:]
    return jnp.concatenate([initial[None], hiddens])[:-1]
