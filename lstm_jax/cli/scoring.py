"""Measuring a trained run on labelled texts that a command line names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_jax.data import Examples
from lstm_jax.data.sources import NAMES
from lstm_jax.reports import Scored
from lstm_jax.reports.classes import class_scores
from lstm_jax.train.report import read_metrics
from lstm_jax.train.run_folder import RunFolder

if TYPE_CHECKING:  # it is slow to import
    from lstm_jax.predictor import Predictor


def score(run: Predictor, examples: Examples, data: str) -> Scored:
    """What a run makes of labelled texts, for the reports.

    Args:
        run: a trained one.
        examples: the texts, whose labels index the run's classes.
        data: their name as it is typed: a path, or "builtin".
    """
    part = f"test texts of {data}" if data in NAMES else f"texts of {Path(data).name}"
    ids = run.tokenizer.encode_batch(examples.texts)
    return Scored(
        examples.texts,
        examples.labels,
        run.logits(examples.texts),
        run.class_names,
        part=part,
        title=str(run.path),
        lengths=np.array([len(each) for each in ids]),
        records=read_metrics(RunFolder(run.path).metrics),
    )


def as_dict(scored: Scored) -> dict[str, Any]:
    """What was measured, for JSON: all metrics, the intervals, and every class."""
    classes = [
        {
            "class": each.name,
            "examples": each.texts,
            "precision": each.precision,
            "recall": each.recall,
            "recall_interval": each.recall_interval,
            "f1": each.f1,
        }
        for each in class_scores(scored)
    ]
    return {
        **scored.metrics.as_dict(),
        "accuracy_interval": scored.interval,
        "class_names": scored.class_names,
        "classes": classes,
        "confusion": scored.metrics.confusion,
    }
