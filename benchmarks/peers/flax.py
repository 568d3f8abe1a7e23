"""Flax Linen's OptimizedLSTMCell."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from benchmarks.cases import Case, Problem
from benchmarks.worker import Run


def recurrence(case: dict[str, Any], train: bool) -> Run:
    """`nn.RNN(OptimizedLSTMCell)`, and `nn.Bidirectional` of two."""
    size = Case(**case)
    problem = Problem.of(size)
    layers = [nn.RNN(nn.OptimizedLSTMCell(size.hidden)) for _ in range(size.directions)]
    layer: Any = nn.Bidirectional(layers[0], layers[1]) if size.bidirectional else layers[0]
    cells = [
        {"cell": optimized_lstm_cell(*map(jnp.asarray, weights))} for weights in problem.weights()
    ]
    params = cells[0]
    if size.bidirectional:
        params = {"forward_rnn": cells[0], "backward_rnn": cells[1]}
    inputs, cotangent = jnp.asarray(problem.inputs), jnp.asarray(problem.cotangent)
    lengths = None if problem.lengths is None else jnp.asarray(problem.lengths)

    def forward(params, inputs):
        return layer.apply({"params": params}, inputs, seq_lengths=lengths)

    def loss(params, inputs, cotangent):
        return jnp.vdot(forward(params, inputs), cotangent)

    if not train:
        compiled = jax.jit(forward)

        def predict():
            outputs = jax.block_until_ready(compiled(params, inputs))
            return {} if size.ragged else {"outputs": outputs}  # not zero in the padding

        return predict
    gradient = jax.jit(jax.grad(loss, (0, 1)))
    return lambda: {"d_inputs": jax.block_until_ready(gradient(params, inputs, cotangent))[1]}


def optimized_lstm_cell(input_kernel: Array, recurrent_kernel: Array, bias: Array) -> dict:
    """The parameters of a cell, which has a layer for each gate."""
    cell = {}
    for gate, w, u, b in zip(
        "ifgo",
        jnp.split(jnp.asarray(input_kernel), 4, axis=1),
        jnp.split(jnp.asarray(recurrent_kernel), 4, axis=1),
        jnp.split(jnp.asarray(bias), 4),
        strict=True,
    ):
        cell["i" + gate] = {"kernel": w}
        cell["h" + gate] = {"kernel": u, "bias": b}
    return cell
