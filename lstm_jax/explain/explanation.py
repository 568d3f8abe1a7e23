"""What a trained run says of a text, word by word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lstm_jax.data import Padding
from lstm_jax.data.buckets import few_widths, power_of_two
from lstm_jax.explain.methods import as_read, attribute, exact, occlude, phrase_contribution
from lstm_jax.explain.names import METHODS, Method, Token
from lstm_jax.explain.page import fragment
from lstm_jax.explain.readout import class_target
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.shapes import Params
from lstm_jax.text import PADDING, WordTokenizer
from lstm_jax.train.config import Config
from lstm_jax.train.metrics import probabilities
from lstm_jax.train.step import predict_step

# Texts that are computed together.
_BATCH = 16
# Tokens that are computed together where a text is read once for each of its words.
_TOKENS = 1 << 16


class Run(Protocol):
    """What of a trained run is needed; `lstm_jax.Predictor` has it."""

    config: Config
    class_names: tuple[str, ...]
    tokenizer: WordTokenizer
    model: TextClassifier
    params: Params
    temperature: float


@dataclass(frozen=True)
class Explanation:
    """What each word of a text counts for a class.

    Attributes:
        text: as it was given.
        class_name: what the words count for.
        method: one of `lstm_jax.explain.names.METHODS`.
        tokens: in the order of the text.
        probabilities: of every class.
        logit: what is explained: of two classes the logit of the class, of more the logit less the
            mean of all; divided by the run's temperature, as the scores are.
        base: what of the logit is due to no word of the text: biases, the start token, padding.
        error: by how much the words and the base miss the logit; None where the method does not
            promise that they add up to it.
    """

    text: str
    class_name: str
    method: Method
    tokens: tuple[Token, ...]
    probabilities: dict[str, float]
    logit: float
    base: float
    error: float | None

    @property
    def label(self) -> str:
        """The likeliest class."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def probability(self) -> float:
        """Of the class that is explained."""
        return self.probabilities[self.class_name]

    def words(self) -> list[tuple[str, float]]:
        """The tokens that were read, as they stand in the text, each with its score."""
        return [
            (self.text[token.start : token.end], token.score)
            for token in self.tokens
            if token.score is not None
        ]

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        found = asdict(self)
        found["tokens"] = [
            {"text": self.text[token.start : token.end], **token._asdict()} for token in self.tokens
        ]
        return {**found, "label": self.label}

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return fragment(self)


def explain(
    run: Run,
    texts: Sequence[str],
    *,
    method: Method | None = None,
    class_name: str | None = None,
) -> list[Explanation]:
    """Says what each word of some texts counts for a class.

    Args:
        run: the classifier.
        texts: any number.
        method: one of `lstm_jax.explain.names.METHODS`; by default "lrp", the most faithful of
            those that add up, or "integrated_gradients" where the cell normalises its sums.
        class_name: what the words are to speak for; the likeliest class of each text by default.

    Returns:
        An explanation of each text.

    Raises:
        ValueError: if there is no such class or method, the method cannot be had for such a model,
            or something in `texts` is not a string.
    """
    if method is None:
        method = "integrated_gradients" if run.config.model.cell == "layer_norm" else "lrp"
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    names = run.class_names
    if class_name is not None and class_name not in names:
        raise ValueError(f"class_name must be one of {', '.join(names)}, got {class_name!r}")
    texts = list(texts)
    read = [_Reading(run, text) for text in texts]
    order = sorted(range(len(texts)), key=lambda number: len(read[number].ids))
    explained: dict[int, Explanation] = {}
    for first in range(0, len(order), _BATCH):
        batch = order[first : first + _BATCH]
        rows = [read[number] for number in batch]
        found = _explained(run, rows, method, class_name)
        explained.update(zip(batch, found, strict=True))
    return [explained[number] for number in range(len(texts))]


class _Reading:
    """A text as a run reads it: the ids of each step, and the number of its token, -1 of none."""

    def __init__(self, run: Run, text: str) -> None:
        (ids,) = run.tokenizer.encode_batch([text])
        self.text, self.places = text, run.tokenizer.places(text)
        padding: Padding = run.config.text.padding
        self.ids, self.rows = padding.cut(ids), padding.cut(np.arange(len(ids)))
        if padding.pad == "front":  # then the padding is read, before the text
            empty = (max(0, padding.max_length - len(self.ids)), 0)
            self.ids = np.pad(self.ids, empty, constant_values=PADDING)
            self.rows = np.pad(self.rows, empty, constant_values=-1)


def _explained(
    run: Run, rows: Sequence[_Reading], method: Method, class_name: str | None
) -> list[Explanation]:
    """The explanations of a batch."""
    model, names = exact(run.model), run.class_names
    tokens, lengths = _padded([row.ids for row in rows])
    logits = np.asarray(predict_step(model, run.params, tokens, lengths)) / run.temperature
    by_class = probabilities(logits)
    classes = by_class.argmax(axis=1)
    if class_name is not None:
        classes = np.full(len(tokens), names.index(class_name))
    target = np.asarray(class_target(model.outputs, jnp.asarray(classes)), np.float32)
    if method == "occlusion":
        scores, base, error = _occluded(run, rows, target[: len(rows)]), np.zeros(len(rows)), None
        value = np.einsum("bc,bc->b", logits, target)
    else:
        found = attribute(model, run.params, tokens, lengths, jnp.asarray(target), method)
        scores, base, value, error = (
            np.asarray(each, np.float64) / run.temperature for each in found
        )
    return [
        _explanation(
            names,
            row,
            (method, int(classes[n])),
            scores[n],
            by_class[n],
            (value[n], base[n], None if error is None or np.isnan(error[n]) else error[n]),
        )
        for n, row in enumerate(rows)
    ]


