"""Distillation: a run learns what finished runs and a linear model together predict.

They err on different texts, so that their weighted ensemble is better than each of them; and a new
run that learns the ensemble's probabilities of many texts is better than its members are on texts
that it has not seen. docs/explanation/accuracy.md has the figures.

Source: Hinton, Vinyals & Dean (2015), "Distilling the Knowledge in a Neural Network", for the
probabilities of several models as labels; Xie et al. (2020), "Self-training with Noisy Student",
for a student as large as its teacher, with noise (here dropout and adversarial perturbation) that
the teacher did without.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lstm_jax.data import Corpus, split_validation
from lstm_jax.predictor import Predictor, load
from lstm_jax.recipes.linear import LinearModel, fit_linear, require_scikit_learn
from lstm_jax.recipes.settings import check_start, check_training
from lstm_jax.recipes.supervised import Subsets, train_classifier
from lstm_jax.train.calibration import enough_to_fit
from lstm_jax.train.config import Config
from lstm_jax.train.inputs import inputs_of, inputs_of_runs
from lstm_jax.train.metrics import ensemble_weights, probabilities
from lstm_jax.train.open_run import Request, open_run
from lstm_jax.train.result import Result
from lstm_jax.train.run_folder import RunFolder, finished_run


class Ensemble:
    """The weighted sum of the mean of some runs' logits and a linear model's, fitted here.

    The weights are those that fit best the validation part, which none of the models has learnt
    from; one half each, if it is too small to fit weights to.

    Nothing is computed before it is asked for, and then once.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        corpus: Corpus,
        part: tuple[float, int],
        *,
        penalty: float = 1.0,
    ) -> None:
        """Names the runs.

        Args:
            paths: the folders of finished runs, at least one, trained on the labelled texts of
                `corpus`.
            corpus: its training texts, and those without labels, are read; its test examples are
                not.
            part: the validation part of the runs, `Config.validation_part`.
            penalty: of the linear model, see `lstm_jax.recipes.linear.fit_linear`.

        Raises:
            ValueError: if scikit-learn is not installed.
        """
        require_scikit_learn()
        self.paths, self._corpus, self.part, self._penalty = list(paths), corpus, part, penalty

    @cached_property
    def runs(self) -> list[Predictor]:
        """The runs.

        Raises:
            ValueError: if one cannot be opened, has other classes, or another validation part, or
                none.
        """
        runs = [load(path) for path in self.paths]
        check_parts([run.config for run in runs], self.part)
        for run in runs:
            if self._corpus.class_names != run.class_names:
                raise ValueError(
                    f"the classes of a run to distil from must be the data's,"
                    f" {self._corpus.class_names}, got {run.class_names}"
                )
        return runs

    @cached_property
    def linear(self) -> LinearModel:
        """The linear model."""
        kept, _ = split_validation(self._corpus.train.labels, *self.part)
        examples, classes = self._corpus.train.take(kept), len(self._corpus.class_names)
        return fit_linear(examples.texts, examples.labels, classes, penalty=self._penalty)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Of the mean of the runs, and of the linear model [2]."""
        _, held_out = split_validation(self._corpus.train.labels, *self.part)
        validation = self._corpus.train.take(held_out)
        logits = self._members(validation.texts)
        equal = np.full(2, 0.5)
        if enough_to_fit(np.tensordot(equal, logits, 1), validation.labels):
            return ensemble_weights(logits, validation.labels)
        return equal

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Of texts [M, C]; C = 1, the log-odds of class 1, for two classes."""
        return np.tensordot(self.weights, self._members(texts), 1)

    @cached_property
    def soft_labels(self) -> NDArray[np.float32]:
        """The class probabilities [M, classes] of the corpus's texts without labels."""
        return probabilities(self.logits(self._corpus.unlabelled)).astype(np.float32)

    def _members(self, texts: Sequence[str]) -> list[NDArray]:
        return [np.mean([run.logits(texts) for run in self.runs], axis=0), self.linear(texts)]


def distill(
    config: Config,
    corpus: Corpus,
    request: Request,
    ensemble: Ensemble,
    *,
    init: Path | None = None,
    subsets: Subsets | None = None,
) -> Result:
    """Trains a classifier on labels, and on an ensemble's soft labels of texts without labels.

    Args:
        config, corpus, request, init, subsets: as for `lstm_jax.recipes.supervised.supervised`.
        ensemble: of the same corpus and validation part. The time it takes counts as the run's.

    Raises:
        ValueError: as `supervised`; or if the ensemble's runs do not fit.
    """
    source = finished_run(init)
    check_distillable(corpus)
    check_training(config, len(corpus.unlabelled))
    if config.train.unlabelled == 0:
        raise ValueError("train.unlabelled must be above 0 to distil, got 0")
    check_parts([config], ensemble.part)
    if source is not None:
        check_start(config.text, source)
    inputs = inputs_of(config, corpus, source)
    inputs |= inputs_of_runs(ensemble=[RunFolder(path) for path in ensemble.paths])
    with open_run(config, inputs, request) as run:
        if run.result is not None:
            return run.result
        soft_labels = ensemble.soft_labels
        return train_classifier(run, corpus, source, soft_labels=soft_labels, subsets=subsets)


def check_distillable(corpus: Corpus) -> None:
    """Says what an ensemble would lack, to be asked before its runs are trained.

    Raises:
        ValueError: if there are no texts without labels, or scikit-learn is not installed.
    """
    if not corpus.unlabelled:
        raise ValueError("distillation needs texts without labels, got none")
    require_scikit_learn()


def check_parts(configs: Sequence[Config], part: tuple[float, int]) -> None:
    """Says whether runs and the one that learns from them hold out the same examples.

    Raises:
        ValueError: if they do not, or hold out none.
    """
    if part[0] == 0:
        raise ValueError(
            "train.validation_fraction must be above 0: the ensemble's weights are chosen on the"
            " validation part"
        )
    for config in configs:
        if config.validation_part != part:
            raise ValueError(
                "train.validation_fraction and the seed must be the same for the runs to distil"
                f" from and the new one, got {config.validation_part} and {part}"
            )
