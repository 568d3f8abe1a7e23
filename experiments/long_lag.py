"""The tasks that the LSTM was made for, by fewer training sequences than its paper needed.

    python -m experiments.long_lag adding-100      one task, a network for each seed
    python -m experiments.long_lag all --record experiments/results/long_lag.json

Experiments 1, 4, 5 and 6 of Hochreiter & Schmidhuber (1997), "Long Short-Term Memory": their
sequences (`experiments.long_lag_tasks`), each until the paper's own criterion of success is met. A
training sequence counts as often as it is presented. docs/explanation/long-lags.md has what came of
it, and what is done differently.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray
from rich.console import Console
from tyro.conf import Positional, arg

from experiments.long_lag_tasks import TASKS, Goal, Sequences, Task, prepare
from lstm_jax import LSTMParams, init_lstm, lstm
from lstm_jax.cell import GATES
from lstm_jax.checked import Positive, Seed, Size, checked
from lstm_jax.cli.parsing import call
from lstm_jax.cli.program import command_line, run_command
from lstm_jax.console import Sheet, say
from lstm_jax.files import write_json
from lstm_jax.machine import provenance

WINDOW = 2_000  # the most recent training sequences, which the criteria look at


@checked
class Settings:
    """How it is learnt, the same for every task; chosen on seeds from 100 on."""

    hidden_size: Size = 64
    batch_size: Size = 4
    learning_rate: Positive = 0.02
    """Adam's at the first step."""
    halved_after: Size = 1_000
    """The steps after which it is half that, a third after twice as many, and so on."""
    clip_norm: Positive = 0.1
    """The most that a gradient's norm may be."""
    forget_bias: float | None = None
    """What forget gates start with. None: gates start out for memories as long as the task's."""


class Network(NamedTuple):
    """An LSTM and a linear layer over its outputs."""

    lstm: LSTMParams
    kernel: Array
    bias: Array


class Verdict(NamedTuple):
    """Of each of N sequences whether it is wrong, and its absolute and squared error."""

    wrong: Array
    error: Array
    squared: Array


def init_network(
    key: Array, settings: Settings, features: int, outputs: int, remember: int
) -> Network:
    """The weights that training starts from.

    Unless `settings.forget_bias` is given, the gates' biases are b_f = log U(1, R - 1) and
    b_i = -b_f for memories of up to R = `remember` steps: a cell forgets within about exp(b_f)
    steps, so that between them the cells have all time scales up to that.

    Source: Tallec & Ollivier (2018), "Can recurrent neural networks warp time?", equation 16.
    """
    lstm_key, bias_key, head_key = jax.random.split(key, 3)
    size = settings.hidden_size
    if settings.forget_bias is not None:
        params = init_lstm(lstm_key, features, size, forget_bias=settings.forget_bias)
    else:
        params = init_lstm(lstm_key, features, size)
        forget = jnp.log(jax.random.uniform(bias_key, (size,), minval=1, maxval=remember - 1))
        gates = dict(zip(GATES, params.bias.reshape(len(GATES), size), strict=True))
        gates |= {"input": -forget, "forget": forget}
        params = params._replace(bias=jnp.concatenate([gates[name] for name in GATES]))
    kernel = jax.nn.initializers.glorot_uniform()(head_key, (size, outputs))
    return Network(params, kernel, jnp.zeros(outputs))


def respond(network: Network, sequences: Sequences) -> Array:
    """What the linear layer gives, [N, O] at the end or [N, T, O], as the targets are."""
    inputs, lengths = jnp.asarray(sequences.inputs), jnp.asarray(sequences.lengths)
    outputs, final = lstm(network.lstm, inputs, lengths=lengths)
    read = outputs if sequences.targets.ndim == 3 else final.hidden
    return read @ network.kernel + network.bias


