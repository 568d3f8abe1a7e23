"""The files of one run, by name."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_jax.text import Phrases, WordTokenizer
from lstm_jax.train.config import Config, TextConfig


class RunFolder(NamedTuple):
    """A folder that holds all there is to know about one training run; see docs/files.md."""

    path: Path

    @property
    def config(self) -> Path:
        """The configuration, JSON."""
        return self.path / "config.json"

    @property
    def data(self) -> Path:
        """What the data was: its name, class names and sizes, JSON."""
        return self.path / "data.json"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, JSON of the `tokenizers` library."""
        return self.path / "tokenizer.json"

    @property
    def phrases(self) -> Path:
        """The phrases with vectors of their own, JSON; none if the run has no such."""
        return self.path / "phrases.json"

    @property
    def checkpoints(self) -> Path:
        """The newest states of training, Orbax."""
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        """The parameters that the run ended with, Orbax."""
        return self.path / "weights"

    @property
    def calibration(self) -> Path:
        """What logits are divided by, JSON; none if there were no validation examples."""
        return self.path / "calibration.json"

    @property
    def metrics(self) -> Path:
        """How training went, a JSON record a line."""
        return self.path / "metrics.jsonl"

    @property
    def curves(self) -> Path:
        """Loss and accuracy over the steps, PNG."""
        return self.path / "curves.png"

    @property
    def result(self) -> Path:
        """What came out, JSON; written last, so that a run that has it is complete."""
        return self.path / "result.json"

    def claim(self, config: Config, *, resume: bool) -> None:
        """Makes the folder this configuration's, or checks that it already is.

        Raises:
            ValueError: if there is a run in it and `resume` is false, or it is another one.
        """
        if not self.config.exists():
            if self.path.exists() and any(self.path.iterdir()):
                raise ValueError(f"run folder {self.path} is not empty, and holds no run")
            self.path.mkdir(parents=True, exist_ok=True)
            config.save(self.config)
            return
        if not resume:
            state = "a finished" if self.result.exists() else "an unfinished"
            raise ValueError(
                f"run folder {self.path} holds {state} run; "
                "give --resume to go on with it, or another folder"
            )
        if differences := Config.load(self.config).differences(config):
            raise ValueError(
                f"run folder {self.path} holds a run with other settings: {'; '.join(differences)}"
            )

    def make_tokenizer(self, texts: Sequence[str], config: TextConfig) -> WordTokenizer:
        """The folder's tokenizer; made from `texts` if it has none yet."""
        if self.tokenizer.exists():
            return WordTokenizer.load(self.tokenizer)
        tokenizer = WordTokenizer.train(
            texts, preset=config.tokenizer, vocabulary_size=config.vocabulary_size
        )
        self.save_tokenizer(tokenizer)
        return tokenizer

    def save_tokenizer(self, tokenizer: WordTokenizer) -> None:
        """Writes the tokenizer whole or not at all."""
        _write_whole(self.tokenizer, tokenizer.save)

    def read_as(self, other: "RunFolder") -> None:
        """Takes the tokenizer and the phrases of another run, unless this one has its own."""
        if not self.tokenizer.exists():
            self.save_tokenizer(WordTokenizer.load(other.tokenizer))
        phrases = other.load_phrases()
        if phrases is not None and not self.phrases.exists():
            _write_whole(self.phrases, phrases.save)

    def make_phrases(
        self, sequences: Sequence[NDArray[np.integer]], vocabulary_size: int, config: TextConfig
    ) -> Phrases | None:
        """The folder's phrases; found in `sequences` if it has none yet, None if none are asked."""
        if config.phrases and not self.phrases.exists():
            found = Phrases.find(sequences, vocabulary_size, config.phrases)
            _write_whole(self.phrases, found.save)
        return self.load_phrases()

    def load_phrases(self) -> Phrases | None:
        """The folder's phrases, or None if it has none."""
        return Phrases.load(self.phrases) if self.phrases.exists() else None

    def temperature(self) -> float:
        """What logits are divided by to give probabilities; 1 where nothing was fitted."""
        if not self.calibration.exists():
            return 1.0
        return float(json.loads(self.calibration.read_text())["temperature"])

    def describe_data(
        self, name: str, class_names: Sequence[str], examples: dict[str, int]
    ) -> None:
        """Writes down what the run is trained on; `examples` are the sizes of its parts."""
        description = {"name": name, "class_names": list(class_names), "examples": examples}
        write_json(self.data, description)


def finished_run(init: Path | None) -> RunFolder | None:
    """The run to start from, if one is named.

    Raises:
        ValueError: if the folder has no weights.
    """
    if init is None:
        return None
    folder = RunFolder(init)
    if not folder.weights.exists():
        raise ValueError(f"init must be the folder of a finished run; {init} has no weights")
    return folder


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file whole or not at all, and makes the folders it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    _write_whole(path, lambda partial: partial.write_text(text))


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Has `write` fill another file, which then takes the place of this one."""
    partial = path.with_suffix(".partial")
    write(partial)
    partial.replace(path)
