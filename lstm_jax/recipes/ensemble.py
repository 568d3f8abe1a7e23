"""A trained LSTM and a linear model as one classifier: the weighted sum of their logits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_jax.models.classifier import TextClassifier
from lstm_jax.shapes import Params
from lstm_jax.train.evaluation import ClassifierEvaluator
from lstm_jax.train.linear import add_linear, fit_linear_ngrams
from lstm_jax.train.loop import Fitted
from lstm_jax.train.metrics import compute_metrics, ensemble_weights
from lstm_jax.train.result import Numbers

# Where validation examples are few, the weights of the two are kept near these, see
# `ensemble_weights`. Validation flatters the LSTM, since it chose its best step, and knows too
# little of the linear model, which is fitted again. On twelve sets of 200 to 2,500 texts their sum
# was right for 1.4 of 100 texts more than with equal weights, and a prior of 10 nats (dev/LOG.md).
PREFERRED, PRIOR = (0.2, 0.8), 3.0


class Combined(NamedTuple):
    """An LSTM and a linear model, added.

    Attributes:
        model: with its linear model.
        fitted: its parameters, and what validation measures of them.
        linear: parameters with which the model's logits are those of the linear model alone.
        members: `Outcome.members`.
        validation_logits: [N, C] of the validation examples, where there are any, by the linear
            model that has not seen them.
    """

    model: TextClassifier
    fitted: Fitted
    linear: Params
    members: dict[str, Numbers]
    validation_logits: NDArray[np.floating] | None


class Labelled(NamedTuple):
    """Examples as ids.

    Attributes:
        sequences: the ids of each text, `[length]`, as the model reads them.
        labels: [N].
        weights: [N], how much each counts in the loss.
    """

    sequences: Sequence[NDArray[np.integer]]
    labels: NDArray[np.integer]
    weights: NDArray[np.floating]


def with_linear(
    model: TextClassifier,
    fitted: Fitted,
    train: Labelled,
    validation: Labelled | None,
    evaluate: ClassifierEvaluator | None,
) -> Combined:
    """Fits a linear model to the training examples, and adds its logits to the LSTM's.

    The validation examples choose the weight of each; without any, they are one half each. Then the
    linear model is fitted again, to the training and validation examples together, because with
    few examples each counts: alone it is then right for 1.4 of 100 texts more, on those twelve
    sets. What validation measures is the sum with the first one.

    Args:
        model: without a linear model.
        fitted: what its training came to.
        train, validation: the examples.
        evaluate: measures on the validation examples, where there are any.

    Returns:
        The two, added.
    """
    both = model.clone(config=replace(model.config, linear=True))
    linear = _fit(model, [train])

    def added(linear: Params, weights: Sequence[float]) -> Params:
        return add_linear(fitted.params, linear, weights)

    if validation is None or evaluate is None:
        combined = replace(fitted, params=added(linear, (0.5, 0.5)))
        return Combined(both, combined, added(linear, (0, 1)), {}, None)
    measuring = replace(evaluate, model=both)
    alone = {"lstm": (1.0, 0.0), "linear": (0.0, 1.0)}
    logits = [measuring.logits(added(linear, weights)) for weights in alone.values()]
    weights = weights_of_members(logits, validation.labels)
    members: dict[str, Numbers] = {}
    for name, of_member, weight in zip(alone, logits, weights, strict=True):
        measured = compute_metrics(of_member, validation.labels)
        members[name] = {"accuracy": measured.accuracy, "loss": measured.loss, "weight": weight}
    chosen = measuring.logits(added(linear, weights))
    again = _fit(model, [train, validation])
    combined = replace(fitted, params=added(again, weights), validation=measuring.measured(chosen))
    return Combined(both, combined, added(again, (0, 1)), members, chosen)


def weights_of_members(
    logits: Sequence[NDArray[np.floating]], labels: NDArray[np.integer]
) -> list[float]:
    """The weights with which the logits of an LSTM and a linear model are added.

    Each is calibrated first: an LSTM that knows a few texts by heart is far too sure of others.

    Args:
        logits: [N, C] of the LSTM and of the linear model, on validation examples.
        labels: [N], theirs.

    Returns:
        A weight for each, 0 or more.
    """
    scales = [ensemble_weights([each], labels, prior=1.0).item() for each in logits]
    scaled = [scale * each for scale, each in zip(scales, logits, strict=True)]
    shares = ensemble_weights(scaled, labels, prior=PRIOR, preferred=PREFERRED)
    return [scale * share for scale, share in zip(scales, shares.tolist(), strict=True)]


def _fit(model: TextClassifier, parts: Sequence[Labelled]) -> Params:
    return fit_linear_ngrams(
        [ids for part in parts for ids in part.sequences],
        np.concatenate([part.labels for part in parts]),
        model.outputs,
        model.vocabulary_size,
        model.ngrams,
        np.concatenate([part.weights for part in parts]),
    )
