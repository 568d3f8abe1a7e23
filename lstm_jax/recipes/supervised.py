"""Training a classifier from beginning to end: texts in, a run's folder out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lstm_jax.console import doing
from lstm_jax.data import (
    Corpus,
    Dataset,
    Examples,
    evaluation_batches,
    split_validation,
    training_batches,
)
from lstm_jax.data.stored import taken
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.recipes.advice import (
    about_members,
    after_training,
    before_training,
    print_warnings,
)
from lstm_jax.recipes.ensemble import Labelled, with_linear
from lstm_jax.recipes.settings import check_start, check_training
from lstm_jax.recipes.vocabulary import cooccurrence_embeddings, make_ngrams, make_tokenizer
from lstm_jax.reports import Scored, summarise, write_report
from lstm_jax.shapes import Params
from lstm_jax.text import WordTokenizer, encode_once
from lstm_jax.train.batching import evaluation_batching, training_batching
from lstm_jax.train.checkpoints import load_encoder
from lstm_jax.train.config import Config
from lstm_jax.train.evaluation import ClassifierEvaluator
from lstm_jax.train.inputs import inputs_of
from lstm_jax.train.loop import check_fit, fit
from lstm_jax.train.losses import Adversarial, Classification, Loss
from lstm_jax.train.metrics import compute_metrics
from lstm_jax.train.open_run import OpenRun, Request, open_run
from lstm_jax.train.processes import from_first, is_first
from lstm_jax.train.report import read_metrics
from lstm_jax.train.result import Outcome, Result
from lstm_jax.train.run_folder import RunFolder, finished_run

Subsets = Mapping[str, NDArray[np.bool_]]


def supervised(
    config: Config,
    corpus: Corpus,
    request: Request,
    *,
    init: Path | None = None,
    subsets: Subsets | None = None,
) -> Result:
    """Trains a classifier and measures it once on the test examples.

    Args:
        config: the run's settings.
        corpus: the texts; a part of `train` is set aside for validation.
        request: the run's folder, made here once data, split and model are known to work.
        init: the folder of a finished run, of `pretrain` or a classifier, whose tokenizer, n-grams,
            embeddings and LSTMs this one starts from; the text settings that made them must be the
            same.
        subsets: parts of the test examples, [N] true for those in it, that are measured too.

    Raises:
        ValueError: if the folder holds a run and `request.resume` is false, or the run in it has
            other settings or data, or another process trains in it; or if a setting would change
            nothing, or contradict that of `init`.
        FloatingPointError: if the loss is not finite.
    """
    source = finished_run(init)
    check_training(config, len(corpus.unlabelled))
    if source is not None:
        check_start(config.text, source)
    with open_run(config, inputs_of(config, corpus, source), request) as run:
        if run.result is not None:
            return run.result
        return train_classifier(run, corpus, source, subsets=subsets)


def train_classifier(
    run: OpenRun,
    corpus: Corpus,
    source: RunFolder | None,
    *,
    soft_labels: NDArray[np.float32] | None = None,
    subsets: Subsets | None = None,
) -> Result:
    """Trains and measures; the folder is claimed as soon as all that comes before is done.

    Args:
        run: an unfinished one.
        corpus: the texts.
        source: the run that this one starts from, if any.
        soft_labels: class probabilities [M, classes] of `corpus.unlabelled`, to be learnt.
        subsets: as for `supervised`.
    """
    config, console, shardings = run.config, run.console, run.shardings
    # What is read, and how.
    examples, validation = corpus.train, None
    if config.train.validation_fraction > 0:
        kept, held_out = split_validation(corpus.train.labels, *config.validation_part)
        examples, validation = corpus.train.take(kept), corpus.train.take(held_out)
    rows = _drawn(len(corpus.unlabelled), config)
    with doing(console, f"tokenizing {len(examples) + len(rows):,} texts"):
        # The vocabulary comes from the training part alone.
        tokenizer = make_tokenizer(run, source, examples.texts)
        ids = encode_once(tokenizer, examples.texts)
        ngrams = make_ngrams(run, source, ids, tokenizer)
        unlabelled_ids = encode_once(tokenizer, taken(corpus.unlabelled, rows))
    size, classes = tokenizer.vocabulary_size, len(corpus.class_names)
    # The LSTM is trained by itself; a linear model comes beside it afterwards.
    model = TextClassifier(replace(config.model, linear=False), size, classes, ngrams)
    data = Dataset(ids, examples.labels, example_weights(config, examples))
    if len(rows):
        soft = None if soft_labels is None else soft_labels[rows, -model.outputs :]
        data += Dataset(unlabelled_ids, soft_labels=soft)
    batches = training_batches(data, training_batching(config, shardings.devices), seed=config.seed)
    # What is minimised, and from where.
    loss: Loss = Classification(model, config.train.label_smoothing)
    if config.train.adversarial > 0:
        loss = Adversarial(loss, config.train.adversarial)
    evaluate = None if validation is None else evaluator(run, model, tokenizer, validation)
    if config.text.cooccurrence_window > 0:  # which makes vectors of the size that is checked
        check_fit(config, loss, batches, evaluate=evaluate)
    start = initial_parameters(run, source, (ids, corpus.unlabelled), tokenizer)
    steps = check_fit(config, loss, batches, evaluate=evaluate, start=start)
    with doing(console, "checking the texts"):
        parts = {"train": examples, "validation": validation, "test": corpus.test}
        warnings = before_training(config, corpus, parts, tokenizer, ids, steps)
    print_warnings(console, warnings)
    run.claim(
        tokenizer,
        ngrams,
        name=corpus.name,
        class_names=corpus.class_names,
        examples={name: len(part) for name, part in parts.items() if part},
    )
    # Training, and the one look at the test examples.
    fitted, combined = fit(run, loss, batches, evaluate=evaluate, start=start), None
    if config.model.linear:
        with doing(console, "fitting the linear model"):
            read, held_out = as_read(config, ids, examples), None
            if validation is not None:
                held_out = as_read(config, encode_once(tokenizer, validation.texts), validation)
            combined = with_linear(model, fitted, read, held_out, evaluate)
        model = combined.model
        fitted = replace(combined.fitted, params=from_first(combined.fitted.params))
    if validation is not None:
        later = after_training(fitted.validation, validation.labels)
        print_warnings(console, later)
        warnings += later
    temperature = fitted.validation.get("temperature")
    outcome = Outcome(
        corpus.name,
        fitted.steps,
        fitted.best_step,
        warnings,
        dict(fitted.validation),
        members=combined.members if combined else {},
    )
    scored = None
    if corpus.test is not None:
        with doing(console, f"measuring {len(corpus.test):,} test examples"):
            measure = evaluator(run, model, tokenizer, corpus.test)
            logits = measure.logits(fitted.params)
            outcome = measured(outcome, logits, corpus.test, temperature, subsets or {})
            linear = measure.logits(combined.linear) if combined else None
            scored = score(run, tokenizer, corpus, corpus.test, (logits, linear, temperature))
    elif validation is not None and evaluate is not None:
        logits = combined.validation_logits if combined else None
        logits = evaluate.logits(fitted.params) if logits is None else logits
        scored = score(run, tokenizer, corpus, validation, (logits, None, temperature))
    outcome = replace(outcome, summary=summarise(scored) + about_members(outcome.members))
    if scored is not None and is_first():
        write_report(run.folder.path, scored)
    return run.finish(fitted.params, outcome, temperature=temperature)


def score(
    run: OpenRun,
    tokenizer: WordTokenizer,
    corpus: Corpus,
    examples: Examples,
    measured: tuple[NDArray[np.floating], NDArray[np.floating] | None, float | None],
) -> Scored:
    """What the report of a run is about.

    Args:
        run, tokenizer, corpus: what was trained on what.
        examples: the test examples, or those of validation where there are none.
        measured: their logits, those of the linear model alone if there is one, and the temperature
            if one was fitted.
    """
    logits, linear, temperature = measured
    accuracy = None if linear is None else compute_metrics(linear, examples.labels).accuracy
    return Scored(
        examples.texts,
        examples.labels,
        logits / (temperature or 1.0),
        corpus.class_names,
        part="test texts" if examples is corpus.test else "validation texts",
        title=str(run.folder.path),
        lengths=np.array([len(each) for each in encode_once(tokenizer, examples.texts)]),
        linear_accuracy=accuracy,
        records=read_metrics(run.folder.metrics),
    )


def evaluator(
    run: OpenRun, model: TextClassifier, tokenizer: WordTokenizer, examples: Examples
) -> ClassifierEvaluator:
    """What measures a run's classifier on labelled examples."""
    data = Dataset(encode_once(tokenizer, examples.texts), examples.labels)
    batches = evaluation_batches(data, evaluation_batching(run.config, run.shardings.devices))
    return ClassifierEvaluator(model, batches, examples.labels, run.shardings)


