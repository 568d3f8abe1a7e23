"""Everything that is to be measured on the day a GPU is at hand: `python -m benchmarks.gpu`.

The tests of the LSTM's contract, also under compute-sanitizer; the layer forward, and forward +
backward, at several sizes: XLA's loop of this library in float32, with TF32 products and with
bfloat16 ones, its fused kernel, plain `lax.scan`, cuDNN through `jax.experimental.rnn`, and
PyTorch's layer; and an epoch of `article` and `bilstm`. All in one JSON record
with the GPU's name. What cannot run here is in the record with its reason; on a CPU, `--rehearse`
runs all of it at tiny sizes, and writes nothing.
"""

from lstm_jax.stops import watch

if __name__ == "__main__":
    watch()  # before the imports below, which take seconds

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from jax import Array
from rich.console import Console

from benchmarks.cases import Case, Problem
from benchmarks.formulations import interleaved
from benchmarks.harness import write_record
from lstm_jax import Bidirectional, LSTMParams, bidirectional_lstm, lstm
from lstm_jax.cli.program import run_command
from lstm_jax.console import Sheet, say
from lstm_jax.train.processes import first_line

ROOT = Path(__file__).parents[1]
CASES = {
    **{f"article, B = {batch}": Case(batch, 500, 32, 100) for batch in (32, 64, 128, 256)},
    **{f"H = {hidden}": Case(64, 256, hidden, hidden) for hidden in (128, 256, 512)},
    "two directions, H = 128": Case(64, 500, 128, 128, bidirectional=True),
    "two directions, ragged": Case(64, 500, 128, 128, bidirectional=True, ragged=True),
}
CONTRACT = ("tests/test_lstm.py", "tests/test_precision.py", "tests/test_lengths.py")
# What compute-sanitizer looks for, a run of the fused kernel's tests each.
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
KINDS = ("forward", "forward_and_backward")
EPOCHS = {"article": 4, "bilstm": 2}  # the first compiles

# Parameters of each direction, inputs and lengths to outputs.
Way = Callable[[list[LSTMParams], Array, Array | None], Array]


@dataclass(frozen=True)
class Benchmark:
    """How much of it."""

    rounds: int = 9
    """How often each way has its turn."""
    data: str = "auto"
    """What the presets are trained on, as for `python -m experiments.imdb`."""
    rehearse: bool = False
    """Run everything at tiny sizes, and write nothing."""


def ours(implementation: str, precision: str | None = None) -> Way:
    """This library's layer."""

    def run(params: list[LSTMParams], inputs: Array, lengths: Array | None) -> Array:
        options: Any = {"lengths": lengths, "precision": precision}
        options["implementation"] = implementation
        if len(params) == 1:
            return lstm(params[0], inputs, **options)[0]
        outputs, _ = bidirectional_lstm(Bidirectional(*params), inputs, **options)
        return jnp.concatenate(outputs, -1)

    return run


def with_tf32(way: Way) -> Way:
    """The same with TF32 products, which a GPU of NVIDIA has."""

    def run(*arguments: Any) -> Array:
        with jax.default_matmul_precision("tensorfloat32"):
            return way(*arguments)

    return run


def cudnn(params: list[LSTMParams], inputs: Array, lengths: Array | None) -> Array:
    """cuDNN's layer with weights of its own: its time does not depend on them."""
    from jax.experimental import rnn

    hidden, two = params[0].hidden_size, len(params) == 2
    features = inputs.shape[-1]
    count = rnn.get_num_params_in_lstm(features, hidden, 1, two)
    used = jnp.concatenate([array.ravel() for each in params for array in each])
    weights = jnp.resize(used, (count,))
    state = jnp.zeros((len(params), len(inputs), hidden))
    if lengths is None:
        lengths = jnp.full(len(inputs), inputs.shape[1], jnp.int32)
    run: Any = rnn.lstm
    return run(inputs, state, state, weights, lengths, features, hidden, 1, 0.0, two)[0]


WAYS: dict[str, Way] = {
    "lstm_jax, float32": ours("xla"),
    "lstm_jax, TF32": with_tf32(ours("xla")),
    "lstm_jax, bfloat16": ours("xla", "bfloat16"),
    "lstm_jax, fused kernel": ours("gpu"),
    "lstm_jax, fused kernel, bfloat16": ours("gpu", "bfloat16"),
    "lax.scan": ours("scan"),
    "cuDNN (jax.experimental.rnn)": cudnn,
}


def main() -> None:
    """Runs all of it, says what came out and writes the record."""
    benchmark, console = tyro.cli(Benchmark, prog="benchmarks.gpu"), Console(width=110)
    device = jax.devices()[0]
    if device.platform == "cpu" and not benchmark.rehearse:
        raise ValueError("a GPU is needed, got a CPU; --rehearse runs everything at tiny sizes")
    cases = dict(CASES)
    if benchmark.rehearse:
        benchmark = replace(benchmark, rounds=1)
        cases = {
            name: replace(case, batch=4, time=6, features=5, hidden=8)
            for name, case in CASES.items()
        }
    found: dict[str, Any] = {"gpu": device.device_kind}
    say(console, f"on {device.device_kind}")
    found["contract"] = contract(rehearse=benchmark.rehearse)
    say(console, f"contract: {found['contract']}")
    found["sanitizers"] = {tool: sanitized(tool) for tool in SANITIZERS}
    say(console, json.dumps(found["sanitizers"]))
    found["layer"] = {}
    for name, case in cases.items():
        found["layer"][name] = {"case": asdict(case), **timed(case, benchmark)}
        console.print(table(name, case, found["layer"][name]))
        found["layer"][name]["PyTorch"] = pytorch(case, benchmark)
        say(console, f"PyTorch: {found['layer'][name]['PyTorch']}")
    found["presets"] = {name: epochs(name, benchmark) for name in EPOCHS}
    say(console, json.dumps(found["presets"]))
    if not benchmark.rehearse:
        write_record("gpu", found, console)


