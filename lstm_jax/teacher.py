"""Teachers: what trained runs and a linear model together say of texts that have no labels.

They err on different texts, so that their mean is better than each of them; and a student, a new
run that takes what they say of many texts for labels, is better than they are on texts that it has
not seen. docs/imdb.md has the figures.

Source: Hinton, Vinyals & Dean (2015), "Distilling the Knowledge in a Neural Network", for the
probabilities of several models as labels; Xie et al. (2020), "Self-training with Noisy Student",
for a student as large as its teacher, with noise (here dropout and moved words) that the teacher
did without.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lstm_jax.linear import Linear, fit_linear, require_scikit_learn
from lstm_jax.run import Run
from lstm_jax.text import Corpus, split_validation
from lstm_jax.train.calibration import enough_to_fit
from lstm_jax.train.config import Config
from lstm_jax.train.metrics import blend_weights, probabilities


def check_teachable(corpus: Corpus) -> None:
    """Says what `teach` would lack, to be asked before its runs are trained.

    Raises:
        ValueError: if there are no texts without labels, or scikit-learn is not installed.
    """
    if not corpus.unlabelled:
        raise ValueError("a teacher needs texts without labels, got none")
    require_scikit_learn()


def check_parts(teachers: Sequence[Config], part: tuple[float, int]) -> None:
    """Says whether such runs can teach one with this validation part, before any is trained.

    Raises:
        ValueError: if they set another part aside than the student, or it none.
    """
    if part[0] == 0:
        raise ValueError(
            "train.validation_fraction must be above 0: the weights of teachers and linear model "
            "are chosen on the validation part"
        )
    for teacher in teachers:
        if teacher.validation_part != part:
            raise ValueError(
                "train.validation_fraction and the seed must be the same for teacher and student,"
                f" got {teacher.validation_part} and {part}"
            )


def teach(runs: Sequence[Run], corpus: Corpus, part: tuple[float, int]) -> Corpus:
    """Has the texts without labels judged, for `train` to take it for labels.

    Args:
        runs: as for `blend`.
        corpus: with texts without labels; its test examples are not read.
        part: the validation part of the run that will learn from it, `Config.validation_part`.

    Returns:
        The corpus with `taught`.

    Raises:
        ValueError: as `blend` and `check_teachable`, or if the student has another validation part.
    """
    check_teachable(corpus)
    _, judge = blend(runs, corpus, part)
    return replace(corpus, taught=probabilities(judge(corpus.unlabelled)).astype(np.float32))


def blend(
    runs: Sequence[Run], corpus: Corpus, part: tuple[float, int], *, penalty: float = 1.0
) -> tuple[NDArray[np.float64], Linear]:
    """Adds the mean of the runs' logits and those of a linear model, fitted here.

    The weights are those that are best on the validation part, which none of them has learnt from;
    one half each, if it is too small to fit weights to.

    Args:
        runs: at least one, trained on the labelled texts of the same corpus.
        corpus: its training texts are read, the others are not.
        part: the validation part of the runs, `Config.validation_part`.
        penalty: of the linear model, see `lstm_jax.linear.fit_linear`.

    Returns:
        The weights of the mean and of the linear model [2], and a function from texts to the
        blended logits [M, C].

    Raises:
        ValueError: if scikit-learn is not installed, a run has other classes, or another validation
            part, or none.
    """
    check_parts([run.config for run in runs], part)
    for run in runs:
        if corpus.class_names != run.class_names:
            raise ValueError(
                f"the teacher's classes must be the data's, {corpus.class_names}, got"
                f" {run.class_names}"
            )
    kept, held_out = split_validation(corpus.train.labels, *part)
    examples, validation = corpus.train.take(kept), corpus.train.take(held_out)
    linear = fit_linear(examples.texts, examples.labels, len(corpus.class_names), penalty=penalty)

    def judge(texts: Sequence[str]) -> list[NDArray]:
        return [np.mean([run.logits(texts) for run in runs], axis=0), linear(texts)]

    logits = judge(validation.texts)
    weights = np.full(2, 0.5)  # where there are too few examples to fit others to
    if enough_to_fit(np.tensordot(weights, logits, 1), validation.labels):
        weights = blend_weights(logits, validation.labels)
    return weights, lambda texts: np.tensordot(weights, judge(texts), 1)
