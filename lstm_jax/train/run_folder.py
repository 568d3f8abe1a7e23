"""The files of one run, by name, and whether they are what the run wrote."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lstm_jax.checked import Count, Positive, checked
from lstm_jax.files import read_json, sha256, write_json
from lstm_jax.text import NGrams, WordTokenizer
from lstm_jax.train.config import Config
from lstm_jax.train.result import Result

Checksums = dict[str, str]


@checked
class DataDescription:
    """What data.json holds."""

    name: str
    """The data's."""
    class_names: tuple[str, ...]
    """In the order of the labels; none of a run of `pretrain`."""
    examples: dict[str, Count]
    """The size of each part."""
    command: str
    """What the user typed to start the run."""
    inputs: Checksums
    """Checksums of all that decides the run, but its settings."""
    checksums: Checksums
    """Checksums of the files that were written with it, before training."""
    configs: tuple[str, ...]
    """Checksums of the configurations that the run has had, the one it has among them."""


@checked
class Calibration:
    """What calibration.json holds."""

    temperature: Positive
    """Logits are divided by it."""


@dataclass(frozen=True)
class _Sealed:
    """What files have that know whether they were changed: a checksum of what else they hold."""

    checksums: Checksums


@dataclass(frozen=True)
class _Fingerprinted:
    """What `RunFolder.fingerprint` reads of result.json."""

    fingerprint: str


class RunFolder(NamedTuple):
    """A folder with all there is to know about a training run; see docs/reference/files.md."""

    path: Path

    @property
    def config(self) -> Path:
        """The configuration, JSON; a folder that has it holds a run."""
        return self.path / "config.json"

    @property
    def data(self) -> Path:
        """What the data was, a `DataDescription`, JSON."""
        return self.path / "data.json"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, JSON of the `tokenizers` library."""
        return self.path / "tokenizer.json"

    @property
    def ngrams(self) -> Path:
        """The n-grams with vectors of their own, JSON; none if the run has no such."""
        return self.path / "ngrams.json"

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
        """What logits are divided by, JSON; none if nothing was fitted."""
        return self.path / "calibration.json"

    @property
    def quantized(self) -> Path:
        """How a run was made smaller, a `Quantization`, JSON; none of a run as it was trained."""
        return self.path / "quantized.json"

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

    @property
    def written_first(self) -> tuple[Path, ...]:
        """What is written before config.json, which says that the folder holds a run."""
        return self.tokenizer, self.ngrams, self.data

    def load_data(self) -> DataDescription:
        """Reads data.json, and checks the files that were written with it.

        Raises:
            ValueError: naming the file that is missing, or not as the run wrote it.
        """
        data = read_json(_there(self.data), DataDescription)
        _check_seal(self.data)
        if sha256(self.config) not in data.configs:
            raise ValueError(f"{self.config}: not as the run wrote it")
        for file in (self.tokenizer, self.ngrams):
            _check(file, data.checksums.get(file.name))
        return data

    def write_data(self, content: dict[str, Any]) -> None:
        """Writes data.json: the fields of a `DataDescription`."""
        _write_sealed(self.data, content)

    def load_ngrams(self) -> NGrams | None:
        """The folder's n-grams, or None if it has none."""
        return NGrams.load(self.ngrams) if self.ngrams.exists() else None

    def load_tokenizer(self) -> WordTokenizer:
        """The folder's tokenizer."""
        return WordTokenizer.load(_there(self.tokenizer))

    def temperature(self) -> float:
        """What logits are divided by to give probabilities; 1 where nothing was fitted."""
        if not self.calibration.exists():
            return 1.0
        return read_json(self.calibration, Calibration).temperature

    def write_result(self, result: Result) -> None:
        """Writes what came out, with the checksums of all files that a prediction needs."""
        files = self.predicted_from()
        checksums = {self._name(file): sha256(file) for file in files if file != self.result}
        _write_sealed(self.result, {**result.to_json(), "checksums": checksums})

    def predicted_from(self) -> list[Path]:
        """The files that a prediction needs."""
        files = [self.config, self.data, self.tokenizer, self.ngrams, self.calibration]
        files += [self.quantized, self.result]
        return [file for file in files if file.exists()] + _files_below(self.weights)

    def load_result(self) -> Result:
        """What result.json holds, once all that a prediction needs is found as the run left it.

        Raises:
            ValueError: naming the file that is missing, damaged, or another run's.
        """
        checksums = read_json(self.result, _Sealed).checksums
        result = _check_seal(self.result)
        for file in (self.config, self.data, self.tokenizer, self.ngrams, self.quantized):
            _check(file, checksums.get(file.name))
        again = (
            f"; delete {self.result} and give --resume to make it again from the last checkpoint"
        )
        if self.quantized.exists():
            again = "; make the quantised run again"
        _check(self.calibration, checksums.get(self.calibration.name), again)
        if not self.weights.is_dir():
            raise ValueError(f"{self.weights}: missing{again}")
        listed = {self.path / name for name in checksums if name.startswith("weights/")}
        for file in sorted(listed | set(_files_below(self.weights))):
            _check(file, checksums.get(self._name(file)), again)
        return Result.from_json(result)

    def refuse_quantized(self, argument: str) -> None:
        """Refuses a run that was made smaller where one as it was trained is needed.

        Raises:
            ValueError: naming the argument.
        """
        if self.quantized.exists():
            raise ValueError(
                f"{argument} must be a run as it was trained, and {self.path} is quantised;"
                " give the run that it was made of"
            )

    def fingerprint(self) -> str:
        """The checksum of all that another run can take from this one, which is finished."""
        return read_json(self.result, _Fingerprinted).fingerprint

    def _name(self, file: Path) -> str:
        return file.relative_to(self.path).as_posix()


def finished_run(init: Path | None) -> RunFolder | None:
    """The run to start from, if one is named.

    Raises:
        ValueError: if the folder has no finished run, or its files are not what the run wrote.
    """
    if init is None:
        return None
    folder = RunFolder(init)
    if not folder.result.exists():
        raise ValueError(f"init must be the folder of a finished run; {init} has none")
    folder.refuse_quantized("init")
    if folder.config.exists():
        Config.load(folder.config)  # first, since one of another version is otherwise unreadable
    folder.load_result()
    return folder


def _there(file: Path) -> Path:
    if not file.exists():
        raise ValueError(f"{file}: missing")
    return file


def _check(file: Path, checksum: str | None, remedy: str = "") -> None:
    """Compares a file with its checksum, None for a file that the run does not have."""
    if checksum is None:
        if file.exists():
            raise ValueError(f"{file}: not a file of this run{remedy}")
    elif not file.exists():
        raise ValueError(f"{file}: missing{remedy}")
    elif sha256(file) != checksum:
        raise ValueError(f"{file}: not as the run wrote it{remedy}")


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write_sealed(file: Path, content: dict[str, Any]) -> None:
    """Writes JSON with its own checksum added to its `checksums`."""
    others = {name: value for name, value in content["checksums"].items() if name != file.name}
    content = {**content, "checksums": others}
    sealed = {**content, "checksums": {**others, file.name: _checksum(content)}}
    write_json(file, sealed)


def _check_seal(file: Path) -> dict[str, Any]:
    """The content of a file that `_write_sealed` wrote, if it is as it was."""
    content = read_json(file, dict[str, Any])
    checksums = dict(content["checksums"])
    expected = checksums.pop(file.name, None)
    if _checksum({**content, "checksums": checksums}) != expected:
        raise ValueError(f"{file}: not as the run wrote it")
    return content


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
