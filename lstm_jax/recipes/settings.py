"""Settings that would change nothing, or contradict others, are refused before a run begins."""

from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, Literal, NamedTuple

from lstm_jax.train.config import Config, TextConfig
from lstm_jax.train.run_folder import RunFolder

# What a pretrained model learns to predict; see `lstm_jax.recipes.pretrain`.
PretrainingObjective = Literal["two_view", "next_word"]

# The words of `next_word` that are drawn for a batch, unless another number is given.
SAMPLES = 1024


class _Rule(NamedTuple):
    """A setting that has no effect with some others.

    Args:
        name: the setting, "part.field"; with its default it is never refused.
        idle: whether it has no effect in a configuration.
        where: where that is so, in words.
    """

    name: str
    idle: Callable[[Config], bool]
    where: str


_RULES = (
    _Rule("model.ngram_dropout", lambda c: not c.text.ngrams, "without text.ngrams"),
    _Rule("model.layer_dropout", lambda c: c.model.layers == 1, "with one layer (model.layers)"),
    _Rule(
        "model.merge",
        lambda c: c.model.direction != "bidirectional",
        "where model.direction is not bidirectional",
    ),
    _Rule("model.forget_bias", lambda c: c.model.cell != "lstm", "where model.cell is not lstm"),
    _Rule("train.buckets", lambda c: c.text.pad == "front", "where text.pad is front"),
    _Rule(
        "train.patience",
        lambda c: c.train.validation_fraction == 0,
        "where train.validation_fraction is 0",
    ),
    _Rule(
        "train.validation_seed",
        lambda c: c.train.validation_fraction == 0,
        "where train.validation_fraction is 0",
    ),
)

# What is about labels, and thus not for texts without them.
_ABOUT_LABELS = tuple(
    _Rule(f"train.{name}", lambda _: True, "where texts are read without labels")
    for name in ("label_smoothing", "class_weights", "adversarial", "unlabelled")
)
_NO_NGRAMS = _Rule("text.ngrams", lambda _: True, "with next_word")


def check_training(config: Config, unlabelled: int) -> None:
    """Refuses settings of a classifier that would change nothing.

    Args:
        config: the run's settings.
        unlabelled: how many texts without labels there are.

    Raises:
        ValueError: naming the setting.
    """
    _refuse(config, _RULES)
    if config.train.unlabelled > 0 and unlabelled == 0:
        raise ValueError(
            "train.unlabelled must be 0 where there are no texts without labels, got "
            f"{config.train.unlabelled}; --unlabelled FILE gives some"
        )


def without_idle(config: Config, given: Collection[str]) -> Config:
    """The configuration with the default of every setting that has no effect in it.

    Args:
        config: settings that were chosen, but for those given.
        given: the names of those, such as "text.ngrams"; they stay, and are refused later.
    """
    idle = {rule.name for rule in _RULES if rule.idle(config)}
    return config.replaced(idle.difference(given), Config())


def check_pretraining(config: Config, objective: PretrainingObjective, samples: int) -> None:
    """Refuses settings of a model of texts without labels that would change nothing.

    Args:
        config: the run's settings. What else a classifier has, such as `model.pooling`, may be set,
            because it may be the classifier's that starts from here.
        objective: what the model learns to predict.
        samples: words drawn for a batch of `next_word`.

    Raises:
        ValueError: naming the setting.
    """
    _refuse(config, _RULES + _ABOUT_LABELS)
    if objective == "next_word":
        _refuse(config, (_NO_NGRAMS,))
    elif samples != SAMPLES:
        raise ValueError(f"samples must be {SAMPLES} with {objective}, got {samples}: {_NOTHING}")


def check_start(text: TextConfig, source: RunFolder) -> None:
    """Refuses text settings other than those of the run that this one starts from.

    Its tokenizer is taken over, and its n-grams if it has any, so that its word vectors keep their
    words. How texts are cut and padded may differ.

    Args:
        text: the text settings of the run that starts.
        source: the finished run that it starts from.

    Raises:
        ValueError: naming the first setting that disagrees.
    """
    theirs = Config.load(source.config).text
    names = ["tokenizer", "vocabulary_size"]
    if source.ngrams.exists():
        names.append("ngrams")
    if text.cooccurrence_window > 0:  # word vectors start from the run's, however those began
        names.append("cooccurrence_window")
    for name in names:
        wanted, got = getattr(theirs, name), getattr(text, name)
        if got != wanted:
            raise ValueError(
                f"text.{name} must be {wanted!r}, as in {source.path}, whose words are taken over,"
                f" got {got!r}"
            )


_NOTHING = "it would change nothing"


def _refuse(config: Config, rules: tuple[_Rule, ...]) -> None:
    """Raises a ValueError for the first setting that has no effect, and is not its default."""
    for name, idle, where in rules:
        part, field = name.split(".")
        got, default = getattr(getattr(config, part), field), _default(config, part, field)
        if got != default and idle(config):
            raise ValueError(f"{name} must be {default!r} {where}, got {got!r}: {_NOTHING}")


def _default(config: Config, part: str, name: str) -> Any:
    """What a field of a part is if nobody sets it."""
    return next(f.default for f in fields(getattr(config, part)) if f.name == name)
