"""The model card of a page: on what it was trained, how well it does, and with what."""

import datetime
import importlib.metadata
import shlex
from pathlib import Path
from typing import NamedTuple

from lstm_jax.predictor import Predictor
from lstm_jax.reports.escaped import escaped
from lstm_jax.reports.shares import counted, percent, percents, wilson_interval
from lstm_jax.train.result import Result
from lstm_jax.train.run_folder import RunFolder

ASKED = 4  # classes at most that the title names
LONGEST_TITLE = 60
COMMAND = "Command"
VERSIONS = ("python", "jax", "flax", "tokenizers")


class Card(NamedTuple):
    """What a page says of its model, as text.

    Attributes:
        title: of the page.
        lead: one sentence below it.
        facts: names and what is to be said of each.
    """

    title: str
    lead: str
    facts: tuple[tuple[str, str], ...]

    def html(self) -> str:
        """The facts as a list of HTML, escaped."""
        return "".join(
            f"<div><dt>{escaped(name)}</dt><dd>{_words(text) if name == COMMAND else escaped(text)}"
            "</dd></div>"
            for name, text in self.facts
        )


def _words(command: str) -> str:
    """A command as HTML that breaks between its words only, and not at the hyphens of options."""
    return " ".join(f"<span>{escaped(word)}</span>" for word in command.split())


def read_card(run: Predictor) -> Card:
    """The card of a run, from the files in its folder.

    Args:
        run: one that was loaded from a folder.

    Raises:
        ValueError: if a file of the run is missing, or not as the run left it.
    """
    folder = RunFolder(run.path)
    result, data = folder.load_result(), folder.load_data()
    name = Path(result.outcome.data).name or result.outcome.data
    train = data.examples.get("train", 0)
    part, accuracy = _accuracy(result)
    finished = datetime.datetime.fromtimestamp(folder.result.stat().st_mtime, datetime.UTC)
    lead = f"An LSTM trained on {train:,} texts of {name}."
    if accuracy:
        lead += f" {accuracy.split(' (')[0]} of {part} are classified right."
    facts = [
        ("Data", name),
        ("Examples", ", ".join(f"{count:,} {of}" for of, count in data.examples.items())),
        (f"Accuracy on {part}" if accuracy else "Accuracy", accuracy or "not measured"),
        ("Calibration error", _calibration(result)),
        ("Model", model_line(run)),
        ("Parameters", f"{result.parameters:,}"),
        ("Finished", f"{finished:%Y-%m-%d} (UTC)"),
        (COMMAND, _without_folders(result.command)),
        ("Versions", _versions(result)),
    ]
    return Card(title_of(run, name), lead, tuple(facts))


def title_of(run: Predictor, name: str) -> str:
    """The classes as a question, or the data's name where they are too many for one."""
    *others, last = run.class_names
    asked = f"{', '.join(others)} or {last}?"
    asked = asked[:1].upper() + asked[1:]
    return asked if len(run.class_names) <= ASKED and len(asked) <= LONGEST_TITLE else name


def model_line(run: Predictor) -> str:
    """The architecture in a line."""
    config, text = run.config.model, run.config.text
    layers = "one layer" if config.layers == 1 else f"{config.layers} layers"
    parts = [
        f"{config.direction} LSTM, {layers} of {config.hidden_size} units",
        f"{config.pooling.replace('_', ' and ')} pooling",
        f"{run.tokenizer.vocabulary_size:,} tokens ({text.tokenizer})",
    ]
    if run.model.ngrams is not None:
        parts.append(f"{sum(map(len, run.model.ngrams.keys)):,} n-grams")
    if config.linear:
        parts.append("a linear model beside it")
    return "; ".join(parts)


def _accuracy(result: Result) -> tuple[str, str]:
    """What it was measured on, and the accuracy with its interval; "" if nothing was measured."""
    for part, metrics in (("test", result.test), ("validation", result.validation)):
        accuracy, examples = metrics.get("accuracy"), metrics.get("examples")
        if accuracy is not None and examples:
            count = round(examples)
            interval = wilson_interval(round(accuracy * count), count)
            measured = f"{percent(accuracy)} (95% interval: {percents(interval)})"
            return counted(count, f"{part} texts"), measured
    return "", ""


def _calibration(result: Result) -> str:
    error = (result.test or result.validation).get("calibration_error")
    return "not measured" if error is None else f"{error:.3f}"


def _without_folders(command: str) -> str:
    """The command with the names of files and folders, but not where they are."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return shlex.join(Path(word).name if Path(word).is_absolute() else word for word in words)


def _versions(result: Result) -> str:
    versions = result.environment.get("versions", {})
    ours = f"lstm_jax {importlib.metadata.version('lstm_jax')} wrote this page"
    listed = [f"{name} {versions[name]}" for name in VERSIONS if name in versions]
    return "; ".join([", ".join(listed), ours] if listed else [ours])
