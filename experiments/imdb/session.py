"""What all stages of an experiment share: the corpus, the folders of its runs, how it was asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from lstm_jax.console import say
from lstm_jax.data import Corpus
from lstm_jax.recipes.distill import Ensemble, distill
from lstm_jax.recipes.pretrain import Task, pretrain
from lstm_jax.recipes.supervised import Subsets, supervised
from lstm_jax.train.config import Config
from lstm_jax.train.open_run import Request
from lstm_jax.train.result import Result


@dataclass(frozen=True)
class Trained:
    """A finished run: its folder, and what came out."""

    path: Path
    result: Result


@dataclass(frozen=True, eq=False)
class Session:
    """An experiment that is being run.

    Attributes:
        corpus: with the texts without labels, if they are to be read.
        configs: the settings of the run of each seed.
        runs: the folder in which each run gets a folder of its own.
        command: what the user typed.
        resume: go on with runs that are there.
        console: where progress is shown.
        subsets: parts of the test examples that are measured too.
        minutes_before: of what comes before all seeds, by name.
    """

    corpus: Corpus
    configs: Sequence[Config]
    runs: Path
    command: str
    resume: bool
    console: Console
    subsets: Subsets = field(default_factory=dict)
    minutes_before: dict[str, float] = field(default_factory=dict)

    def pretrain(self, config: Config, texts: Sequence[str]) -> Path:
        """Two-view pretraining; gives the run's folder."""
        request = self._request(config)
        result = pretrain(config, texts, Task(self.corpus.name), request)
        self.minutes_before["pretraining"] = result.minutes
        return request.path

    def supervised(self, config: Config, init: Path | None = None) -> Trained:
        """Trains and measures a classifier."""
        request = self._request(config)
        result = supervised(config, self.corpus, request, init=init, subsets=self.subsets)
        return Trained(request.path, result)

    def distill(self, config: Config, ensemble: Ensemble, init: Path | None = None) -> Trained:
        """Trains a classifier on soft labels too, and measures it."""
        request = self._request(config)
        result = distill(config, self.corpus, request, ensemble, init=init, subsets=self.subsets)
        return Trained(request.path, result)

    def _request(self, config: Config) -> Request:
        path = run_path(self.runs, self.corpus, config)
        say(self.console, str(path), "bold")
        return Request(path, self.command, self.resume, self.console)


def run_path(runs: Path, corpus: Corpus, config: Config) -> Path:
    """The folder of a run."""
    return runs / f"{Path(corpus.name).name}-{config.name}-seed{config.seed}"
