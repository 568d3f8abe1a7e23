"""The text classifier by scikit-learn's conventions: for pipelines, cross-validation and grids."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from lstm_jax.data import Corpus, Examples, as_texts
from lstm_jax.predictor import Predictor
from lstm_jax.recipes.fit import fit_corpus
from lstm_jax.recipes.temporary import pack, unpack

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import Tags
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.validation import check_is_fitted

    from lstm_jax.scikit import labels_of, seed_of
except ImportError:
    message = "lstm_jax.estimators needs scikit-learn 1.6: pip install 'lstm_jax[linear]'"
    raise ImportError(message) from None

# The setting that each parameter of the estimator is.
_SETTINGS = {
    "tokenizer": "text.tokenizer",
    "vocabulary_size": "text.vocabulary_size",
    "ngrams": "text.ngrams",
    "max_length": "text.max_length",
    "embedding_size": "model.embedding_size",
    "hidden_size": "model.hidden_size",
    "linear": "model.linear",
    "learning_rate": "optimizer.learning_rate",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "validation_fraction": "train.validation_fraction",
}


class LSTMClassifier(ClassifierMixin, BaseEstimator):
    """A text classifier: a bidirectional LSTM, with a linear model beside it where that helps.

    X is N texts, in a list, an array or a column of a data frame; y is N labels of any kind that
    scikit-learn knows. Parameters that are None are chosen from the data. A fitted estimator can be
    copied and pickled; its state has the files of the run, arrays as Orbax wrote them.

    Args:
        tokenizer: "punctuation" and "keras" cut texts into words, "characters" into characters,
            "bpe" into pieces of words.
        vocabulary_size: tokens known at most, at least 4.
        ngrams: how many n-grams of two tokens, of three, ... have vectors of their own; () is none.
        max_length: tokens of a text that are read at most.
        embedding_size: features of one token's vector.
        hidden_size: units of each direction of the LSTM.
        linear: whether a linear model is fitted too, and its logits added.
        learning_rate: the largest of the training.
        epochs: passes over the training texts, at most.
        batch_size: texts of one step.
        validation_fraction: share of the training texts, in [0, 1), that is set aside to choose the
            epoch with the lowest loss, and to fit the temperature.
        class_weight: how much a text counts by its class: a dictionary, "balanced" so that all
            classes count alike, or None.
        random_state: a whole number for the same result each time, a NumPy RandomState, or None.
        settings: further settings of the run by their names, as for `lstm_jax.fit`.
        verbose: print how the training goes.

    Attributes:
        classes_: [C], the labels that occur, sorted.
        run_: the finished run, as `lstm_jax.fit` returns it; it names the classes by strings.
    """

    classes_: NDArray[Any]
    run_: Predictor

    def __init__(
        self,
        *,
        tokenizer: str | None = None,
        vocabulary_size: int | None = None,
        ngrams: Sequence[int] | None = None,
        max_length: int | None = None,
        embedding_size: int | None = None,
        hidden_size: int | None = None,
        linear: bool | None = None,
        learning_rate: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        validation_fraction: float | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        random_state: int | np.random.RandomState | None = None,
        settings: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        self.tokenizer = tokenizer
        self.vocabulary_size = vocabulary_size
        self.ngrams = ngrams
        self.max_length = max_length
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.linear = linear
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.random_state = random_state
        self.settings = settings
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        """One column of strings."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = tags.input_tags.string = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains on texts and their labels.

        Args:
            X: N texts.
            y: N labels, of at least two classes.
            sample_weight: [N], how much each text counts in the training, at least 0; only their
                ratios matter. A text of weight 0 is left out. By default all count alike.

        Returns:
            The estimator itself.

        Raises:
            ValueError: in one line, if an argument or a parameter is not as described.
        """
        texts = self._texts(X)
        labels = labels_of(y, len(texts))
        classes, numbers = np.unique(labels, return_inverse=True)
        weights = self._weights(sample_weight, classes, labels)
        examples = Examples(texts, numbers.astype(np.int32))
        if weights is not None:
            kept = np.flatnonzero(weights)
            weights = weights[kept] / weights[kept].mean()
            examples = Examples(examples.take(kept).texts, examples.labels[kept], weights)
        if len(occurring := np.unique(examples.labels)) < 2:
            only = classes[occurring].tolist()[0]
            raise ValueError(f"y must be of at least two classes, got one class, {only!r}")
        corpus = Corpus("python", examples, None, tuple(map(str, classes.tolist())))
        run = fit_corpus(
            corpus,
            None,
            settings=self._settings(),
            seed=seed_of(self.random_state),
            quiet=not self.verbose,
        )
        self.run_, self.classes_ = run, classes
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class [N] of each of N texts."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[likeliest]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probabilities [N, C] of N texts, in the order of `classes_`."""
        check_is_fitted(self)
        return self.run_.predict_proba(self._texts(X))

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """The logits of N texts: [N] of the second of two classes, else [N, C]."""
        check_is_fitted(self)
        logits = self.run_.logits(self._texts(X))
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def __getstate__(self) -> dict[str, Any]:
        """What is copied or pickled: of the run, its files."""
        state: Any = super().__getstate__()
        return {**state, "run_": pack(self.run_.path)} if "run_" in state else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Opens the run again, in a temporary folder of its own."""
        super().__setstate__({**state, "run_": unpack(state["run_"])} if "run_" in state else state)

    def _texts(self, X: Any) -> list[str]:
        return as_texts(X, "X")

    def _weights(
        self, sample_weight: Any, classes: NDArray[Any], labels: NDArray[Any]
    ) -> NDArray[np.float64] | None:
        """The weight of each text, of 0 and above; None if all count alike."""
        if sample_weight is None and self.class_weight is None:
            return None
        weights = np.ones(len(labels))
        if sample_weight is not None:
            weights = np.asarray(sample_weight, np.float64)
            if weights.shape != (len(labels),):
                raise ValueError(
                    f"sample_weight must have shape ({len(labels)},), got {weights.shape}"
                )
            if not (np.isfinite(weights) & (weights >= 0)).all():
                raise ValueError("sample_weight must be finite and at least 0, got others")
        if self.class_weight is not None:
            of_classes = compute_class_weight(self.class_weight, classes=classes, y=labels)
            weights = weights * of_classes[np.searchsorted(classes, labels)]
        if not (weights > 0).any():
            raise ValueError("sample_weight must be above 0 for some texts, got all zero")
        return weights

    def _settings(self) -> dict[str, Any]:
        """The settings that are not chosen from the data, by their names."""
        settings = dict(self.settings or {})
        for name, setting in _SETTINGS.items():
            if (value := getattr(self, name)) is None:
                continue
            if setting in settings:
                raise ValueError(f"settings must be without {setting!r} where {name} is given")
            settings[setting] = value
        return settings
