"""A classifier of sequences of numbers, by scikit-learn's conventions."""

from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from lstm_jax.data import split_validation
from lstm_jax.machine import refuse_after_fork
from lstm_jax.models.config import ModelConfig
from lstm_jax.models.sequences import SequenceNetwork
from lstm_jax.nn.layer import Direction
from lstm_jax.nn.pooling import Pooling
from lstm_jax.scikit import labels_of, seed_of
from lstm_jax.sequences.arrays import as_sequences
from lstm_jax.sequences.batches import Examples
from lstm_jax.sequences.losses import SequenceClassification
from lstm_jax.sequences.scaling import Scaling
from lstm_jax.sequences.training import Training, predict, train
from lstm_jax.shapes import Params
from lstm_jax.train.metrics import probabilities


class SequenceClassifier(ClassifierMixin, BaseEstimator):
    """Classifies sequences of any lengths by a bidirectional LSTM over standardised channels."""

    classes_: NDArray[Any]
    scaling_: Scaling
    params_: Params
    history_: dict[str, list[float]]

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        layers: int = 1,
        direction: Direction = "bidirectional",
        pooling: Pooling = "max_mean",
        convolutions: tuple[int, ...] = (),
        layer_dropout: float = 0.0,
        output_dropout: float = 0.3,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        epochs: int | None = None,
        batch_size: int = 16,
        patience: int = 0,
        validation_fraction: float | None = None,
        channels_first: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.hidden_size = hidden_size
        self.layers = layers
        self.direction = direction
        self.pooling = pooling
        self.convolutions = convolutions
        self.layer_dropout = layer_dropout
        self.output_dropout = output_dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.channels_first = channels_first
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> Self:
        refuse_after_fork()
        sequences = as_sequences(X, channels_first=self.channels_first)
        labels = labels_of(y, len(sequences))
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            only = classes.tolist()[0]
            raise ValueError(f"y must be of at least two classes, got one class, {only!r}")
        seed = seed_of(self.random_state)
        fraction = self.validation_fraction
        if fraction is None:
            fraction = 0.0
        rows, aside = np.arange(len(sequences)), None
        if fraction:
            rows, aside = split_validation(numbers, fraction, seed)
        scaling = Scaling.fit([sequences[row] for row in rows])
        examples = Examples([scaling(each) for each in sequences], numbers.astype(np.int32))
        self.n_classes_ = len(classes)
        network = self._network(len(classes))
        loss = SequenceClassification(network, scaling.features)
        per_epoch = -(-len(rows) // self.batch_size)
        epochs = self.epochs or int(np.clip(-(-1500 // per_epoch), 20, 300))
        settings = Training(self.learning_rate, epochs, self.batch_size, self.patience, self.weight_decay, seed, verbose=self.verbose)
        trained = train(loss, settings, examples.take(rows), None if aside is None else examples.take(aside))
        self.params_, self.history_ = trained
        self.scaling_, self.classes_, self.loss_ = scaling, classes, loss
        return self

    def _network(self, classes: int) -> SequenceNetwork:
        config = ModelConfig(hidden_size=self.hidden_size, layers=self.layers, direction=self.direction, pooling=self.pooling, layer_dropout=self.layer_dropout, output_dropout=self.output_dropout)
        return SequenceNetwork(config, 1 if classes == 2 else classes, tuple(self.convolutions))

    def decision_function(self, X):
        check_is_fitted(self)
        sequences = as_sequences(X, channels_first=self.channels_first, channels=self.scaling_.channels)
        examples = Examples([self.scaling_(s) for s in sequences], np.zeros(len(sequences), np.int32))
        return predict(self.loss_, self.params_, examples)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        return probabilities(self.decision_function(X))

    def predict(self, X: Any) -> NDArray[Any]:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
