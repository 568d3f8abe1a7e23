"""A classifier of sequences and a forecaster of series, by scikit-learn's conventions.

Importing it needs scikit-learn; `lstm_jax.interop.onnx_sequences` writes both as ONNX models.
"""

try:
    import sklearn  # noqa: F401 - so that what is missing is named here
except ImportError:
    message = "lstm_jax.sequences needs scikit-learn 1.6: pip install 'lstm_jax[linear]'"
    raise ImportError(message) from None

from lstm_jax.sequences.classifier import SequenceClassifier


__all__ = ["SequenceClassifier"]
