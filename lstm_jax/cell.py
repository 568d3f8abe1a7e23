"""The LSTM: one step, every gate visible.

For inputs x_t [B, D], hidden state h [B, H] and cell state c [B, H]:

    i = σ(x_t W_i + h_{t-1} U_i + b_i)        input gate: how much of the candidate is written
    f = σ(x_t W_f + h_{t-1} U_f + b_f)        forget gate: how much of the cell state is kept
    g = tanh(x_t W_g + h_{t-1} U_g + b_g)     candidate: what could be written
    o = σ(x_t W_o + h_{t-1} U_o + b_o)        output gate: how much of the cell state is shown

    c_t = f ∘ c_{t-1} + i ∘ g                 cell state
    h_t = o ∘ tanh(c_t)                       hidden state, and the output of the step

Source: Hochreiter & Schmidhuber (1997); the forget gate is Gers, Schmidhuber & Cummins (2000).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from lstm_jax.orthogonal import orthogonal
from lstm_jax.shapes import Bias, InputKernel, RecurrentKernel, StepInputs, StepState

GATES = ("input", "forget", "candidate", "output")  # the order i, f, g, o of every kernel


class LSTMParams(NamedTuple):
    """The weights of one direction; the four gates side by side in the order i, f, g, o."""

    input_kernel: InputKernel
    recurrent_kernel: RecurrentKernel
    bias: Bias

    @property
    def features(self) -> int:
        """D, the width of one step's inputs."""
        return self.input_kernel.shape[0]

    @property
    def hidden_size(self) -> int:
        """H, the number of hidden units."""
        return self.recurrent_kernel.shape[0]


class LSTMState(NamedTuple):
    """What an LSTM remembers between two steps."""

    hidden: StepState
    cell: StepState


class LSTMGates(NamedTuple):
    """The gates of one step, each [B, H]; all in (0, 1) but the candidate, which is in (-1, 1)."""

    input: StepState
    forget: StepState
    candidate: StepState
    output: StepState


def init_lstm(
    key: Array,
    features: int,
    hidden_size: int,
    *,
    forget_bias: float = 1.0,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> LSTMParams:
    """Draws the weights of one direction.

    The input kernel is Glorot uniform over its whole [D, 4H], as in Keras. The recurrent kernel is
    orthogonal gate by gate, so that each gate's map of the hidden state keeps its length. The
    biases are zero but the forget gate's: at `forget_bias` = 1 a fresh cell keeps σ(1) = 73 % of
    its state per step instead of half, and learns long dependencies sooner.

    Args:
        key: random key.
        features: D, at least 1.
        hidden_size: H, at least 1.
        forget_bias: initial bias of the forget gate.
        dtype: floating type of the weights.

    Returns:
        `LSTMParams` with kernels [D, 4H] and [H, 4H] and a bias [4H].

    Raises:
        ValueError: if a size is below 1.

    Source: Glorot & Bengio (2010), eq. 16; Saxe, McClelland & Ganguli (2014); Jozefowicz, Zaremba
        & Sutskever (2015), section 2.2, for the forget bias.
    """
    for name, size in (("features", features), ("hidden_size", hidden_size)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    drawn = jnp.promote_types(dtype, jnp.float32)  # an orthogonal draw needs that precision
    input_key, recurrent_key = jax.random.split(key)
    glorot = jax.nn.initializers.glorot_uniform()
    per_gate = [
        orthogonal(gate_key, hidden_size, drawn)
        for gate_key in jax.random.split(recurrent_key, len(GATES))
    ]
    bias = jnp.zeros((len(GATES), hidden_size), dtype).at[GATES.index("forget")].set(forget_bias)
    return LSTMParams(
        input_kernel=glorot(input_key, (features, len(GATES) * hidden_size), dtype),
        recurrent_kernel=jnp.concatenate(per_gate, axis=1).astype(dtype),
        bias=bias.reshape(-1),
    )


def zero_state(
    batch_size: int, hidden_size: int, dtype: jax.typing.DTypeLike = jnp.float32
) -> LSTMState:
    """The state [B, H] of an LSTM that has read nothing: zeros."""
    zeros = jnp.zeros((batch_size, hidden_size), dtype)
    return LSTMState(hidden=zeros, cell=zeros)


def lstm_gates(params: LSTMParams, state: LSTMState, inputs: Float[Array, "*B D"]) -> LSTMGates:
    """The four gates of one step, or of many at once.

    Args:
        params: weights of the direction.
        state: hidden and cell state [..., H] before the step; only the hidden state is read.
        inputs: x_t [..., D].

    Returns:
        `LSTMGates`, each [..., H].

    Source: the module's docstring, first four equations.
    """
    products = inputs @ params.input_kernel + state.hidden @ params.recurrent_kernel
    return activate_gates(products + per_feature(params.bias, products))


def per_feature(vector: Array, array: Array) -> Array:
    """A vector [F] with as many axes as an array [..., F]: a sum of them promotes no rank."""
    return jnp.expand_dims(vector, tuple(range(array.ndim - 1)))


def activate_gates(preactivations: Array) -> LSTMGates:
    """The gates: the logistic function of each preactivation, tanh for the candidate.

    Args:
        preactivations: x_t W + h_{t-1} U + b [B, 4H], in the order i, f, g, o.
    """
    i, f, g, o = jnp.split(preactivations, len(GATES), axis=-1)
    return LSTMGates(
        input=jax.nn.sigmoid(i),
        forget=jax.nn.sigmoid(f),
        candidate=jnp.tanh(g),
        output=jax.nn.sigmoid(o),
    )


def update_cell(
    cell: StepState, *, input: StepState, forget: StepState, candidate: StepState
) -> StepState:
    """The cell state after a step [B, H]: f ∘ c_{t-1} + i ∘ g."""
    return forget * cell + input * candidate


def show_cell(
    cell: StepState, output: StepState, activation: Callable[[Array], Array] = jnp.tanh
) -> StepState:
    """The hidden state after a step [B, H]: o ∘ tanh(c_t)."""
    return output * activation(cell)


def lstm_cell(
    params: LSTMParams, state: LSTMState, inputs: StepInputs
) -> tuple[LSTMState, StepState]:
    """One step of the LSTM: c_t = f ∘ c_{t-1} + i ∘ g, h_t = o ∘ tanh(c_t).

    Args:
        params: weights of the direction.
        state: hidden and cell state [B, H] before the step.
        inputs: x_t [B, D].

    Returns:
        The state after the step, and the step's output [B, H], which is its hidden state.

    Source: the module's docstring, last two equations.
    """
    gates = lstm_gates(params, state, inputs)
    cell = update_cell(
        state.cell, input=gates.input, forget=gates.forget, candidate=gates.candidate
    )
    hidden = show_cell(cell, gates.output)
    return LSTMState(hidden=hidden, cell=cell), hidden