def measure(task: Task, responses: Array, sequences: Sequences) -> Verdict:
    """Which responses are wrong.

    At the end of a sequence: those with an output off by the tolerance or more. In the Reber
    grammar: those with a step at which a symbol that may come is not above all that may not. NaN
    is wrong.
    """
    if sequences.legal is not None:
        worst = jnp.where(sequences.legal, responses, jnp.inf).min(-1)
        best = jnp.where(sequences.legal, -jnp.inf, responses).max(-1)
        within = jnp.any(sequences.legal, -1)
        wrong = jnp.any(within & ~(worst > best), axis=-1)
        return Verdict(wrong, *2 * [jnp.full(len(wrong), jnp.nan)])
    outputs = jax.nn.softmax(responses) if task.softmax else responses
    errors = jnp.abs(outputs - sequences.targets)
    wrong = ~jnp.all(errors < task.tolerance, axis=-1)
    return Verdict(wrong, errors.sum(-1), jnp.square(errors).mean(-1))


def make_optimizer(settings: Settings) -> optax.GradientTransformation:
    """Adam behind clipping, its rate falling as 1 / (1 + step / `halved_after`)."""

    def rate(step: ArrayLike) -> Array:
        return settings.learning_rate / (1 + jnp.asarray(step) / settings.halved_after)

    return optax.chain(optax.clip_by_global_norm(settings.clip_norm), optax.adam(rate))


@partial(jax.jit, static_argnames=("task", "settings"), donate_argnames="state")
def train_step(
    task: Task, settings: Settings, state: tuple[Network, optax.OptState], sequences: Sequences
) -> tuple[tuple[Network, optax.OptState], Verdict]:
    """One step of training, and the verdict on its sequences before it."""

    def loss(network: Network) -> tuple[Array, Array]:
        responses = respond(network, sequences)
        if task.softmax:  # zero where there is no target
            losses = optax.softmax_cross_entropy(responses, sequences.targets)
        else:
            losses = jnp.square(responses - sequences.targets)
        return losses.sum() / len(losses), responses

    network, optimizer_state = state
    gradients, responses = jax.grad(loss, has_aux=True)(network)
    updates, optimizer_state = make_optimizer(settings).update(gradients, optimizer_state)
    network = jax.tree.map(jnp.add, network, updates)
    return (network, optimizer_state), measure(task, responses, sequences)


@partial(jax.jit, static_argnames="task")
def examine(task: Task, network: Network, sequences: Sequences) -> Verdict:
    """The verdict on sequences that are not trained on."""
    return measure(task, respond(network, sequences), sequences)


class Recent(NamedTuple):
    """The verdicts on the most recent training sequences."""

    wrong: NDArray[np.bool_] = np.zeros(0, bool)
    error: NDArray[np.float32] = np.zeros(0, np.float32)

    def and_then(self, verdict: Verdict) -> "Recent":
        """With those on a further batch, and without the oldest."""
        both = zip(self, (verdict.wrong, verdict.error), strict=True)
        return Recent(*(np.concatenate([old, new])[-WINDOW:] for old, new in both))

    def reach(self, goal: Goal) -> bool:
        """Whether they meet the criterion."""
        enough = len(self.wrong) == WINDOW and self.wrong.sum() < goal.wrong_below
        return bool(enough and self.error.mean() < goal.error_below)


def learn(
    task: Task, settings: Settings, seed: int, say: Callable[[str], object]
) -> list[dict[str, Any]]:
    """Trains one network until it has reached the task's goals, or failed.

    Args:
        task: what to learn.
        settings: how.
        seed: decides sequences and initial weights.
        say: told now and then how it goes.

    Returns:
        For each goal: the training sequences presented until it was reached, None if it was not
        by as many as in the paper; the minutes until then; how many test sequences there were, how
        many of them were wrong, and their mean squared and absolute error.
    """
    start = spoken = time.perf_counter()
    material = prepare(task, settings.batch_size, seed)
    sizes = material.test.inputs.shape[-1], material.test.targets.shape[-1]
    network = init_network(jax.random.key(seed), settings, *sizes, task.remember)
    state = network, make_optimizer(settings).init(network)
    recent, presented, results = Recent(), 0, []

    def reached(goal: Goal) -> bool:
        if material.known is None:
            return recent.reach(goal)
        return not np.any(examine(task, state[0], material.known).wrong)

    for goal in task.goals:
        while not (there := reached(goal)) and presented < goal.sequences:
            state, verdict = train_step(task, settings, state, material.batch())
            recent, presented = recent.and_then(verdict), presented + settings.batch_size
            if time.perf_counter() > spoken + 10:
                spoken = time.perf_counter()
                say(f"{presented:,} sequences, wrong of the latest: {recent.wrong.mean():.1%}")
        tested = examine(task, state[0], material.test)
        results.append(
            {
                "sequences": presented if there else None,
                "minutes": round((time.perf_counter() - start) / 60, 2),
                "tested": len(tested.wrong),
                "wrong": int(np.sum(tested.wrong)),
                "squared_error": _rounded(np.mean(tested.squared)),
                "absolute_error": _rounded(np.mean(tested.error)),
            }
        )
    return results


