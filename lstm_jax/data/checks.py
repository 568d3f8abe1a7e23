"""What is likely a mistake in a data set, or makes its results less than they seem: a line each.

Nothing here stops a run. Each check gives the lines that a person needs before trusting what comes
out, with what to do; a sound data set gives none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lstm_jax.data.corpus import Corpus, Examples
from lstm_jax.data.description import Description, near_in_test
from lstm_jax.data.duplicates import keys_of, normalised, text_at, with_two_labels
from lstm_jax.text.tokenizer import START, UNKNOWN, WordTokenizer

# With fewer examples than this a share is known to no better than ten points either way.
FEW = 100
# From which share on something is said. Of the 25,000 test reviews of IMDB 0.5 % are training
# reviews too, of a validation part of 1,250 up to 1.2 %. At 400 words, 18 % of its reviews are cut,
# by 15 % of all words; of the words of its test reviews 6 % are unknown with a vocabulary of 8,000.
_REPEATED_IN_TEST = _CONTRADICTING = 0.001
_REPEATED_IN_VALIDATION = 0.02
_CUT_TEXTS, _CUT_WORDS = 0.25, 0.2
_UNKNOWN = 0.5
_REPEATED_IN_TRAINING = 0.02
_NEAR_IN_TEST = 0.005
# Before a training, near duplicates are looked for among so many characters at most.
_NEAR_CHARACTERS = 5_000_000
_LARGEST_CLASS = 0.9
# Unknown words are counted in about so many texts of a part.
_SAMPLE = 1000


def check_split(
    corpus: Corpus, train: Examples, validation: Examples | None, fraction: float
) -> list[str]:
    """Says which classes and parts are too small to be measured.

    Args:
        corpus: all examples.
        train, validation: what `corpus.train` was split into.
        fraction: the share that was to be set aside.
    """
    names, warnings = corpus.class_names, []
    counts = np.bincount(corpus.train.labels, minlength=len(names))
    if missing := np.flatnonzero(counts == 0).tolist():
        warnings.append(
            f"the training data has no example of {_listed(names, missing)}: the model cannot learn"
            " to predict it"
        )
    if validation is not None:
        if single := np.flatnonzero(counts == 1).tolist():
            warnings.append(
                f"the training data has one example of {_listed(names, single)}: it is trained on"
                " and not validated; add examples"
            )
        total, aside = len(corpus.train), len(validation)
        if aside > 1.5 * fraction * total:
            warnings.append(
                f"the validation part is {aside / total:.0%} of the examples and not"
                f" {fraction:.0%}, because each class with two examples or more has one in it"
            )
        warnings += _few(aside, "validation part", "raise --train.validation-fraction or add data")
    if corpus.test is not None:
        tested = np.bincount(corpus.test.labels, minlength=len(names))
        if missing := np.flatnonzero((tested == 0) & (counts > 0)).tolist():
            warnings.append(
                f"the test data has no example of {_listed(names, missing)}: nothing is measured of"
                " it"
            )
        warnings += _few(len(corpus.test), "test data", "add test examples")
    return warnings


def check_repeats(corpus: Corpus, train: Examples, validation: Examples | None) -> list[str]:
    """Says which texts stand in two parts, or with two labels.

    Texts count as the same if they are but for capitals and white space.

    Args:
        corpus: all examples.
        train, validation: what `corpus.train` was split into.
    """
    warnings = []
    parts = {"train": train, "validation": validation, "test": corpus.test}
    there = {name: part for name, part in parts.items() if part}
    keys = {name: keys_of(part.texts) for name, part in there.items()}
    if validation:
        again = int(np.isin(keys["validation"], keys["train"]).sum())
        if again >= _REPEATED_IN_VALIDATION * len(validation):
            warnings += _repeated(again, len(validation), "validation", "remove repeated rows")
    if corpus.test:
        known = [keys[name] for name in keys if name != "test"]
        again = int(np.isin(keys["test"], np.concatenate(known)).sum())
        if again >= _REPEATED_IN_TEST * len(corpus.test):
            warnings += _repeated(again, len(corpus.test), "test", "remove them from either")
    all_keys = np.concatenate(list(keys.values()))
    both = with_two_labels(all_keys, np.concatenate([part.labels for part in there.values()]))
    if both and len(both) >= _CONTRADICTING * len(np.unique(all_keys)):
        row, labels = both[0]
        text = normalised(text_at([part.texts for part in there.values()], row))
        shown = text if len(text) <= 40 else f"{text[:37]}..."
        given = " and ".join(repr(corpus.class_names[label]) for label in labels)
        have = "has" if len(both) == 1 else "have"
        warnings.append(
            f"{_count(len(both), 'text')} of the data {have} more than one label, such as"
            f" {shown!r} with {given}: correct the labels"
        )
    return warnings


def check_description(description: Description) -> list[str]:
    """Says what of a corpus's description is likely a mistake, or asks for another setting.

    Args:
        description: of all examples.
    """
    found, warnings = description, []
    total, repeats = sum(found.training), found.repeats
    for part, empty in (("training", found.empty), ("test", found.empty_test)):
        if empty:
            warnings.append(
                f"{_count(empty, f'{part} text')} {'is' if empty == 1 else 'are'} empty: remove the"
                " rows, or look whether the text is in another column"
            )
    if repeats.training and repeats.training >= _REPEATED_IN_TRAINING * total:
        warnings.append(
            f"{repeats.training:,} of {total:,} training texts ({repeats.training / total:.1%})"
            " repeat another one: remove them, unless they are to count more often"
        )
    largest = max(range(len(found.training)), key=lambda label: found.training[label])
    if len(found.training) > 1 and found.training[largest] >= _LARGEST_CLASS * total:
        warnings.append(
            f"{found.training[largest] / total:.0%} of the training examples are"
            f" {found.class_names[largest]!r}, so that always to say so is as often right: look at"
            " macro F1, and try --train.class-weights balanced"
        )
    suits = found.choice.tokenizer
    if suits != "punctuation" and found.tokenizer not in (suits, "characters"):
        warnings.append(f"{found.choice.reason}: set --text.tokenizer {suits}")
    return warnings


def check_near(near: int | None, compared: int) -> list[str]:
    """Says if many test texts are nearly training texts.

    Args:
        near: how many are; None where nobody looked.
        compared: of how many.
    """
    if not near or near < _NEAR_IN_TEST * compared:
        return []
    return [
        f"{near:,} of {compared:,} test texts ({near / compared:.1%}) are nearly the same as"
        " training texts, which raises the test accuracy: remove them from either"
    ]


def find_near(corpus: Corpus) -> tuple[int | None, int]:
    """What `check_near` asks for, where it is found in about two seconds.

    Args:
        corpus: all examples.
    """
    if corpus.test is None:
        return None, 0
    texts = chain(corpus.train.texts, corpus.test.texts)
    if sum(map(len, texts)) > _NEAR_CHARACTERS:
        return None, 0
    same = np.isin(keys_of(corpus.test.texts), keys_of(corpus.train.texts))
    return near_in_test(corpus, same)


def check_words(tokenizer: WordTokenizer, parts: Mapping[str, Sequence[str]]) -> list[str]:
    """Says of which parts most words are not in the vocabulary.

    Args:
        tokenizer: made from the training texts.
        parts: texts that it was not made from, by what they are called.
    """
    warnings = []
    for name, texts in parts.items():
        sample = list(texts[:: -(-len(texts) // _SAMPLE)]) if texts else []
        words = [ids[ids != START] for ids in tokenizer.encode_batch(sample)]
        if (count := sum(map(len, words))) == 0:
            continue
        share = sum(int((ids == UNKNOWN).sum()) for ids in words) / count
        if share >= _UNKNOWN:
            warnings.append(
                f"{share:.0%} of the words of the {name} texts are not in the vocabulary: add"
                " training texts, raise --text.vocabulary-size, or, if words have no spaces between"
                " them, set --text.tokenizer bpe"
            )
    return warnings


def check_lengths(ids: Sequence[NDArray[np.integer]], max_length: int, truncate: str) -> list[str]:
    """Says how much of the training texts is cut off, if it is much.

    Args:
        ids: those of each text, `[length]`.
        max_length: of a row.
        truncate: where longer texts are cut, as `Padding` has it.
    """
    lengths = np.array([len(each) for each in ids])
    texts = float((lengths > max_length).mean())
    words = float(np.maximum(lengths - max_length, 0).sum() / lengths.sum())
    if texts < _CUT_TEXTS and words < _CUT_WORDS:
        return []
    where = {"front": "their beginnings", "back": "their ends", "middle": "their middles"}[truncate]
    return [
        f"{texts:.0%} of the training texts are longer than --text.max-length {max_length} and lose"
        f" {where}, {words:.0%} of all words: raise it, or choose another --text.truncate"
    ]


def check_schedule(warmup_steps: int, steps: int) -> list[str]:
    """Says if a run is over before its learning rate has risen.

    Args:
        warmup_steps: over which it rises.
        steps: of the whole run.
    """
    if warmup_steps < steps or warmup_steps == 0:
        return []
    return [
        f"the learning rate rises over all of the run's {_count(steps, 'step')}: lower"
        f" --optimizer.warmup-steps, which is {warmup_steps}, or raise --train.epochs"
    ]


def check_predictions(predicted: int, there: int) -> list[str]:
    """Says if a trained model predicts the same class of every validation example.

    Args:
        predicted: how many classes it predicts.
        there: how many the examples are of.
    """
    if predicted > 1 or there < 2:
        return []
    return [
        "the model predicts one class for all validation examples, so it has learnt nothing of the"
        " texts: raise --train.epochs or --optimizer.learning-rate, or set --train.class-weights"
        " balanced"
    ]


def interval(count: int) -> float:
    """How far a share of so many examples may be from the true one, in 95 of 100 cases.

    Args:
        count: of examples; 0 or more.

    Returns:
        In (0, 0.5]: half the width of Wilson's interval for a share of one half, its widest.

    Source: Wilson (1927), "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    z = 1.96
    return z / (2 * math.sqrt(count + z * z))


def _few(count: int, what: str, advice: str) -> list[str]:
    if count >= FEW:
        return []
    return [
        f"the {what} has {_count(count, 'example')}, so its accuracy is uncertain by up to"
        f" ±{100 * interval(count):.0f} points: {advice}"
    ]


def _repeated(again: int, total: int, part: str, advice: str) -> list[str]:
    if again == 0:
        return []
    if again == total:
        return [
            f"all {total:,} {part} texts are training texts too, so the {part} accuracy says"
            f" nothing of new texts: {advice}"
        ]
    return [
        f"{again:,} of {total:,} {part} texts ({again / total:.1%}) are training texts too, which"
        f" raises the {part} accuracy: {advice}"
    ]


def _listed(names: Sequence[str], which: Sequence[int]) -> str:
    """The first three names, and how many there are beyond them."""
    shown = ", ".join(repr(names[place]) for place in which[:3])
    return shown if len(which) <= 3 else f"{shown} and {len(which) - 3} more classes"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
