"""Writes the records' figures into README.md and pages: `python -m benchmarks.report`.

Each table stands between `<!-- name -->` and `<!-- end -->`; a test compares it with the records.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.devices import MACHINES, STEPS, WAYS, on_paper
from benchmarks.harness import RESULTS
from experiments import sequences_tables

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ROOT / "experiments" / "results"
EXPLANATION = ROOT / "docs" / "explanation"
NAMES = ("speed", "scaling", "tpu-kernel", "sequences", "explanations")
PAGES = (ROOT / "README.md", *(EXPLANATION / f"{name}.md" for name in NAMES))
PLACE = re.compile(r"<!-- (\w+) -->\n.*?<!-- end -->", re.S)


def main() -> None:
    """Renews every table."""
    for page in PAGES:
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")


def renewed(text: str) -> str:
    """A page with its tables as the records have them."""

    def table(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- {name} -->\n{TABLES[name]()}\n<!-- end -->"

    return PLACE.sub(table, text)


def markdown(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    rows = [list(header), *map(list, lines)]
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def record(name: str, results: Path = RESULTS) -> dict[str, Any]:
    """What a benchmark wrote, or an experiment."""
    return json.loads((results / f"{name}.json").read_text(encoding="utf-8"))


def provenance() -> str:
    """Which record came from where, a line for each."""
    lines = []
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        machine = f"{found['machine']['cores']} cores of {found['machine']['processor']}"
        lines.append([f"`{path.name}`", f"`{found['command']}`", found["time"], machine, versions])
    return markdown(("record", "command", "UTC", "machine", "versions"), lines)


def recurrence(what: str) -> str:
    """Milliseconds of ours, and how many times as long the others take."""
    cases = record("recurrence")["cases"]
    names = list(dict.fromkeys(name for case in cases.values() for name in case[what]))
    names = [n for n in names if n != "lstm_jax" and not n.startswith("matrix product")]
    lines = []
    for case, by_what in cases.items():
        found = by_what[what]
        ours = found["lstm_jax"]
        others = (f"{found[n]['times_ours']:.2f}" if n in found else "" for n in names)
        milliseconds = f"{1e3 * ours['median_seconds']:.2f}"
        lines.append([case, milliseconds, f"{ours['share_of_peak']:.0%}", *others])
    return markdown(("", "ours, ms", "of peak", *names), lines)


def memory() -> str:
    """What a forward and backward pass adds to each process, and what compiling takes."""
    found = record("recurrence")["cases"]["article, B = 128"]["forward + backward"]
    lines = [
        [name, f"{of['memory_bytes'] / 2**20:.0f}", f"{of['first_seconds']:.1f}"]
        for name, of in found.items()
        if not name.startswith("matrix product")
    ]
    return markdown(("article, B = 128, forward + backward", "MiB", "first call, s"), lines)


def summary() -> str:
    """The README's few lines."""
    cases, epochs = record("recurrence")["cases"], record("training")["epochs"]
    prediction = record("prediction")
    peers = ("PyTorch", "PyTorch, memory kept", "Keras, TensorFlow", "Keras, JAX", "Flax")
    lines = []

    def add(what: str, ours: str, ratios: dict[str, float]) -> None:
        lines.append([what, ours, *(f"{ratios[p]:.1f}" if p in ratios else "" for p in peers)])

    for case, batch in (("article, B = 32", 32), ("article, B = 128", 128)):
        found = cases[case]["forward + backward"]
        add(
            f"forward + backward, {batch} x 500 steps, D = 32, H = 100",
            f"{1e3 * found['lstm_jax']['median_seconds']:.0f} ms",
            {name: found[name]["times_ours"] for name in peers},
        )
    (found,) = (of for name, of in epochs.items() if name == "batches of 64")
    for ours, name in (
        ("lstm_jax", "an epoch of the article's model, its padding"),
        ("lstm_jax, buckets", "the same with true lengths, in buckets"),
    ):
        seconds = found[ours]["epoch_seconds"]
        ratios = {p: found[p]["epoch_seconds"] / seconds for p in peers if p in found}
        add(name, f"{seconds:.0f} s", ratios)
    found = prediction["all texts"]
    seconds = found["lstm_jax"]["median_seconds"]
    ratios = {p: found[p]["median_seconds"] / seconds for p in peers if p in found}
    add("25,000 reviews, text to probability", f"{seconds:.1f} s", ratios)
    found = prediction["one text"]
    seconds = found["lstm_jax"]["median_seconds"]
    ratios = {p: found[p]["median_seconds"] / seconds for p in peers if p in found}
    add("one review, text to probability", f"{1e3 * seconds:.1f} ms", ratios)
    return markdown(("", "lstm_jax", *peers), lines)


