"""Fitting the linear model that stands beside an LSTM: a logistic regression of TF-IDF features.

It knows at once what each word and n-gram says of each class, for which an LSTM needs many
examples; an LSTM knows what their order says. Where examples are few the first counts for more.
Their logits are added, each times the weight that fits the validation part.

Each feature is scaled by the square root of |log p(feature | class) / p(feature | others)|, so that
one that is much more frequent in a class, or outside it, gets its weight at a lower penalty. Held
out, that is right for 1.9 to 4.7 texts of a hundred more (500 and 2,500 reviews, five and fifty
topics; dev/LOG.md).

Sources: for TF-IDF, Manning, Raghavan & Schütze (2008), "Introduction to Information Retrieval",
section 6.2; for the scale, Wang & Manning (2012), "Baselines and Bigrams: Simple, Good Sentiment
and Topic Classification", section 2.1, without the root; for adding the two, Mesnil, Mikolov,
Ranzato & Bengio (2014), "Ensemble of Generative and Discriminative Techniques for Sentiment
Analysis of Movie Reviews".
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

from lstm_jax.shapes import Params
from lstm_jax.text import UNKNOWN, NGrams

# The C of scikit-learn's logistic regression: how much an example counts against the size of the
# weights. On eight data sets of 500 to 8,000 texts 10 was best or within half a point of it; 1,
# scikit-learn's default, was up to nine points worse where there are six classes and 1,000 texts.
STRENGTH = 10.0
_ITERATIONS = 100


def fit_linear_ngrams(
    sequences: Sequence[NDArray[np.integer]],
    labels: NDArray[np.integer],
    outputs: int,
    vocabulary_size: int,
    ngrams: NGrams | None,
    weights: NDArray[np.floating] | None = None,
) -> Params:
    """Fits the parameters of `lstm_jax.nn.linear.LinearNGrams`.

    Args:
        sequences: the ids of each text, `[length]` each, cut as the model reads them.
        labels: [N], below the number of classes.
        outputs: C; 1 for two classes.
        vocabulary_size: the number of token ids.
        ngrams: those that have weights of their own, if any do.
        weights: [N], how much each text counts in the loss; by default 1.

    Returns:
        The module's parameters, float32.
    """
    counts = _counts(sequences, vocabulary_size, ngrams)
    documents = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = 1 + np.log((1 + len(sequences)) / (1 + documents))
    lengths = np.sqrt(np.maximum(counts @ idf**2, 1e-12))
    features = sparse.diags_array(1 / lengths) @ counts @ sparse.diags_array(idf)
    counted = np.ones(len(sequences)) if weights is None else weights
    targets = _targets(labels, outputs)
    scale = _scale(counts, targets, counted)
    table, bias = _fit(sparse.csr_array(features), scale, targets, counted)
    # What no text has is not in the length either.
    tables = idf[:, None] * table, np.where(documents > 0, idf**2, 0)
    start, params = 0, {"bias": np.float32(bias)}
    sizes = [vocabulary_size, *(len(keys) for keys in (ngrams.keys if ngrams else ()))]
    for length, size in enumerate(sizes, 1):
        for name, values in zip(("weights", "squares"), tables, strict=True):
            params[f"{name}_of_{length}"] = np.float32(values[start : start + size])
        start += size
    return params


def add_linear(params: Params, linear: Params, weights: Sequence[float]) -> Params:
    """The parameters of a classifier whose logits are weighted sums.

    Args:
        params: of a classifier without a linear model.
        linear: as `fit_linear_ngrams` gives them.
        weights: of the classifier's logits and of the linear model's; they become part of the
            parameters.
    """
    of_lstm, of_linear = map(np.float32, weights)
    head = {name: np.asarray(array) * of_lstm for name, array in params["head"].items()}
    scaled = {
        name: array if name.startswith("squares") else array * of_linear
        for name, array in linear.items()
    }
    return {**params, "head": head, "linear": scaled}


def _counts(
    sequences: Sequence[NDArray[np.integer]], vocabulary_size: int, ngrams: NGrams | None
) -> Any:
    """How often each token and n-gram is in each text [N, features], sparse.

    Padding, the start and unknown tokens have no feature.
    """
    ids = [np.concatenate([*sequences]).astype(np.int64)]
    text = np.repeat(np.arange(len(sequences)), [len(each) for each in sequences])
    known, width = [ids[0] > UNKNOWN], vocabulary_size
    if ngrams is not None:
        # A gap between two texts, so that no n-gram reaches from one into the next.
        gapped = np.concatenate([part for each in sequences for part in (each, [0])])
        inside = np.concatenate([part for each in sequences for part in (each >= 0, [False])])
        for of_length, keys in zip(ngrams.ids(gapped.astype(np.int64)), ngrams.keys, strict=True):
            these = of_length[inside]
            known.append(these < len(keys))
            ids.append(these + width)
            width += len(keys)
    columns = np.concatenate([each[kept] for each, kept in zip(ids, known, strict=True)])
    rows = np.concatenate([text[kept] for kept in known])
    ones = np.ones(len(rows))
    counts = sparse.csr_array((ones, (rows, columns)), shape=(len(sequences), width))
    counts.sum_duplicates()
    return counts


def _targets(labels: NDArray[np.integer], outputs: int) -> NDArray[np.float64]:
    """1 where a text is of an output's class [N, C], else 0; a single output is of class 1."""
    targets = np.zeros((len(labels), max(outputs, 2)))
    targets[np.arange(len(labels)), labels] = 1
    return targets[:, -outputs:]


def _scale(
    counts: Any, targets: NDArray[np.float64], counted: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The scale of each feature for each output [features, C]; of a mean square of 1."""
    occurs = sparse.csr_array(counts.T > 0).astype(np.float64)
    inside, outside = (
        1 + np.asarray(occurs @ (counted[:, None] * part)) for part in (targets, 1 - targets)
    )
    ratio = np.abs(np.log(inside / inside.sum(0)) - np.log(outside / outside.sum(0)))
    return np.sqrt(ratio / np.maximum(ratio.mean(0), 1e-12))


def _fit(
    features: Any,
    scale: NDArray[np.float64],
    targets: NDArray[np.float64],
    counted: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The weights [features, C] and the bias [C] of a logistic regression, by L-BFGS."""
    width, outputs = scale.shape
    transposed = sparse.csr_array(features.T)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat[outputs:].reshape(width, outputs)
        logits = features @ (scale * weights) + flat[:outputs]
        if outputs == 1:
            cost, errors = np.logaddexp(0, logits) - targets * logits, expit(logits) - targets
        else:
            log_probabilities = log_softmax(logits, axis=-1)
            cost, errors = -targets * log_probabilities, np.exp(log_probabilities) - targets
        cost, errors = counted[:, None] * cost, counted[:, None] * errors
        gradient = STRENGTH * scale * (transposed @ errors) + weights
        of_bias = STRENGTH * errors.sum(0)
        value = STRENGTH * cost.sum() + (weights**2).sum() / 2
        return value, np.concatenate([of_bias, gradient.ravel()])

    options = {"maxiter": _ITERATIONS, "gtol": 1e-4 * STRENGTH}
    start = np.zeros(outputs * (width + 1))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return scale * found[outputs:].reshape(width, outputs), found[:outputs]
