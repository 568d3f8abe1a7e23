"""A trained classifier, opened from the folder of its run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lstm_jax.data import Batching, Dataset, Examples, evaluation_batches
from lstm_jax.data.buckets import few_widths, power_of_two
from lstm_jax.machine import refuse_after_fork
from lstm_jax.models.classifier import TextClassifier
from lstm_jax.shapes import Params
from lstm_jax.text import NGrams, WordTokenizer
from lstm_jax.train.config import Config
from lstm_jax.train.metrics import Metrics, compute_metrics, probabilities
from lstm_jax.train.prediction import predict_logits
from lstm_jax.train.quantized import weights_of
from lstm_jax.train.run_folder import RunFolder
from lstm_jax.train.step import all_devices

if TYPE_CHECKING:
    from lstm_jax.explain.explanation import Explanation
    from lstm_jax.explain.names import Method


class Prediction(NamedTuple):
    """What a classifier predicts for one text."""

    text: str
    label: str  # the likeliest class
    probability: float  # of that class
    probabilities: dict[str, float]  # of every class


class Predictor:
    """A trained classifier with its tokenizer; made by `load`.

    Attributes:
        path: the folder it came from.
        config: the settings it was trained with.
        class_names: the name of each class.
        tokenizer: how a text becomes ids.
        model, params: the Flax module, and its parameters on all devices.
        temperature: what logits are divided by, so that probabilities mean what they say.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        class_names: Sequence[str],
        tokenizer: WordTokenizer,
        params: Params | None = None,
        temperature: float = 1.0,
        ngrams: NGrams | None = None,
    ) -> None:
        """Puts the parts together; without `params` they are read from the folder."""
        refuse_after_fork()
        self.path, self.config, self.tokenizer = path, config, tokenizer
        self.class_names, self.temperature = tuple(class_names), temperature
        size, classes = tokenizer.vocabulary_size, len(self.class_names)
        self.model = TextClassifier(config.model, size, classes, ngrams)
        self._shardings = all_devices()
        if params is None:
            params = weights_of(RunFolder(path), self._init)
        self.params = jax.device_put(params, self._shardings.replicated)

    def _init(self) -> Params:
        tokens, lengths = jnp.zeros((1, 1), jnp.int32), jnp.ones(1, jnp.int32)
        return self.model.init(jax.random.key(0), tokens, lengths)["params"]

    def logits(self, texts: Iterable[str], *, batch_size: int = 128) -> NDArray[np.float32]:
        """The logits [N, C] of N texts, divided by the temperature; C = 1 for two classes."""
        refuse_after_fork()
        _check_batch_size(batch_size)
        ids = self.tokenizer.encode_batch(list(_iterated(texts)))
        return self.logits_of_ids(ids, batch_size=batch_size)

    def logits_of_ids(
        self,
        ids: Sequence[NDArray[np.integer]],
        *,
        batch_size: int = 128,
        width: int | None = None,
    ) -> NDArray[np.float32]:
        """`logits` of texts that are token ids already, [length] each.

        Args:
            ids: N texts.
            batch_size: texts computed at a time.
            width: if given, every batch has `batch_size` rows and is so wide, which is at least as
                wide as the longest text; by default few shapes are found for them.
        """
        if not ids:
            return np.zeros((0, self.model.outputs), np.float32)
        data = Dataset(ids)
        batching = Batching(
            batch_size=batch_size if width else min(batch_size, power_of_two(len(ids))),
            padding=self.config.text.padding,
            buckets=(width,) if width else _bucket_widths(self.config.text.max_length),
            row_multiple=self._shardings.devices,
        )
        batches = evaluation_batches(data, batching)
        logits = predict_logits(self.model, self.params, batches, self._shardings)
        return logits / np.float32(self.temperature)

    def predict(self, texts: Iterable[str], *, batch_size: int = 128) -> NDArray[np.str_]:
        """The name [N] of each text's likeliest class; arguments as of `predict_proba`."""
        likeliest = self.predict_proba(texts, batch_size=batch_size).argmax(axis=1)
        return np.array(self.class_names)[likeliest]

    def predict_proba(self, texts: Iterable[str], *, batch_size: int = 128) -> NDArray[np.float64]:
        """The probability of each class for each text.

        Args:
            texts: N strings, in a list, an array, a column of a data frame, or whatever gives one
                after the other; an empty one is allowed.
            batch_size: texts computed at a time.

        Returns:
            [N, classes], rows that sum to one, classes in the order of `class_names`.

        Raises:
            ValueError: if `texts` is a single string or a table, or something in it is not a
                string; if `batch_size` is below 1.
        """
        return probabilities(self.logits(texts, batch_size=batch_size))

    def stream(self, texts: Iterable[str], *, batch_size: int = 128) -> Iterator[Prediction]:
        """Predicts texts as they come, a batch at a time; the input may be endless.

        Args:
            texts: any iterable of strings.
            batch_size: how many are read before the first prediction comes out.

        Returns:
            A prediction for each text, in order. If `texts` raises an error, those of the texts
            before it come first, then the error.

        Raises:
            ValueError: if `batch_size` is below 1, before a text is read; and as `predict_proba`.
        """
        _check_batch_size(batch_size)
        return self._stream(_iterated(texts), batch_size)

    def _stream(self, remaining: Iterator[str], batch_size: int) -> Iterator[Prediction]:
        failure = None
        while failure is None:
            batch: list[str] = []
            try:
                for text in islice(remaining, batch_size):
                    batch.append(text)  # one by one: keeps what came before an error
            except Exception as error:
                failure = error
            if not batch:
                break
            probabilities = self.predict_proba(batch, batch_size=batch_size)
            for text, row in zip(batch, probabilities, strict=True):
                by_class = dict(zip(self.class_names, map(float, row), strict=True))
                label = max(by_class, key=by_class.__getitem__)
                yield Prediction(text, label, by_class[label], by_class)
        if failure is not None:
            raise failure

    def explain(
        self, text: str, *, method: "Method | None" = None, class_name: str | None = None
    ) -> "Explanation":
        """Says what each word of a text counts for a class; a notebook shows it in colours.

        Args:
            text: one text; `lstm_jax.explain.explanation.explain` takes many.
            method: one of `lstm_jax.explain.names.METHODS`; the most faithful one by default.
            class_name: the class; the likeliest one by default.

        Returns:
            The `lstm_jax.explain.explanation.Explanation`.

        Raises:
            ValueError: if there is no such class or method.
        """
        from lstm_jax.explain.explanation import explain  # what only explanations need

        return explain(self, [text], method=method, class_name=class_name)[0]

    def evaluate(self, examples: Examples) -> Metrics:
        """All metrics on labelled examples, whose labels index `class_names`."""
        return compute_metrics(self.logits(examples.texts), examples.labels)


