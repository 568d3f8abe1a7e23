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

from lstm_jax.linear import fit_linear, require_scikit_learn
from lstm_jax.run import Run
from lstm_jax.text import Corpus, split_validation
from lstm_jax.train.metrics import blend_weights, probabilities


def check_teachable(corpus: Corpus) -> None:
    """Says what `teach` would lack, to be asked before its runs are trained.

    Raises:
        ValueError: if there are no texts without labels, or scikit-learn is not installed.
    """
    if not corpus.unlabelled:
        raise ValueError("a teacher needs texts without labels, and there are none")
    require_scikit_learn()


def teach(runs: Sequence[Run], corpus: Corpus, part: tuple[float, int]) -> Corpus:
    """Has the texts without labels judged, for `train` to take it for labels.

    The mean of the runs' logits and those of a linear model are added with the weights that are
    best on the validation part, which none of them has learnt from.

    Args:
        runs: at least one, trained on the labelled texts of the same corpus.
        corpus: with texts without labels; its test examples are not read.
        part: the validation part of the run that will learn from it, `Config.validation_part`.

    Returns:
        The corpus with `taught`.

    Raises:
        ValueError: if there are no texts without labels, scikit-learn is not installed, a run has
            other classes, or another validation part than the student.
    """
    for run in runs:
        if run.config.validation_part != part or part[0] == 0:
            raise ValueError(
                "teacher and student must set the same validation part aside: train."
                f"validation_fraction and the seed are {run.config.validation_part} and {part}"
            )
        if corpus.class_names != run.class_names:
            raise ValueError(
                f"the teacher's classes are {run.class_names}, the data's {corpus.class_names}"
            )
    check_teachable(corpus)
    kept, held_out = split_validation(corpus.train.labels, *part)
    examples, validation = corpus.train.take(kept), corpus.train.take(held_out)
    linear = fit_linear(examples.texts, examples.labels, len(corpus.class_names))

    def judge(texts: Sequence[str]) -> list[np.ndarray]:
        return [np.mean([run.logits(texts) for run in runs], axis=0), linear(texts)]

    weights = blend_weights(judge(validation.texts), validation.labels)
    logits = np.tensordot(weights, judge(corpus.unlabelled), 1)
    return replace(corpus, taught=probabilities(logits).astype(np.float32))
