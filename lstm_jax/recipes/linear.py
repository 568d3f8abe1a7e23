"""A linear model of n-grams: what an LSTM is compared with, and a member of ensembles.

Whether each n-gram occurs in a text, times how much more often it does in texts of a class than in
others (a naive Bayes weight, r = log p(n-gram | class) / p(n-gram | others)), into a logistic
regression for each class. By scikit-learn.

Source: Wang & Manning (2012), "Baselines and Bigrams: Simple, Good Sentiment and Topic
Classification", section 2; with a logistic regression in place of the support vectors.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORDS = r"\w+|[^\w\s]"  # punctuation marks count

LinearModel = Callable[[Sequence[str]], NDArray[np.float64]]


def require_scikit_learn() -> None:
    """Raises ValueError if scikit-learn is not installed."""
    if find_spec("sklearn") is None:
        raise ValueError("this needs scikit-learn: pip install 'lstm_jax[linear]'")


def fit_linear(
    texts: Sequence[str],
    labels: NDArray[np.integer],
    classes: int,
    *,
    longest: int = 3,
    penalty: float = 1.0,
) -> LinearModel:
    """Fits the model: some two minutes for 25,000 reviews, on one core.

    Args:
        texts: N strings.
        labels: [N], each below `classes`.
        classes: how many there are.
        longest: words of an n-gram at most; an n-gram that one text alone has does not count.
        penalty: scikit-learn's C: the larger, the freer are the weights.

    Returns:
        A function from texts to logits [M, C]; C = 1, the log-odds of class 1, for two classes.

    Raises:
        ValueError: if scikit-learn is not installed, or a class has no text.
    """
    require_scikit_learn()
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    if missing := sorted(set(range(classes)) - set(labels.tolist())):
        raise ValueError(f"labels must have each of {classes} classes, got none of {missing}")
    vectorizer: Any = CountVectorizer(
        ngram_range=(1, longest),
        min_df=2,
        binary=True,
        token_pattern=WORDS,
        dtype=np.float32,  # pyright: ignore[reportArgumentType]
    )
    occurs: Any = vectorizer.fit_transform(texts)
    models = []
    for label in [1] if classes == 2 else range(classes):
        inside = labels == label
        counts = [1 + np.asarray(occurs[rows].sum(0)).ravel() for rows in (inside, ~inside)]
        frequencies = [count / count.sum() for count in counts]
        ratio = np.log(frequencies[0] / frequencies[1]).astype(np.float32)
        model = LogisticRegression(C=penalty, solver="liblinear", dual=True, random_state=0)
        models.append((ratio, model.fit(occurs.multiply(ratio).tocsr(), inside)))

    def logits(texts: Sequence[str]) -> NDArray[np.float64]:
        occurs = vectorizer.transform(texts)
        columns = [
            model.decision_function(occurs.multiply(ratio).tocsr()) for ratio, model in models
        ]
        return np.stack(columns, axis=-1)

    return logits