def training() -> str:
    """Reviews a second and the epoch, beside ours."""
    lines = []
    for batches, found in record("training")["epochs"].items():
        for name, of in found.items():
            seconds = of["epoch_seconds"]
            ratios = (
                f"{seconds / found[ours]['epoch_seconds']:.2f}"
                for ours in ("lstm_jax", "lstm_jax, buckets")
            )
            rate = f"{of['reviews_per_second']:.0f}"
            lines.append([batches, name, rate, f"{seconds:.1f}", *ratios])
    return markdown(("", "", "reviews/s", "epoch, s", "times ours", "times buckets"), lines)


def step() -> str:
    """What of a step is the LSTM."""
    lines = [
        [
            name,
            *(f"{1e3 * of[f'{part}_seconds']:.1f}" for part in ("step", "data", "lstm")),
            f"{of['share']:.0%}",
        ]
        for name, of in record("step")["presets"].items()
    ]
    return markdown(("", "step, ms", "waiting for data, ms", "LSTM, ms", "share"), lines)


def prediction() -> str:
    """All texts and one."""
    found, lines = record("prediction"), []
    for what, unit, scale in (("all texts", "s", 1), ("one text", "ms", 1e3)):
        ours = found[what]["lstm_jax"]["median_seconds"]
        for name, of in found[what].items():
            times = (f"{of[f'{key}_seconds'] * scale:.2f} {unit}" for key in ("median", "p99"))
            lines.append([what, name, *times, f"{of['median_seconds'] / ours:.2f}"])
    return markdown(("", "", "median", "99 % within", "times ours"), lines)


def serving() -> str:
    """Requests a second and latencies; or that there is no record."""
    if not (RESULTS / "serving.json").exists():
        return "(No record yet: no idle machine was at hand.)"
    found = record("serving")
    hostile = "beside 8 hostile clients"
    loads = {f"{clients} clients": of for clients, of in found["clients"].items()}
    lines = [
        [
            what.replace("1 clients", "1 client"),
            f"{of['requests_per_second']:.0f}",
            *(f"{1e3 * of[f'{key}_seconds']:.1f} ms" for key in ("median", "p99")),
        ]
        for what, of in {**loads, f"8 clients {hostile}": found[hostile]}.items()
    ]
    stop = found["stopped under load"]
    table = markdown(("", "requests/s", "median", "99 % within"), lines)
    return (
        f"{table}\n\nTold to stop while 64 clients sent, the server ended after"
        f" {stop['seconds']:.1f} s: it had accepted {stop['answered_by_server']:,} requests, the"
        f" clients had {stop['answered_to_clients']:,} answers, and {stop['lost']} were lost."
    )


def formulations() -> str:
    """Milliseconds of each way of writing the scan."""
    found = record("formulations")["median_seconds"]
    ways = next(iter(found.values()))["forward"]
    lines = [
        [
            way,
            *(
                f"{1e3 * of['forward'][way]:.2f}, {1e3 * of['forward + backward'][way]:.2f}"
                for of in found.values()
            ),
        ]
        for way in ways
    ]
    return markdown(("forward, forward + backward, ms", *found), lines)


def scaling() -> str:
    """Milliseconds and MiB of the largest sizes."""
    lines = []
    for title, by_size in record("scaling")["growth"].items():
        size, found = list(by_size.items())[-1]
        for name, of in found.items():
            milliseconds = f"{1e3 * of['median_seconds']:.0f}"
            lines.append([title, size, name, milliseconds, f"{of['memory_bytes'] / 2**20:.0f}"])
    return markdown(("", "largest", "", "ms", "MiB"), lines)


def devices() -> str:
    """Milliseconds of a step, by one and two devices and processes; or that there is no record."""
    if not (RESULTS / "devices.json").exists():
        return "(No record yet: no idle machine was at hand.)"
    found = record("devices")["steps"]
    lines = [
        [way, *(f"{1e3 * of[way]['median_seconds']:.1f}" for of in found.values())] for way in WAYS
    ]
    return markdown(("ms a step", *(f"`{name}`" for name in found)), lines)


