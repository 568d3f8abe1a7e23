"""What a server does with texts: predicts and explains them, each on a thread of its own."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_jax.explain.explanation import explain
from lstm_jax.predictor import Predictor
from lstm_jax.serve.batching import Batcher, Collecting
from lstm_jax.serve.compilations import compilations
from lstm_jax.serve.metrics import Metrics
from lstm_jax.serve.reading import ToExplain
from lstm_jax.serve.refused import Refused
from lstm_jax.serve.scoring import Scorer
from lstm_jax.serve.settings import Limits

# Explanations that wait or are computed. One takes as long as many predictions, and the first of
# its kind is compiled.
_EXPLANATIONS = 16


class Service:
    """A run that answers.

    JAX never runs on the thread of the event loop. An explanation has another thread than
    predictions: what it has to compile holds no prediction up.

    Attributes:
        run: what predicts.
        limits: of what clients may ask.
        metrics: what was done so far.
        closing: whether connections are to be closed once they are answered.
        failure: why it will never be ready, or None.
        answered: requests that got an answer, whatever it was.
    """

    def __init__(self, run: Predictor, limits: Limits) -> None:
        """Computes nothing yet."""
        self.run, self.limits = run, limits
        self.closing = False
        self.failure: Exception | None = None
        self.answered = 0
        self.metrics = Metrics(
            lambda: self._batcher.texts, lambda: self._explanations, compilations
        )
        self._scorer = Scorer(run, limits.batch_size)
        self._predicting = ThreadPoolExecutor(1, "predict")
        self._explaining = ThreadPoolExecutor(1, "explain")
        self._batcher = Batcher(
            self._scorer,
            Collecting(limits.batch_size, limits.wait_ms / 1000, limits.queue),
            self._predicting,
            batches=self.metrics.batches,
            seconds=self.metrics.computing,
        )
        self._explanations = 0
        self._warm = 0
        self._warming: asyncio.Task[None] | None = None

    @property
    def progress(self) -> tuple[int, int]:
        """The programs that are compiled, and those that will be before it is ready."""
        return self._warm, len(self._scorer.shapes)

    @property
    def ready(self) -> bool:
        """Whether any texts can be predicted without compiling."""
        return self._warm == len(self._scorer.shapes)

    def begin(self) -> None:
        """Sees to it that all programs get compiled; what is asked meanwhile comes between."""
        stopped = self._warming is None or self._warming.done()
        if stopped and not self.ready and self.failure is None:
            self._warming = asyncio.create_task(self._warm_up())

    async def _warm_up(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self.ready or self.closing):
            shape = self._scorer.shapes[self._warm]
            try:
                await loop.run_in_executor(self._predicting, self._scorer.warm, *shape)
            except Exception as error:
                self.failure = error
                return
            self._warm += 1

    async def predict(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The probabilities [N, classes] of N texts.

        Raises:
            Refused: if too many texts wait.
        """
        if not texts:
            return np.zeros((0, len(self.run.class_names)))
        found = await self._batcher.submit(texts)
        self.metrics.texts.add(len(texts))
        return found

    async def explain(self, asked: ToExplain) -> dict[str, Any]:
        """What each word of a text counts, as `lstm-jax explain --json` prints it.

        Raises:
            Refused: if too many wait, or the method cannot be had for this model.
        """
        if self._explanations >= _EXPLANATIONS:
            reason = f"too many explanations are waiting, {self._explanations}; try again later"
            raise Refused(503, reason, self._explanations / 10)
        self._explanations += 1
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._explaining, self._explained, asked)
        finally:
            self._explanations -= 1

    def _explained(self, asked: ToExplain) -> dict[str, Any]:
        try:
            found = explain(
                self.run, [asked.text], method=asked.method, class_name=asked.class_name
            )
        except ValueError as error:
            raise Refused(400, str(error)) from None
        return {**found[0].as_dict(), "phrases": {}}

    def close(self) -> None:
        """From now on, each connection is closed once it is answered."""
        self.closing = True

    def end(self) -> None:
        """Lets go of the threads; what they compute is ended first."""
        self.close()
        for thread in (self._predicting, self._explaining):
            thread.shutdown(wait=False, cancel_futures=True)
