"""Everything that decides a run, as frozen dataclasses: made by a command line, kept as JSON."""

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from lstm_jax.checked import Count, NotNegative, Positive, Probability, Seed, Size, checked
from lstm_jax.data import Padding
from lstm_jax.files import read_json
from lstm_jax.models.config import ModelConfig

FORMAT = 2  # of config.json and of all that stands beside it
# What wrote other formats.
_MAKERS = {None: "version 0.1 or older", 1: "version 0.1"}


TokenizerName = Literal["keras", "punctuation", "characters", "bpe"]


@checked
class TextConfig:
    """How a text becomes a row of token ids."""

    tokenizer: TokenizerName = "punctuation"
    """keras drops punctuation as Keras does; punctuation keeps it as tokens; characters: every
    character is a token; bpe: pieces of words, for texts without spaces between words."""
    vocabulary_size: Annotated[Size, Field(ge=4)] = 20_000
    """Token ids at most, the three special ones (padding, start, unknown) included."""
    ngrams: tuple[Size, ...] = ()
    """How many of the most frequent n-grams of two tokens, of three, ... have vectors of their own;
    n-grams that only one text has never do."""
    cooccurrence_window: Count = 0
    """Embeddings start from the co-occurrence (PPMI-SVD) of words that stand at most so far apart,
    in the training texts and those without labels; takes minutes. 0: they start at random."""
    max_length: Size = 400
    """Tokens of a text at most."""
    truncate: Literal["front", "back", "middle"] = "front"
    """Where longer texts are cut; front keeps the end, middle keeps a quarter of the head too."""
    pad: Literal["front", "back"] = "back"
    """back: true lengths, padding never counts. front: all rows max_length long, zeros in front
    that the LSTM reads, as Keras does."""

    @property
    def padding(self) -> Padding:
        """The rule by which rows are cut and filled."""
        return Padding(self.max_length, self.truncate, self.pad)


@checked
class OptimizerConfig:
    """Adam and what surrounds it."""

    learning_rate: Positive = 1e-3
    """The largest learning rate of the run."""
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine falls to zero by the last step."""
    encoder_learning_rate_multiplier: Positive = 1.0
    """Learning rate of embeddings and LSTMs, relative to that of the last, dense layer."""
    warmup_steps: Count = 0
    """Steps over which the learning rate rises from zero."""
    clip_norm: Positive | None = 1.0
    """Gradients are scaled down to this global norm; None for no clipping."""
    weight_decay: NotNegative = 0.0
    """Share of each kernel and embedding taken off per step, times the learning rate (AdamW)."""


@checked
class TrainConfig:
    """How long, on how much at a time, and what is kept."""

    epochs: Size = 4
    """Passes over the training examples."""
    patience: Count = 0
    """Epochs without a lower validation loss after which training ends early; 0 for never."""
    batch_size: Size = 64
    """Examples per step, over all devices together."""
    buckets: Size = 8
    """Widths that batches are padded to, found from the data; one compilation each."""
    validation_fraction: Probability = 0.05
    """Share of the training examples held out to measure on after each epoch; the weights with the
    lowest loss on it are kept. 0 keeps the last."""
    validation_seed: Seed | None = None
    """Decides which ones, where runs with different seeds should hold out the same; else the run's
    seed does."""
    ema_decay: Probability = 0.0
    """Decay per step of a moving average of the weights, which then predicts; 0 for none."""
    label_smoothing: Probability = 0.0
    """Share of each label that is spread over all classes alike."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """balanced: every class counts as much as the others in the loss, however few its examples."""
    adversarial: NotNegative = 0.0
    """Also train on embeddings perturbed so as to raise the loss, this far in lengths of a typical
    embedding, times the model's confidence; a step takes twice the time. 0 for none."""
    unlabelled: Count = 0
    """Texts without labels, at most, that are read in every epoch too: for their soft labels in
    distillation, else to minimise the entropy of what the model predicts for them."""
    accumulate: Size = 1
    """Parts of each batch whose gradients are computed one after the other and added: with 4, a
    step needs about a quarter of the memory."""
    checkpoint_every: Size = 500
    """Steps between two checkpoints; there is one at the end of each epoch too."""
    keep_checkpoints: Size = 2
    """Checkpoints kept; older ones are deleted."""
    log_every: Size = 20
    """Steps between two lines of metrics.jsonl."""


@checked
class Config:
    """One training run."""

    name: str = "bilstm"
    """What the run is called in its results."""
    seed: Seed = 0
    """Decides initial weights, dropout, the validation part and the order of batches."""
    text: TextConfig = dataclasses.field(default_factory=TextConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    @property
    def validation_part(self) -> tuple[float, int]:
        """Fraction and seed of `lstm_jax.data.split_validation`."""
        seed = self.train.validation_seed
        return self.train.validation_fraction, self.seed if seed is None else seed

    def to_json(self) -> str:
        """What config.json holds."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2) + "\n"

    @classmethod
    def load(cls, path: Path) -> "Config":
        """Reads a config.json.

        Raises:
            ValueError: naming the field, if one is unknown or out of range, or if the file is one
                of another version of this package.
        """
        found = read_json(path, _Versioned).format
        if found != FORMAT:
            maker = _MAKERS.get(found, "a later version")
            raise ValueError(
                f"{path}: format must be {FORMAT}, got {found}: the run was made by {maker} of"
                " lstm_jax, and must be trained again or opened with that"
            )
        saved = read_json(path, _Saved)
        return cls(**{field.name: getattr(saved, field.name) for field in dataclasses.fields(cls)})

    def differences(self, other: "Config") -> dict[str, str]:
        """The fields in which two configurations differ, each with "name: this, not that"."""
        mine, others = (_flat(dataclasses.asdict(config)) for config in (self, other))
        return {
            name: f"{name}: {value!r}, not {others[name]!r}"
            for name, value in mine.items()
            if value != others[name]
        }

    def replaced(self, names: Collection[str], other: "Config") -> "Config":
        """This configuration with the fields of those names ("train.epochs") of another one."""
        return _replaced(self, names, other)


@dataclasses.dataclass(frozen=True)
class _Versioned:
    """What every config.json has, whatever the version."""

    format: int | None = None


@checked
class _Saved(Config):
    """What config.json holds."""

    format: int = FORMAT


def _replaced(kept: Any, names: Collection[str], other: Any) -> Any:
    fields = {}
    for field in dataclasses.fields(kept):
        mine, others = getattr(kept, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(mine):
            start = f"{field.name}."
            below = [name.removeprefix(start) for name in names if name.startswith(start)]
            fields[field.name] = _replaced(mine, below, others)
        elif field.name in names:
            fields[field.name] = others
    return dataclasses.replace(kept, **fields)


def _flat(nested: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