def gradients() -> str:
    """What the devices of larger machines tell each other in a step, on paper."""
    lines = []
    for name, (counted, seconds) in on_paper().items():
        tables = f"{counted.of_tables / counted.all:.0%}".replace("%", " %")
        milliseconds = (f"{1e3 * seconds[machine]:.2f}" for machine in MACHINES)
        megabytes = f"{counted.gradient_bytes / 1e6:.1f}"
        lines.append([f"`{name}`", f"{counted.all:,}", tables, megabytes, *milliseconds])
    heads = (f"{machine}, ms" for machine in MACHINES)
    return markdown(("", "parameters", "of tables", "MB a step", *heads), lines)


def efficiency() -> str:
    """The share of a step that is left for computing, on paper."""
    lines = []
    for name, (_, seconds) in on_paper().items():
        if name in STEPS:
            shares = [STEPS[name] / (STEPS[name] + seconds[machine]) for machine in MACHINES]
            milliseconds = f"{1e3 * STEPS[name]:.1f}"
            lines.append([f"`{name}`", milliseconds, *(f"{share:.0%}" for share in shares)])
    return markdown(("", "step, ms", *MACHINES), lines).replace("%", " %")


def tpu_kernels() -> str:
    """What a TPU is to run for 64 x 500 steps, forward + backward."""
    lines = []
    rows = record("tpu_kernels")["compiled"]
    for found in sorted(rows, key=lambda row: (row["chip"], row["hidden"])):
        xla, ours = (found[name]["forward_and_backward"] for name in ("xla", "tpu"))
        bundles = found["bundles_a_step"]
        lines.append(
            [
                found["chip"],
                str(found["hidden"]),
                f"{xla['operations']:,}",
                str(ours["operations"]),
                f"{bundles['forward']:.0f}, {bundles['backward']:.0f}" if bundles else "",
                f"{ours['vmem_mib']:.0f}",
            ]
        )
    header = ("TPU", "H", "operations, XLA", "calls, kernels", "bundles a step, there and back")
    return markdown((*header, "vector memory, MiB"), lines)


def other_sequences(kind: str) -> str:
    """What was classified or forecast beside texts."""
    found = record("sequences", EXPERIMENTS)
    table = sequences_tables.TABLES[kind]
    return markdown(table.header, table.rows(found[kind]))


def conservation() -> str:
    """The largest error of each method's sum, over all directions."""
    errors = record("conservation", EXPERIMENTS)["errors"]
    methods = list(errors[0]["methods"])
    cases = dict.fromkeys((each["dtype"], each["pooling"]) for each in errors)
    lines = []
    for case in cases:
        found = [each["methods"] for each in errors if (each["dtype"], each["pooling"]) == case]
        largest = (max(of[method]["largest"] for of in found) for method in methods)
        lines.append([*case, *(f"{each:.0e}" for each in largest)])
    return markdown(("numbers", "pooling", *(f"`{method}`" for method in methods)), lines)


def faithfulness() -> str:
    """Comprehensiveness and sufficiency of each method on each run, and processor time."""
    runs = record("faithfulness", EXPERIMENTS)["runs"]
    methods = list(dict.fromkeys(name for run in runs.values() for name in run["methods"]))
    lines = []
    for method in methods:
        line = ["random order" if method == "random" else f"`{method}`"]
        for run in runs.values():
            of = run["methods"].get(method)
            if of is None:
                line += ["", "", ""]
                continue
            time = of.get("processor_milliseconds_per_text")
            line += [f"{of['comprehensiveness']:.3f}", f"{of['sufficiency']:.3f}"]
            line.append("" if time is None else f"{time:.0f} ms")
        lines.append(line)
    header = ["method"]
    for name in runs:
        preset = name.removeprefix("imdb-").partition("-seed")[0]
        header += [f"`{preset}`: comprehensiveness", "sufficiency", "a text"]
    return markdown(header, lines)


TABLES: dict[str, Callable[[], str]] = {
    "provenance": provenance,
    "summary": summary,
    "forward": lambda: recurrence("forward"),
    "both": lambda: recurrence("forward + backward"),
    "memory": memory,
    "training": training,
    "step": step,
    "prediction": prediction,
    "serving": serving,
    "formulations": formulations,
    "scaling": scaling,
    "devices": devices,
    "gradients": gradients,
    "efficiency": efficiency,
    "tpu_kernels": tpu_kernels,
    "sequences": lambda: other_sequences("classification"),
    "forecasts": lambda: other_sequences("forecasts"),
    "conservation": conservation,
    "faithfulness": faithfulness,
}

if __name__ == "__main__":
    main()
