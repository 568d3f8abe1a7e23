"""A classifier of sequences of numbers, by scikit-learn's conventions."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from lstm_jax.data import split_validation
from lstm_jax.machine import refuse_after_fork
from lstm_jax.models.config import ModelConfig
from lstm_jax.models.sequences import SequenceNetwork, check_convolutions
from lstm_jax.nn.layer import Direction
from lstm_jax.nn.pooling import Pooling
from lstm_jax.scikit import labels_of, seed_of
from lstm_jax.sequences import folder
from lstm_jax.sequences.arrays import as_sequences
from lstm_jax.sequences.batches import Examples
from lstm_jax.sequences.losses import SequenceClassification
from lstm_jax.sequences.scaling import Scaling
from lstm_jax.sequences.training import Training, predict, train, validation_fraction
from lstm_jax.shapes import Params
from lstm_jax.train.metrics import probabilities


class SequenceClassifier(ClassifierMixin, BaseEstimator):
    """Classifies sequences of any lengths: convolutions, a bidirectional LSTM, pooling.

    X is N sequences: a list of arrays [T_n, D] or [T_n], or one array [N, T, D] or [N, T]. NaN is a
    missing value. Each channel is standardised by the training sequences, and a missing value
    becomes their mean; channels with missing values in training have a second feature that flags
    them. y is N labels of any kind that scikit-learn knows.

    Args:
        hidden_size: units of each direction of the LSTM, and filters of each convolution.
        layers: LSTM layers.
        direction: "bidirectional", "forward" or "backward".
        pooling: how all steps become one vector: "max_mean", "last", "max", "mean", "attention".
        convolutions: widths in steps of the convolutions below the LSTM; () for none.
        layer_dropout, output_dropout: probabilities, between LSTM layers and before the last layer.
        learning_rate: Adam's, at the start; it falls to zero along a cosine.
        weight_decay: as in AdamW.
        epochs: passes over the training sequences, at most; None for 1,500 steps, but 20 to 300.
        batch_size: sequences of one step.
        patience: epochs without a lower validation loss after which training ends; None for a
            quarter of the epochs, 0 for never.
        validation_fraction: share of the training sequences, in [0, 1), that is set aside to choose
            the epoch with the lowest loss. None for a tenth of 500 and more, and else nothing: a
            few sequences cannot tell which epoch was best.
        channels_first: whether sequences come as [D, T_n], as those of aeon and sktime do.
        random_state: a whole number for the same result each time, a NumPy RandomState, or None.
        verbose: print the loss of each epoch.

    Attributes:
        classes_: [C], the labels that occur, sorted.
        scaling_: mean and deviation of each channel, and which channels are flagged.
        params_: the weights, NumPy arrays.
        history_: the loss of each epoch in nats, and the validation loss.
    """

    direction: Direction
    pooling: Pooling
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
        convolutions: tuple[int, ...] = (8, 5),
        layer_dropout: float = 0.0,
        output_dropout: float = 0.3,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        epochs: int | None = None,
        batch_size: int = 16,
        patience: int | None = None,
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

    def __sklearn_tags__(self) -> Tags:
        """Sequences of numbers, NaN among them."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on sequences and their labels.

        Args:
            X: N sequences.
            y: N labels, of at least two classes.

        Returns:
            The estimator itself.

        Raises:
            ValueError: in one line, if an argument or a parameter is not as described.
            FloatingPointError: if training diverges.
        """
        refuse_after_fork()
        sequences = as_sequences(X, channels_first=self.channels_first)
        labels = labels_of(y, len(sequences))
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            only = classes.tolist()[0]
            raise ValueError(f"y must be of at least two classes, got one class, {only!r}")
        settings = Training(
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            batch_size=self.batch_size,
            patience=self.patience,
            weight_decay=self.weight_decay,
            seed=seed_of(self.random_state),
            verbose=self.verbose,
        )
        rows, aside = np.arange(len(sequences)), np.zeros(0, np.int64)
        if fraction := validation_fraction(self.validation_fraction, len(sequences)):
            rows, aside = split_validation(numbers, fraction, settings.seed)
        scaling = Scaling.fit([sequences[row] for row in rows])
        loss = self._loss(len(classes), scaling)
        examples = Examples(list(map(scaling, sequences)), numbers.astype(np.int32))
        trained = train(loss, settings, examples.take(rows), examples.take(aside))
        self.params_, self.history_ = trained
        self.scaling_, self.classes_, self.loss_ = scaling, classes, loss
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class [N] of each of N sequences."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[likeliest]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probabilities [N, C] of N sequences, in the order of `classes_`."""
        return probabilities(self._logits(X))

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """The logits of N sequences: [N] of the second of two classes, else [N, C]."""
        logits = self._logits(X)
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def save(self, path: str | Path) -> None:
        """Writes the fitted classifier into a new folder; `load` opens it.

        Raises:
            ValueError: if there is something at `path`, or labels are no strings or numbers.
        """
        check_is_fitted(self)
        description = {
            "settings": folder.settings_to_json(self.get_params()),
            "classes": folder.labels_to_json(self.classes_),
            "scaling": vars(self.scaling_),
            "history": self.history_,
        }
        folder.save(path, type(self).__name__, description, self.params_)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Opens what `save` wrote.

        Raises:
            ValueError: naming the file, if it is missing, damaged, or no classifier's.
        """
        refuse_after_fork()
        description = folder.describe(path, cls.__name__)
        estimator = cls(**folder.settings_from_json(description["settings"]))
        estimator.classes_ = folder.labels_from_json(description["classes"])
        estimator.scaling_ = Scaling(**description["scaling"])
        estimator.history_ = description["history"]
        estimator.loss_ = estimator._loss(len(estimator.classes_), estimator.scaling_)
        estimator.params_ = folder.read_weights(path, estimator.loss_.initial)
        return estimator

    def _loss(self, classes: int, scaling: Scaling) -> SequenceClassification:
        config = ModelConfig(
            hidden_size=self.hidden_size,
            layers=self.layers,
            direction=self.direction,
            pooling=self.pooling,
            layer_dropout=self.layer_dropout,
            output_dropout=self.output_dropout,
        )
        widths = check_convolutions(self.convolutions)
        network = SequenceNetwork(config, 1 if classes == 2 else classes, widths)
        return SequenceClassification(network, scaling.features)

    def _logits(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self)
        refuse_after_fork()
        channels = self.scaling_.channels
        sequences = as_sequences(X, channels_first=self.channels_first, channels=channels)
        unknown = np.zeros(len(sequences), np.int32)
        return predict(
            self.loss_, self.params_, Examples(list(map(self.scaling_, sequences)), unknown)
        )
