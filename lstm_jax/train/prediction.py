"""Predictions for a whole set of texts."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lstm_jax.data import Batch
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.shapes import Params
from lstm_jax.train.processes import fetch, put
from lstm_jax.train.step import Shardings, predict_step


def predict_logits(
    model: TextClassifier, params: Params, batches: Iterable[Batch], shardings: Shardings
) -> NDArray[np.float32]:
    """The logits of every example, each counted once.

    Args:
        model, params: what predicts; the parameters on all devices.
        batches: in any order; each example in one row, the others of weight 0.
        shardings: where the batches go.

    Returns:
        [N, C], in the order of the examples.

    Raises:
        FloatingPointError: if one is not finite.
    """
    index, logits = [], []
    for batch in batches:
        # Not fetched here: the next batch is built while this one is computed.
        arrays = put((batch.tokens, batch.lengths), shardings.by_row)
        logits.append(predict_step(model, params, *arrays))
        index.append(batch.index)
    rows = np.concatenate(index)
    values = np.concatenate(fetch(logits))
    examples = rows >= 0
    ordered = np.empty((int(examples.sum()), values.shape[1]), np.float32)
    ordered[rows[examples]] = values[examples]
    bad = int((~np.isfinite(ordered)).any(axis=1).sum())
    if bad:
        raise FloatingPointError(f"the logits of {bad} of {len(ordered)} texts are not finite")
    return ordered
