"""Rows of numbers as texts: scikit-learn's own checks of estimators make nothing else."""

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import validate_data

from lstm_jax.estimators import LSTMClassifier

# Settings with which a fit takes a second or two, most of it for tracing.
TINY = {
    "text.tokenizer": "keras",
    "text.vocabulary_size": 40,
    "text.ngrams": (),
    "text.cooccurrence_window": 0,
    "text.max_length": 32,
    "model.embedding_size": 8,
    "model.hidden_size": 8,
    "model.embedding_scale": 0.5,
    "model.direction": "forward",
    "model.implementation": "scan",
    "model.token_dropout": 0.0,
    "model.embedding_dropout": 0.0,
    "model.output_dropout": 0.0,
    "model.linear": False,
    "optimizer.learning_rate": 0.05,
    "optimizer.warmup_steps": 0,
    "train.epochs": 3,
    "train.batch_size": 8,
    "train.buckets": 1,
    "train.ema_decay": 0.0,
    "train.adversarial": 0.0,
    "train.validation_fraction": 0.0,
}


class OfRows(LSTMClassifier):
    """The estimator, of rows of numbers: each number is a word, as in "0is-1 1is4".

    The rows have as many numbers as those that it was fitted to.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        vars(self).pop("n_features_in_", None)
        return super().fit(X, y, sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
        return tags

    def _texts(self, X: Any) -> list[str]:
        rows: Any = validate_data(self, X, reset=not hasattr(self, "n_features_in_"))
        rounded = np.round(2 * rows.astype(float)).astype(int)
        texts = [
            " ".join(f"{place}is{value}" for place, value in enumerate(row)) for row in rounded
        ]
        return super()._texts(texts)
