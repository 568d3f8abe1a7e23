"""Makes a run smaller: a new folder of at most so many bytes that is opened as any other.

What is given up, in this order, until the folder is small enough: the precision of the weights,
dimensions of the vectors of n-grams, n-grams, and the rarest words. On 1,250 held-out IMDB reviews
(preset `bilstm`) the first two changed 5 answers while the vectors of n-grams took less than a
tenth of the room of whole bytes; leaving out half of the n-grams changed 18.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from lstm_jax.data import Examples
from lstm_jax.files import new_folder, sha256, write_json, write_text
from lstm_jax.predictor import Predictor
from lstm_jax.shapes import Params
from lstm_jax.text import NGrams, WordTokenizer
from lstm_jax.train.checkpoints import save_weights
from lstm_jax.train.inputs import checksum_of, checksum_of_arrays
from lstm_jax.train.metrics import Metrics, compute_metrics, probabilities
from lstm_jax.train.quantized import Precision, Quantization, restore_weights, round_weights
from lstm_jax.train.result import Outcome
from lstm_jax.train.run_folder import RunFolder

# From the finest to the coarsest.
PRECISIONS = (
    Precision(),
    Precision(31, 31),
    Precision(15, 15),
    Precision(15, 15, ngram_rank=32),
    Precision(15, 15, ngram_rank=16),
    Precision(15, 15, 63, ngram_rank=8),
    Precision(15, 15, 63, ngram_rank=4),
    Precision(7, 15, 63, ngram_rank=4),
)
FEWEST_WORDS = 16  # one in so many stays at least: with fewer it is another model
# Bytes that are left free: for metrics, which are written last, and because Orbax divides the same
# arrays into files in more than one way.
MARGIN = 16_000
TRIES = 12  # at how many n-grams, or words, are right: enough for one in four thousand


@dataclass(frozen=True)
class Plan:
    """What is kept of a run.

    Attributes:
        precision: of its weights.
        ngrams: how many n-grams have a vector.
        vocabulary: how many token ids there are.
    """

    precision: Precision
    ngrams: int
    vocabulary: int


@dataclass(frozen=True)
class Smaller:
    """A run made smaller, not yet written.

    Attributes:
        plan: what was kept.
        tokenizer, ngrams: how it reads texts.
        stored: its parameters as they are stored.
        params: the same as they are computed with.
    """

    plan: Plan
    tokenizer: WordTokenizer
    ngrams: NGrams | None
    stored: Params
    params: Params


@dataclass(frozen=True)
class Measured:
    """What became of labelled texts: metrics before and after, and how many answers changed."""

    before: Metrics
    after: Metrics
    changed: int


@dataclass(frozen=True)
class Quantized:
    """What came out.

    Attributes:
        plan: what was kept.
        sizes: bytes of what a prediction needs, by file or folder: of the run, and of the new one.
        measured: on labelled texts, if there were some.
    """

    plan: Plan
    sizes: tuple[dict[str, int], dict[str, int]]
    measured: Measured | None


def quantize(
    run: Predictor, out: Path, max_bytes: int, *, command: str, examples: Examples | None = None
) -> Quantized:
    """Writes a smaller run.

    Args:
        run: a trained run, opened by `lstm_jax.load`.
        out: the new folder.
        max_bytes: that all of its files may have together.
        command: what the user typed, for the record.
        examples: labelled texts on which both are measured.

    Returns:
        What was kept, sizes and measurements.

    Raises:
        ValueError: if there is something in `out`, the run is quantised already, or no folder of
            this run can be as small; it says how small one can be.
    """
    source = RunFolder(run.path)
    source.refuse_quantized("run")
    with new_folder(out) as partial:
        folder = RunFolder(partial)

        def fits(plan: Plan) -> bool:
            _write(run, folder, make_smaller(run, plan), command)
            return _total(folder) + MARGIN <= max_bytes

        plan = _largest(run, fits)
        if plan is None:
            least = math.ceil((_total(folder) + 2 * MARGIN) / 1e4) / 100
            raise ValueError(
                f"max_mb must be at least {least} for this run, got {max_bytes / 1e6:g}"
            )
        smaller = make_smaller(run, plan)
        measured = None if examples is None else _measure(run, smaller, examples)
        for _ in range(TRIES):  # the same arrays may take more room than when it was tried
            _write(run, folder, smaller, command, measured)
            if _total(folder) <= max_bytes:
                break
        else:
            raise ValueError(f"max_mb must be larger than {max_bytes / 1e6:g} for this run")
        return Quantized(plan, (_sizes(source), _sizes(folder)), measured)


def _largest(run: Predictor, fits: Callable[[Plan], bool]) -> Plan | None:
    """The first plan that fits; None if none does, and the smallest has then been tried last."""
    for plans in _stages(run):
        low, high = 0, len(plans) - 1
        if not fits(plans[high]):
            continue
        while low < high:  # the first that fits is from low to high
            middle = (low + high) // 2
            low, high = (low, middle) if fits(plans[middle]) else (middle + 1, high)
        return plans[low]
    return None


def _stages(run: Predictor) -> Iterator[list[Plan]]:
    """Plans from the largest to the smallest: precisions, then fewer n-grams, then fewer words."""
    ngrams, words = _ngrams(run), run.tokenizer.vocabulary_size
    yield [Plan(precision, ngrams, words) for precision in PRECISIONS]
    coarsest = PRECISIONS[-1]
    if ngrams:
        yield [Plan(coarsest, int(count), words) for count in _fewer(ngrams, 0)]
    if run.tokenizer.preset != "bpe":
        fewest = max(4, words // FEWEST_WORDS)
        yield [Plan(coarsest, 0, int(count)) for count in _fewer(words, fewest)]


def _fewer(most: int, least: int) -> NDArray[np.int64]:
    """Numbers from the one to the other, evenly spaced."""
    return np.unique(np.linspace(most, least, 2**TRIES).astype(np.int64))[::-1]


def make_smaller(run: Predictor, plan: Plan) -> Smaller:
    """The run with what a plan keeps of it.

    Args:
        run: a trained run.
        plan: of no more n-grams and words than it has.
    """
    params: dict[str, Any] = dict(jax.device_get(run.params))
    tokenizer, ngrams = run.tokenizer, run.model.ngrams
    words = slice(plan.vocabulary)
    if plan.vocabulary < tokenizer.vocabulary_size:
        tokenizer = tokenizer.most_frequent(plan.vocabulary)
    rows: list[Any] = [words]
    if ngrams is not None and (
        plan.ngrams < _ngrams(run) or plan.vocabulary < ngrams.vocabulary_size
    ):
        kept = _most_used(params, ngrams, plan.ngrams)
        ngrams, places = ngrams.pruned(kept, plan.vocabulary)
        rows += places
        ngrams = ngrams if places else None
    elif ngrams is not None:
        rows += [slice(None)] * len(ngrams.keys)
    names = ["table", *(f"ngrams_of_{length}" for length in range(2, len(rows) + 1))]
    embedding = params["embedding"]
    params["embedding"] = {
        name: embedding[name][part] for name, part in zip(names, rows, strict=True)
    }
    if "linear" in params:
        params["linear"] = _linear_rows(params["linear"], rows)
    stored = round_weights(params, plan.precision)
    return Smaller(plan, tokenizer, ngrams, stored, restore_weights(stored, params))


def _linear_rows(linear: Params, rows: list[Any]) -> Params:
    """The linear model of the words and n-grams that stay.

    A text's logits are divided by a length in which every n-gram counts, so those that go would
    make all others count for more. What goes is on average this share of the length: `squares` are
    idf², from which follows in how many texts an n-gram is.
    """
    kept, total = 0.0, 0.0
    found: dict[str, Any] = {"bias": linear["bias"]}
    for length in range(1, len([name for name in linear if name.startswith("squares")]) + 1):
        squares = np.asarray(linear[f"squares_of_{length}"], np.float64)
        frequencies = np.where(squares > 0, np.exp(-np.sqrt(squares)), 0)
        part = frequencies * squares
        total += part.sum()
        if length <= len(rows):
            kept += part[rows[length - 1]].sum()
            for name in ("weights", "squares"):
                name = f"{name}_of_{length}"
                found[name] = linear[name][rows[length - 1]]
    share = np.float32(np.sqrt(kept / total)) if total > 0 else np.float32(1)
    return {
        name: array * share if name.startswith("weights") else array
        for name, array in found.items()
    }


def _most_used(params: Params, ngrams: NGrams, count: int) -> list[NDArray[np.bool_]]:
    """Which n-grams to keep: those with the longest vectors, and the largest linear weights."""
    scores = []
    for length in range(2, len(ngrams.keys) + 2):
        vectors = np.asarray(params["embedding"][f"ngrams_of_{length}"])
        score = np.linalg.norm(vectors, axis=1)
        score /= score.mean() or 1
        if "linear" in params:
            weights = np.abs(np.asarray(params["linear"][f"weights_of_{length}"])).max(axis=1)
            score = score + weights / (weights.mean() or 1)
        scores.append(score)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    kept = np.zeros(len(order), bool)
    kept[order[:count]] = True
    return np.split(kept, np.cumsum([len(score) for score in scores])[:-1])


def _ngrams(run: Predictor) -> int:
    return 0 if run.model.ngrams is None else sum(map(len, run.model.ngrams.keys))


def _write(
    run: Predictor,
    folder: RunFolder,
    smaller: Smaller,
    command: str,
    measured: Measured | None = None,
) -> None:
    """Writes the files of a run, in the place of those that are there."""
    source = RunFolder(run.path)
    write_text(folder.tokenizer, smaller.tokenizer.to_json())
    folder.ngrams.unlink(missing_ok=True)
    if smaller.ngrams is not None:
        smaller.ngrams.save(folder.ngrams)
    write_text(folder.config, source.config.read_text(encoding="utf-8"))
    texts = [file for file in (folder.tokenizer, folder.ngrams) if file.exists()]
    checksums = {file.name: sha256(file) for file in texts}
    data = {**asdict(source.load_data()), "checksums": checksums}
    folder.write_data({**data, "configs": [sha256(folder.config)]})
    if source.calibration.exists():
        write_json(folder.calibration, {"temperature": run.temperature})
    result, plan = source.load_result(), smaller.plan
    now = 0 if smaller.ngrams is None else sum(map(len, smaller.ngrams.keys))
    quantization = Quantization(
        source=result.fingerprint,
        command=command,
        precision=plan.precision,
        ngrams=(_ngrams(run), now),
        vocabulary=(run.tokenizer.vocabulary_size, plan.vocabulary),
    )
    write_json(folder.quantized, asdict(quantization))
    save_weights(folder.weights, smaller.stored)
    outcome = Outcome(
        data=result.outcome.data,
        steps=result.outcome.steps,
        best_step=result.outcome.best_step,
        test={} if measured is None else {**measured.after.as_dict()},
        objective=result.outcome.objective,
    )
    arrays = checksum_of_arrays(smaller.params)
    made = replace(
        result,
        outcome=outcome,
        parameters=sum(array.size for array in jax.tree.leaves(smaller.params)),
        fingerprint=checksum_of([arrays, str(run.temperature), *checksums.values()]),
    )
    folder.write_result(made)


def _measure(run: Predictor, smaller: Smaller, examples: Examples) -> Measured:
    """Both runs on the same texts."""
    small = Predictor(
        run.path,
        run.config,
        run.class_names,
        smaller.tokenizer,
        smaller.params,
        run.temperature,
        smaller.ngrams,
    )
    logits = [each.logits(examples.texts) for each in (run, small)]
    answers = [probabilities(each).argmax(axis=1) for each in logits]
    before, after = (compute_metrics(each, examples.labels) for each in logits)
    return Measured(before, after, int((answers[0] != answers[1]).sum()))


def _total(folder: RunFolder) -> int:
    return sum(_sizes(folder).values())


def _sizes(folder: RunFolder) -> dict[str, int]:
    """Bytes of what a prediction needs, by file; `weights/` is one."""
    sizes: dict[str, int] = {}
    for file in folder.predicted_from():
        name = file.relative_to(folder.path).parts[0]
        sizes[name] = sizes.get(name, 0) + file.stat().st_size
    return sizes
