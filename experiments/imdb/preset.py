"""What a preset is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lstm_jax.train.config import Config

if TYPE_CHECKING:
    from experiments.imdb.session import Session, Trained


@dataclass(frozen=True)
class Preset:
    """A recipe for IMDB; its module's docstring is its record.

    Attributes:
        description: one line, for --help.
        config: the settings of the run that is measured.
        run: does it, a run for each seed.
        builtin: settings in the place of `config` on the built-in corpus, if it needs others.
        pretraining: on which reviews, if any, the run is pretrained.
    """

    description: str
    config: Config
    run: Callable[["Session"], list["Trained"]]
    builtin: Config | None = None
    pretraining: Literal["none", "labelled", "all"] = "none"

    def needs_unlabelled(self, config: Config) -> bool:
        """Whether the preset with such settings reads texts without labels."""
        if self.pretraining == "all" or config.train.unlabelled > 0:
            return True
        # What is pretrained has embeddings already.
        return self.pretraining == "none" and config.text.cooccurrence_window > 0
