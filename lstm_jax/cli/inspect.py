"""`lstm-jax inspect`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import Positional, arg

from lstm_jax.cli.tables import metrics_table
from lstm_jax.console import say, say_facts

CLASSES = 12  # names of classes that are shown
PACKAGES = ("python", "jax", "flax")  # whose versions are shown


def inspect(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Say what a run is: its data, its settings, what came out, and its files.

    Example: lstm-jax inspect runs/mine

    Args:
        run: the folder of a run, finished or not.
        as_json: print a JSON object with everything.
    """
    description = describe(run)
    if as_json:
        print(json.dumps(description.as_dict(), ensure_ascii=False))
        return
    console = Console()
    say(console, description.title, "bold")
    say_facts(console, description.facts())
    parts = {"validation": description.validation, "test": description.test}
    if any("accuracy" in part for part in parts.values()):
        console.print(metrics_table(parts))


@dataclass(frozen=True)
class Description:
    """What is known of a run.

    Attributes:
        run: its folder.
        result: what result.json holds; nothing of a run that is not finished.
        data: the name of its data.
        examples: the size of each part of it.
        class_names: none of a run of `pretrain`.
        settings: those that are not the defaults, "part.field", with their values and the defaults.
        epochs: that were done.
        command: what was typed to start it.
        files: sizes in bytes, by name; of a folder, all that is in it.
    """

    run: Path
    result: Mapping[str, Any]
    data: str
    examples: Mapping[str, int]
    class_names: tuple[str, ...]
    settings: Mapping[str, tuple[Any, Any]]
    epochs: int
    command: str
    files: Mapping[str, int]

    @property
    def finished(self) -> bool:
        """Whether it has a result."""
        return bool(self.result)

    @property
    def validation(self) -> Mapping[str, float | None]:
        """Its metrics in validation, by name."""
        return self.result.get("validation", {})

    @property
    def test(self) -> Mapping[str, float | None]:
        """Its metrics on the test examples, by name."""
        return self.result.get("test", {})

    @property
    def title(self) -> str:
        """What it is, in a sentence."""
        what = "a pretrained model, for train --init"
        if self.class_names:
            what = f"a classifier of {len(self.class_names)} classes"
        return f"{self.run}: {what}, {'finished' if self.finished else 'not finished'}"

    def facts(self) -> list[tuple[str, str]]:
        """What is known, by a name, in lines; an empty text for what is not."""
        parts = ", ".join(f"{count:,} {part}" for part, count in self.examples.items())
        names = ", ".join(map(repr, self.class_names[:CLASSES]))
        if len(self.class_names) > CLASSES:
            names += f" and {len(self.class_names) - CLASSES} more"
        settings = [
            f"{name} {got} (default {usual})" for name, (got, usual) in self.settings.items()
        ]
        files = [f"{name} ({_size(size)})" for name, size in self.files.items()]
        return [
            ("data", f"{self.data}: {parts}"),
            ("classes", names),
            ("settings", "\n".join(settings) or "all are the defaults"),
            ("model", self._model()),
            ("training", self._training()),
            ("warnings", "\n".join(self.result.get("warnings", ()))),
            ("made by", self.command),
            ("made on", self._machine()),
            ("files", ", ".join(files)),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON; the fields of result.json as they are there."""
        settings = {name: {"value": v, "default": d} for name, (v, d) in self.settings.items()}
        result = {name: value for name, value in self.result.items() if name != "checksums"}
        return {
            **result,
            "run": str(self.run),
            "finished": self.finished,
            "data": self.data,
            "examples": self.examples,
            "class_names": self.class_names,
            "settings": settings,
            "epochs": self.epochs,
            "command": self.command,
            "files": self.files,
        }

    def _model(self) -> str:
        count = self.result.get("parameters")
        return "" if count is None else f"{count:,} parameters"

    def _training(self) -> str:
        if not self.finished:
            epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
            command = "train" if self.class_names else "pretrain"
            return f"{epochs} so far; lstm-jax {command} --resume {self.run} goes on"
        memory = self.result["memory_mib"]
        held = "" if memory is None else f", {memory:,} MiB of memory"
        steps = f"{self.result['steps']:,} steps in {self.result['minutes']:.1f} minutes{held}"
        best = self.result["best_step"]
        return steps if best is None else f"{steps}; the weights are those of step {best:,}"

    def _machine(self) -> str:
        environment = self.result.get("environment")
        if not environment:
            return ""
        versions, machine = environment["versions"], environment["machine"]
        named = [f"{name} {versions[name]}" for name in PACKAGES if name in versions]
        return ", ".join([str(machine["processor"]), *map(str, machine["devices"]), *named])


def describe(run: Path) -> Description:
    """Reads what is known of a run.

    Args:
        run: its folder.

    Raises:
        ValueError: if there is no run in the folder, or a file is not as the run left it.
    """
    from lstm_jax.train.config import Config
    from lstm_jax.train.report import read_metrics
    from lstm_jax.train.run_folder import RunFolder

    folder = RunFolder(run)
    if not folder.config.exists():
        raise ValueError(f"run must be a folder with a run in it; {run} has none")
    config = Config.load(folder.config)
    data = folder.load_data()
    records = read_metrics(folder.metrics)
    return Description(
        run,
        folder.load_result().to_json() if folder.result.exists() else {},
        data.name,
        data.examples,
        data.class_names,
        _changes(asdict(config), asdict(Config(name=config.name))),
        sum("epoch" in record for record in records),
        data.command,
        _sizes(run),
    )


def _changes(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields that have another value than the default: "part.field", value and default."""
    found = {}
    for name, value in config.items():
        if isinstance(value, dict):
            below = _changes(value, defaults[name])
            found |= {f"{name}.{field}": each for field, each in below.items()}
        elif value != defaults[name]:
            found[name] = value, defaults[name]
    return found


def _sizes(folder: Path) -> dict[str, int]:
    """The bytes of each file in a folder, and of each folder in it with all that is there."""
    sizes = {}
    for path in sorted(folder.iterdir()):
        inside = path.rglob("*") if path.is_dir() else [path]
        name = f"{path.name}/" if path.is_dir() else path.name
        sizes[name] = sum(each.stat().st_size for each in inside if each.is_file())
    return sizes


def _size(size: int) -> str:
    """Bytes as people read them: "12 kB", "3.4 MB"."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1e3:.0f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"