def _rounded(number: Any) -> float | None:
    """To three significant figures; None for NaN."""
    return None if np.isnan(number) else float(f"{number:.3g}")


@checked
class Study:
    """What to run, and where the results go."""

    task: Annotated[Positional[str], arg(metavar="TASK")]
    """One of the tasks, or all."""
    settings: Annotated[Settings, arg(name="")] = Settings()
    """How it is learnt."""
    seeds: tuple[Seed, ...] = tuple(range(10))
    """A network for each of these."""
    record: Path | None = None
    """Write what came out, and how it was made, into this JSON file, after each network."""
    resume: bool = False
    """Keep what the record has already, and train the networks that it lacks."""


def main() -> None:
    """Trains what is asked for, and prints it beside the paper's figures."""
    call(run, sys.argv[1:], typed="python -m experiments.long_lag", description=__doc__)


def run(study: Annotated[Study, arg(name="")]) -> None:
    """Trains a network for each task and seed, but those that the record has already.

    Raises:
        ValueError: if there is no such task, or the record to go on with was made with other
            settings.
    """
    if study.task not in (*TASKS, "all"):
        raise ValueError(f"task must be one of {', '.join(TASKS)} or all, got {study.task!r}")
    about, console = provenance(command_line("experiments.long_lag")), Console()
    settings, found = asdict(study.settings), {}
    if study.resume and study.record and study.record.exists():
        before = json.loads(study.record.read_text(encoding="utf-8"))
        if before["settings"] != settings:
            raise ValueError(f"record {study.record} has other settings: {before['settings']}")
        found = before["tasks"]
    for name in TASKS if study.task == "all" else [study.task]:
        of_task = found.setdefault(name, {})
        for seed in study.seeds:
            if str(seed) in of_task:
                continue
            title = f"{name}, seed {seed}: "
            of_task[str(seed)] = results = learn(
                TASKS[name],
                study.settings,
                seed,
                lambda text, title=title: say(console, title + text),
            )
            for result in results:
                say(console, title + ", ".join(f"{key} {each}" for key, each in result.items()))
            if study.record:
                write_json(study.record, {"settings": settings, "tasks": found, **about})
    console.print(Sheet(HEADER, rows(found)))


HEADER = (
    *("task", "solved", "sequences", "sequences\nin the paper", "wrong", "of"),
    *("wrong in\nthe paper", "squared\nerror", "minutes"),
)


def rows(found: dict[str, Any]) -> list[list[str]]:
    """A record's tasks as a table with the columns of `HEADER`, a row for each goal.

    Means, and the largest; sequences of the networks that got there, all else of all.
    """
    table = []
    for name, of_task in found.items():
        for number, goal in enumerate(TASKS[name].goals):
            runs = [results[number] for results in of_task.values()]
            solved = [run for run in runs if run["sequences"] is not None]
            needed = [run["sequences"] for run in solved]
            wrong = [run["wrong"] for run in runs]
            errors = [run["squared_error"] for run in runs if run["squared_error"] is not None]
            criterion = f", below {goal.wrong_below}" if goal.wrong_below > 1 else ""
            table.append(
                [
                    f"{name}{criterion}",
                    f"{len(solved)} of {len(runs)}",
                    f"{statistics.mean(needed):,.0f}, most {max(needed):,}" if needed else "",
                    f"{goal.sequences:,}",
                    f"{statistics.mean(wrong):.1f}, most {max(wrong)}",
                    f"{runs[0]['tested']:,}",
                    "" if goal.wrong is None else f"{goal.wrong}",
                    f"{statistics.mean(errors):.1e}" if errors else "",
                    f"{statistics.mean(run['minutes'] for run in runs):.1f}",
                ]
            )
    return table


if __name__ == "__main__":
    run_command(main)