def _explanation(
    names: Sequence[str],
    row: _Reading,
    about: tuple[Method, int],
    scores: NDArray[np.floating],
    by_class: NDArray[np.floating],
    sums: tuple[float, float, float | None],
) -> Explanation:
    """One explanation, from what was computed of its row."""
    of_steps = scores[: len(row.rows)]
    of_token = dict(zip(row.rows.tolist(), of_steps.tolist(), strict=True))
    tokens = [
        Token(*place, of_token.get(number))
        for number, place in enumerate(row.places)
        if place is not None
    ]
    read = np.isin(row.rows, [n for n, place in enumerate(row.places) if place is not None])
    start = of_steps[~read].sum()
    value, base, error = sums
    method, number = about
    return Explanation(
        row.text,
        names[number],
        method,
        tuple(tokens),
        dict(zip(names, map(float, by_class), strict=True)),
        float(value),
        float(base + start),
        None if error is None else float(error),
    )


def _occluded(
    run: Run, rows: Sequence[_Reading], target: NDArray[np.floating]
) -> list[NDArray[np.floating]]:
    return [
        occlude(lambda ids, lengths, of=of: _targets(run, ids, lengths, of), row.ids)
        for row, of in zip(rows, target, strict=True)
    ]


def phrase_score(run: Run, text: str, phrase: str, class_name: str) -> float:
    """What a phrase of a text contributes to the logit of a class, as one.

    "not bad" is more than "not" and "bad": beside their scores by the method "decomposition" this
    is the score of both together.

    Args:
        run: the classifier.
        text: one text.
        phrase: as it stands in the text; the first place counts.
        class_name: the class.

    Returns:
        The score, divided by the run's temperature as those of words are.

    Raises:
        ValueError: if the phrase does not stand in the text, or nothing of it is read; if there is
            no such class; or as `lstm_jax.explain.decomposition.decompose`.
    """
    if class_name not in run.class_names:
        raise ValueError(
            f"class_name must be one of {', '.join(run.class_names)}, got {class_name!r}"
        )
    row, start = _Reading(run, text), text.find(phrase)
    end = start + len(phrase)
    places = [place or (-1, -1) for place in row.places]
    inside = np.array([start <= first and last <= end for first, last in places]) & (start >= 0)
    chosen = np.isin(row.rows, np.flatnonzero(inside))
    if not chosen.any():
        raise ValueError(f"phrase must stand in the part of the text that is read, got {phrase!r}")
    tokens, lengths = _padded([row.ids])
    classes = jnp.array([run.class_names.index(class_name)])
    target = class_target(run.model.outputs, classes)
    mask = np.zeros(tokens.shape, bool)
    mask[0, : len(chosen)] = chosen
    found = phrase_contribution(run.model, run.params, tokens, lengths, target, jnp.asarray(mask))
    return float(found[0]) / run.temperature


def read_along(run: Run, text: str, class_name: str) -> NDArray[np.floating]:
    """The probability of a class after each token, as if the text ended there.

    Args:
        run: the classifier.
        text: one text.
        class_name: the class.

    Returns:
        [T], of every token that is read, the start token included.
    """
    row = _Reading(run, text)
    logits = as_read(lambda ids, lengths: _logits(run, ids, lengths), row.ids)
    return probabilities(logits)[:, run.class_names.index(class_name)]


def _targets(
    run: Run, ids: NDArray[np.integer], lengths: NDArray[np.integer], target: NDArray[np.floating]
) -> NDArray[np.floating]:
    return _logits(run, ids, lengths) @ target


def _logits(
    run: Run, ids: NDArray[np.integer], lengths: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Logits [N, C] of many rows of one text, some at a time."""
    model, together, found = exact(run.model), max(1, _TOKENS // ids.shape[1]), []
    together = 1 << (together.bit_length() - 1)
    for first in range(0, len(ids), together):
        rows = [row[:n] for row, n in zip(ids[first:], lengths[first : first + together])]  # noqa: B905
        tokens, these = _padded(rows)
        found.append(np.asarray(predict_step(model, run.params, tokens, these))[: len(rows)])
    return np.concatenate(found) / run.temperature


def _padded(rows: Sequence[NDArray[np.integer]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows in one array; widths and numbers of rows are few, so that few programs are compiled."""
    longest = max(len(row) for row in rows)
    width = next(width for width in few_widths() if width >= longest)
    tokens = np.zeros((power_of_two(len(rows)), width), np.int32)
    lengths = np.ones(len(tokens), np.int32)
    for number, row in enumerate(rows):
        tokens[number, : len(row)], lengths[number] = row, len(row)
    return tokens, lengths
