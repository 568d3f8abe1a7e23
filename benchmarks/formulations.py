"""How to write an LSTM so that XLA compiles it well: `python -m benchmarks.formulations`.

The same recurrence in several ways, forward, and forward + backward by differentiating the loop;
`kernels/xla.py`, which has the best of them forward and a backward pass of its own; and Flax's. All
are XLA programs, interleaved in one process.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import tyro
from jax import Array
from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES, Problem
from benchmarks.harness import write_record
from benchmarks.peers.flax import optimized_lstm_cell
from lstm_jax import LSTMParams, lstm
from lstm_jax.cli.program import run_command

Step = Callable[[LSTMParams, Array, Array], Array]  # params, x or its projection, h to z

HOISTED: dict[str, Step] = {
    "all inputs projected ahead": lambda p, x, h: x + h @ p.recurrent_kernel,
    "the same, kept apart from the activations": lambda p, x, h: jax.lax.optimization_barrier(
        x + h @ p.recurrent_kernel
    ),
}
IN_STEP: dict[str, Step] = {
    "two products in the step": lambda p, x, h: (
        x @ p.input_kernel + h @ p.recurrent_kernel + p.bias
    ),
    "one product, [x, h] [W; U]": lambda p, x, h: (
        jnp.concatenate([x, h], -1) @ jnp.concatenate([p.input_kernel, p.recurrent_kernel]) + p.bias
    ),
    "a product for each gate": lambda p, x, h: jnp.concatenate(
        [
            jnp.concatenate([x, h], -1) @ kernel + bias
            for kernel, bias in zip(
                jnp.split(jnp.concatenate([p.input_kernel, p.recurrent_kernel]), 4, axis=1),
                jnp.split(p.bias, 4),
                strict=True,
            )
        ],
        -1,
    ),
}


def recurrence(step: Step, hoisted: bool, params: LSTMParams, inputs: Array) -> Array:
    """Outputs [B, T, H] of a plain scan."""
    sequence = jnp.swapaxes(inputs, 0, 1)
    if hoisted:
        sequence = sequence @ params.input_kernel + params.bias

    def advance(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Array]:
        h, c = state
        i, f, g, o = jnp.split(step(params, x, h), 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((inputs.shape[0], params.hidden_size))
    return jnp.swapaxes(jax.lax.scan(advance, (zeros, zeros), sequence)[1], 0, 1)


WAYS: dict[str, Callable[[LSTMParams, Array], Any]] = {
    **{name: partial(recurrence, step, True) for name, step in HOISTED.items()},
    **{name: partial(recurrence, step, False) for name, step in IN_STEP.items()},
    "kernels/xla.py": lambda params, inputs: lstm(params, inputs, implementation="xla")[0],
    "flax.linen.RNN(OptimizedLSTMCell)": lambda params, inputs: nn.RNN(
        nn.OptimizedLSTMCell(params.hidden_size)
    ).apply({"params": {"cell": optimized_lstm_cell(*params)}}, inputs),
}


@dataclass(frozen=True)
class Benchmark:
    """What to time, and how often."""

    cases: tuple[str, ...] = tuple(name for name, case in CASES.items() if not case.ragged)
    """Which sizes of `benchmarks.cases`; of two directions, the one that reads forward."""
    rounds: int = 9
    """How often each is timed."""


def main() -> None:
    """Times every way at every size, prints a table and writes the record."""
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.formulations"), Console()
    results: dict[str, Any] = {}
    for case in benchmark.cases:
        problem = Problem.of(CASES[case])
        params = LSTMParams(*map(jnp.asarray, problem.weights()[0]))
        cotangent = problem.cotangent[..., : CASES[case].hidden]
        arrays = jnp.asarray(problem.inputs), jnp.asarray(cotangent)
        table = Table("", "forward, ms", "forward + backward, ms", title=case)
        forward = {name: jax.jit(lambda p, x, _, f=way: f(p, x)) for name, way in WAYS.items()}
        both = {
            name: jax.jit(jax.grad(lambda p, x, ct, f=way: jnp.vdot(f(p, x), ct), (0, 1)))
            for name, way in WAYS.items()
        }
        times = [interleaved(ways, params, *arrays, benchmark.rounds) for ways in (forward, both)]
        for name in WAYS:
            table.add_row(name, *(f"{1e3 * of_way[name]:.2f}" for of_way in times))
        console.print(table)
        results[case] = dict(zip(("forward", "forward + backward"), times, strict=True))
    write_record("formulations", {"median_seconds": results}, console)


def interleaved(
    ways: dict[str, Any], params: LSTMParams, inputs: Array, cotangent: Array, rounds: int
) -> dict[str, float]:
    """The median seconds of each way; every round times each of them twice."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            jax.block_until_ready(way(params, inputs, cotangent))
            for _ in range(2):
                start = time.perf_counter()
                jax.block_until_ready(way(params, inputs, cotangent))
                if number > 0:
                    taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


if __name__ == "__main__":
    run_command(main)