def load(path: str | Path) -> Predictor:
    """Opens a finished run.

    Args:
        path: the folder that a training made.

    Returns:
        The run, ready to predict.

    Raises:
        ValueError: if there is no run in the folder, it is not finished, or one of its files is
            missing or not as the run left it; naming the file.
    """
    folder = RunFolder(Path(path))
    if not folder.config.exists():
        raise ValueError(f"run must be a folder with a trained run in it; {path} has none")
    config = Config.load(folder.config)
    if not folder.result.exists():
        raise ValueError(f"run {path} is not finished; go on with --resume first")
    folder.load_result()
    class_names = folder.load_data().class_names
    if not class_names:
        raise ValueError(f"run {path} is of pretrain and has no classes; give it to train --init")
    tokenizer, ngrams = folder.load_tokenizer(), folder.load_ngrams()
    temperature = folder.temperature()
    return Predictor(
        folder.path, config, class_names, tokenizer, temperature=temperature, ngrams=ngrams
    )


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _iterated(texts: Iterable[str]) -> Iterator[str]:
    """What gives the texts one after the other.

    Raises:
        ValueError: if iterating would give something else: the letters of a string, the names of
            a table's columns, the keys of a dictionary.
    """
    if isinstance(texts, str | bytes):
        raise ValueError("texts must be a list of strings, got a single string")
    dimensions = getattr(texts, "ndim", 1)  # of NumPy's arrays, and of pandas without importing it
    if dimensions != 1:
        raise ValueError(f"texts must have one dimension, got {dimensions}")
    if isinstance(texts, Mapping) or not isinstance(texts, Iterable):
        raise ValueError(f"texts must be a list of strings, got {type(texts).__name__}")
    return iter(texts)


def _bucket_widths(max_length: int) -> tuple[int, ...]:
    """Few widths up to the longest."""
    return (*takewhile(lambda width: width < max_length, few_widths()), max_length)
