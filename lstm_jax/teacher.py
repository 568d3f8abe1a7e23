"""A teacher: what a trained run and a linear model together say of texts that have no labels.

The two err on different texts, so that their mean is better than either; and a student, a new run
that takes what they say of many texts for labels, is better than both on texts that it has not
seen. docs/imdb.md has the figures.

Source: Hinton, Vinyals & Dean (2015), "Distilling the Knowledge in a Neural Network", for
probabilities as labels; Xie et al. (2020), "Self-training with Noisy Student", for a student as
large as its teacher, with noise (here dropout and moved words) that the teacher did without.
"""

from dataclasses import replace

import numpy as np

from lstm_jax.linear import fit_linear
from lstm_jax.run import Run
from lstm_jax.text import Corpus, split_validation
from lstm_jax.train.config import Config
from lstm_jax.train.metrics import blend_weights, probabilities


def teach(run: Run, corpus: Corpus, student: Config) -> Corpus:
    """Has the texts without labels judged, for `train` to take it for labels.

    Logits of both are added with weights that are best on the run's validation part, which the
    linear model does not learn from either.

    Args:
        run: trained on the labelled texts of the same corpus.
        corpus: with texts without labels; its test examples are not read.
        student: the settings of the run that will learn from it.

    Returns:
        The corpus with `taught`.

    Raises:
        ValueError: if there are no texts without labels, scikit-learn is not installed, the classes
            are not the run's, or the student would validate on texts that the run has learnt from.
    """
    parts = [(config.seed, config.train.validation_fraction) for config in (run.config, student)]
    if parts[0] != parts[1] or parts[0][1] == 0:
        raise ValueError(
            "teacher and student must set the same validation part aside: seed and "
            f"train.validation_fraction are {parts[0]} and {parts[1]}"
        )
    if corpus.class_names != run.class_names:
        raise ValueError(
            f"the teacher's classes are {run.class_names}, the data's {corpus.class_names}"
        )
    if not corpus.unlabelled:
        raise ValueError("a teacher needs texts without labels, and there are none")
    seed, fraction = parts[0]
    kept, held_out = split_validation(corpus.train.labels, fraction, seed)
    part, validation = corpus.train.take(kept), corpus.train.take(held_out)
    linear = fit_linear(part.texts, part.labels, len(corpus.class_names))
    judges = (run.logits, linear)
    weights = blend_weights([judge(validation.texts) for judge in judges], validation.labels)
    logits = sum(
        weight * judge(corpus.unlabelled) for weight, judge in zip(weights, judges, strict=True)
    )
    return replace(corpus, taught=probabilities(np.asarray(logits)).astype(np.float32))