def contract(*, rehearse: bool) -> str:
    """The last line of the tests of the contract, run on this device."""
    return last_line(pytest_of(CONTRACT[1:2] if rehearse else CONTRACT))


def sanitized(tool: str) -> str:
    """The last line of the fused kernel's tests under a tool of NVIDIA's compute-sanitizer."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return "unavailable: no compute-sanitizer"
    options = ("--tool", tool, "--error-exitcode", "9", "--target-processes", "all")
    return last_line([program, *options, *pytest_of(CONTRACT[:1]), "-k", "gpu"])


def pytest_of(tests: Sequence[str]) -> list[str]:
    """A command that runs tests."""
    return [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]


def last_line(command: list[str]) -> str:
    """What a command says last, or its status where it says nothing."""
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    return next(reversed(done.stdout.strip().splitlines()), f"status {done.returncode}")


def timed(case: Case, benchmark: Benchmark) -> dict[str, Any]:
    """Median seconds of each way, interleaved; or why it cannot run."""
    problem = Problem.of(case)
    params: Any = [LSTMParams(*map(jnp.asarray, each)) for each in problem.weights()]
    lengths = None if problem.lengths is None else jnp.asarray(problem.lengths)
    arrays = params, jnp.asarray(problem.inputs), jnp.asarray(problem.cotangent)
    results: dict[str, Any] = {name: {} for name in WAYS}
    for kind in KINDS:
        ready: dict[str, Any] = {}
        for name, way in WAYS.items():
            run = jax.jit(_program(way, lengths, gradients=kind != "forward"))
            began = time.perf_counter()
            try:
                jax.block_until_ready(run(*arrays))
            except Exception as error:  # cuDNN where there is none, say
                results[name]["unavailable"] = first_line(error)
                continue
            results[name][kind] = {"first_seconds": time.perf_counter() - began}
            ready[name] = run
        for name, seconds in interleaved(ready, *arrays, benchmark.rounds).items():
            results[name][kind]["median_seconds"] = seconds
    return results


def pytorch(case: Case, benchmark: Benchmark) -> dict[str, Any]:
    """Median seconds of `torch.nn.LSTM` on the GPU, with weights of its own; or why it cannot run.

    In turns of its own, behind the others: it has a memory and a stream that they do not share.
    """
    try:
        import torch
    except ImportError as error:
        return {"unavailable": first_line(error)}
    if not torch.cuda.is_available():
        return {"unavailable": "PyTorch sees no GPU"}
    options: Any = {"batch_first": True, "bidirectional": case.bidirectional, "device": "cuda"}
    module: Any = torch.nn.LSTM(case.features, case.hidden, **options)
    problem = Problem.of(case)
    inputs: Any = torch.tensor(problem.inputs, device="cuda", requires_grad=True)
    if problem.lengths is not None:
        pack: Any = torch.nn.utils.rnn.pack_padded_sequence
        lengths = torch.tensor(problem.lengths)
        inputs = pack(inputs.detach(), lengths, batch_first=True, enforce_sorted=False)

    def outputs() -> Any:
        found = module(inputs)[0]
        return found if problem.lengths is None else found.data

    found: dict[str, Any] = {}
    for kind in KINDS:
        seconds = []
        for _ in range(benchmark.rounds + 2):  # the first two choose algorithms
            torch.cuda.synchronize()
            began = time.perf_counter()
            result = outputs()
            if kind != "forward":
                result.sum().backward()
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        found[kind] = {"median_seconds": statistics.median(seconds[2:])}
    return found


def _program(way: Way, lengths: Array | None, *, gradients: bool) -> Callable[..., Any]:
    """A way as a function of parameters, inputs and the gradient at its outputs."""
    if not gradients:
        return lambda params, inputs, _: way(params, inputs, lengths)
    return jax.grad(lambda p, x, cotangent: jnp.vdot(way(p, x, lengths), cotangent), (0, 1))


def epochs(preset: str, benchmark: Benchmark) -> dict[str, Any]:
    """Texts a second in each epoch of a preset."""
    number = EPOCHS[preset]
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "experiments.imdb", preset, "--runs", runs]
        command += ["--train.epochs", str(number), "--data", benchmark.data]
        if benchmark.rehearse:
            command[-1] = "builtin"
            command += ["--train.epochs", "1", "--model.hidden-size", "8"]
            command += ["--text.max-length", "16", "--train.batch-size", "512"]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
        )
        files = list(Path(runs).glob("*/metrics.jsonl"))
        if done.returncode or not files:
            return {"unavailable": done.stderr.strip().splitlines()[-1:]}
        lines = [json.loads(line) for line in files[0].read_text(encoding="utf-8").splitlines()]
    per_epoch = [line["examples_per_second"] for line in lines if "examples_per_second" in line]
    return {"data": benchmark.data, "texts_per_second": per_epoch}


def table(name: str, case: Case, found: dict[str, Any]) -> Sheet:
    """Microseconds a time step of each way."""
    rows = []
    for way in WAYS:
        about = found[way]
        cells = [
            f"{1e6 * about[kind]['median_seconds'] / case.time:.2f}"
            if "median_seconds" in about.get(kind, {})
            else "-"
            for kind in KINDS
        ]
        rows.append((way, *cells))
    return Sheet(("way", "forward", "forward +\nbackward"), rows, f"{name}: µs a time step")


if __name__ == "__main__":
    run_command(main)