def as_read(config: Config, ids: Sequence[NDArray[np.integer]], examples: Examples) -> Labelled:
    """Examples with their ids `[length]` each, cut as the model reads them."""
    cut = [config.text.padding.cut(each) for each in ids]
    return Labelled(cut, examples.labels, example_weights(config, examples))


def initial_parameters(
    run: OpenRun,
    source: RunFolder | None,
    texts: tuple[Sequence[NDArray[np.integer]], Sequence[str]],
    tokenizer: WordTokenizer,
) -> Params | None:
    """The parameters that a run does not start at random: another run's, or from co-occurrence.

    Args:
        run: what they are for.
        source: the run it starts from, if any.
        texts: those whose co-occurrences count: the ids of some, and others as they are.
        tokenizer: how the others are read.
    """
    if source is not None:
        return load_encoder(source.weights)
    if run.config.text.cooccurrence_window == 0:
        return None
    ids, unread = texts
    with doing(run.console, "counting co-occurrences"):
        sequences = [*ids, *encode_once(tokenizer, unread)]
        return cooccurrence_embeddings(run.config, sequences, tokenizer.vocabulary_size)


def measured(
    outcome: Outcome,
    logits: NDArray[np.float32],
    test: Examples,
    temperature: float | None,
    subsets: Subsets,
) -> Outcome:
    """The outcome with the metrics of the test examples.

    Args:
        outcome: of the training.
        logits: [N, C] of the test examples.
        test: the examples.
        temperature: that was fitted, if any.
        subsets: as for `supervised`.
    """
    metrics = compute_metrics(logits / (temperature or 1.0), test.labels)
    uncalibrated = compute_metrics(logits, test.labels).calibration_error
    found = {}
    for name, chosen in subsets.items():
        found[name] = {"examples": int(chosen.sum())}
        if chosen.any():
            found[name]["accuracy"] = compute_metrics(logits[chosen], test.labels[chosen]).accuracy
    return replace(
        outcome,
        test={**metrics.as_dict(), "calibration_error_unscaled": uncalibrated},
        confusion=metrics.confusion,
        subsets=found,
    )


def example_weights(config: Config, examples: Examples) -> NDArray[np.floating]:
    """The weight of each example in the loss; "balanced" makes the classes count alike."""
    labels = examples.labels
    weights = np.ones(len(labels)) if examples.weights is None else examples.weights
    if config.train.class_weights == "equal":
        return weights
    counts = np.bincount(labels)
    return weights * len(labels) / ((counts > 0).sum() * counts[labels])


def _drawn(texts: int, config: Config) -> NDArray[np.integer]:
    """Row numbers of as many of the texts as the configuration asks for, drawn by its seed."""
    return np.random.default_rng(config.seed).permutation(texts)[: config.train.unlabelled]
