"""A classifier of sequences and a forecaster of series, by scikit-learn's conventions.

Importing it needs scikit-learn; `lstm_jax.interop.onnx_sequences` writes both as ONNX models.
"""

from importlib.util import find_spec

if find_spec("sklearn") is None:
    message = "lstm_jax.sequences needs scikit-learn 1.6: pip install 'lstm_jax[linear]'"
    raise ImportError(message)

from lstm_jax.sequences.classifier import SequenceClassifier
from lstm_jax.sequences.forecaster import SequenceForecaster

__all__ = ["SequenceClassifier", "SequenceForecaster"]
