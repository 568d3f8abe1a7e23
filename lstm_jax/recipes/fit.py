"""Training from Python: texts and labels in, a finished run out."""

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from lstm_jax.console import say
from lstm_jax.data import Corpus, Examples, as_examples
from lstm_jax.machine import refuse_after_fork
from lstm_jax.predictor import Predictor, load
from lstm_jax.recipes.defaults import choose_settings
from lstm_jax.recipes.supervised import supervised
from lstm_jax.recipes.temporary import temporary_run
from lstm_jax.train.config import Config
from lstm_jax.train.open_run import Request
from lstm_jax.train.run_folder import RunFolder

Settings = Mapping[str, Any]


def fit(
    texts: Any,
    labels: Any = None,
    path: str | Path | None = None,
    *,
    test: Any = None,
    settings: Settings | None = None,
    seed: int = 0,
    quiet: bool = True,
) -> Predictor:
    """Trains a text classifier, as `lstm-jax train` does.

    Args:
        texts, labels: N of each, in lists, arrays or columns, of at least two classes; or only
            `texts`, a Bunch of scikit-learn. See `lstm_jax.data.as_examples`.
        path: the folder to make for the run; by default a temporary one, which is deleted when
            nothing refers to what this returns any more.
        test: texts and labels that the finished classifier is measured on once: a pair of them, or
            a Bunch. `result.json` in the folder of the run has what was measured.
        settings: values of settings by their names, such as `{"train.epochs": 3}`; the others are
            chosen from the data. docs/reference/command-line.md lists them, as options.
        seed: decides initial weights, dropout, the validation part and the order of batches.
        quiet: print nothing; else what `lstm-jax train` prints. Warnings are in `result.json`.

    Returns:
        The finished run, ready to predict; its folder is its `path`.

    Raises:
        ValueError: in one line, if an argument is not as described.
        RuntimeError: in a process that was forked from one that had used lstm_jax.
    """
    examples, class_names = as_examples(texts, labels)
    tested = None if test is None else _test_examples(test, class_names)
    corpus = Corpus("python", examples, tested, class_names)
    return fit_corpus(corpus, path, settings=settings or {}, seed=seed, quiet=quiet)


def fit_corpus(
    corpus: Corpus, path: str | Path | None, *, settings: Settings, seed: int, quiet: bool
) -> Predictor:
    """As `fit`, of examples that were read already.

    Args:
        corpus: what to train and measure on.
        path, settings, seed, quiet: as for `fit`.
    """
    refuse_after_fork()
    given, console = _config(settings, seed), Console(quiet=quiet)
    if path is not None and RunFolder(Path(path)).config.exists():
        raise ValueError(
            f"path must be a folder without a run, got {path}; lstm_jax.load opens the run in it"
        )
    chosen = choose_settings(corpus, given, settings)
    for reason in chosen.reasons:
        say(console, reason)

    def train(folder: Path) -> None:
        supervised(chosen.config, corpus, Request(folder, "lstm_jax.fit", console=console))

    if path is None:
        return temporary_run(train)
    train(Path(path))
    return load(path)


def _test_examples(test: Any, class_names: tuple[str, ...]) -> Examples:
    """What a classifier is measured on."""
    is_pair = isinstance(test, tuple) and len(test) == 2
    if not (is_pair or isinstance(test, Mapping)):
        raise ValueError(f"test must be a pair (texts, labels) or a Bunch, got {_kind(test)}")
    texts, labels = test if is_pair else (test, None)
    try:
        examples, _ = as_examples(texts, labels, class_names)
    except ValueError as error:
        raise ValueError(f"test {error}") from None
    return examples


def _kind(value: Any) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__


def _config(settings: Settings, seed: int) -> Config:
    """The configuration with those settings, and defaults for the others."""
    if not isinstance(settings, Mapping):
        raise ValueError(f"settings must be a dictionary, got {type(settings).__name__}")
    default = Config(seed=_plain(seed))
    known = _names(default)
    parts: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        if name not in known:
            raise ValueError(
                f"settings must have names such as 'train.epochs', got {name!r}{_hint(name)}"
            )
        part, _, field = name.rpartition(".")
        parts.setdefault(part, {})[field] = _plain(value)
    whole: dict[str, Any] = parts.pop("", {})
    for part, fields in parts.items():
        try:
            whole[part] = dataclasses.replace(getattr(default, part), **fields)
        except ValueError as error:
            raise ValueError(f"{part}.{error}") from None
    return dataclasses.replace(default, **whole)


def _names(config: Config) -> list[str]:
    """The names of all settings; the seed is no setting here, but an argument."""
    names = []
    for field in dataclasses.fields(config):
        part = getattr(config, field.name)
        if dataclasses.is_dataclass(part):
            names += [f"{field.name}.{each.name}" for each in dataclasses.fields(part)]
        elif field.name != "seed":
            names.append(field.name)
    return names


def _hint(name: object) -> str:
    """What may have been meant: the nearest spelling, or a setting whose last part this is."""
    if name == "seed":
        return "; seed is an argument of its own"
    known, given = _names(Config()), str(name)
    ends = [each for each in known if each.rpartition(".")[2] == given]
    near = ends or difflib.get_close_matches(given, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _plain(value: Any) -> Any:
    """A number of NumPy as Python has it, as grids of settings are often made by NumPy."""
    return value.item() if isinstance(value, np.generic) else value
