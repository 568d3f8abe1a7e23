"""Requests that come at the same time are computed together, on a thread of their own."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_jax.serve.metrics import Counter, Histogram
from lstm_jax.serve.refused import Refused

Score = Callable[[Sequence[str]], NDArray[np.float64]]


@dataclass(frozen=True)
class Collecting:
    """How texts are collected.

    Attributes:
        batch_size: texts that are waited for.
        seconds: how long they are waited for.
        most: texts that may wait or be computed.
    """

    batch_size: int
    seconds: float
    most: int


class _Job:
    """The texts of a request, and what becomes of them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.answer: asyncio.Future[NDArray[np.float64]] = asyncio.Future()


class Batcher:
    """Collects the texts of requests, and predicts those of several at once.

    While one batch is computed the next one gathers by itself. So texts are only waited for where
    several clients ask: one that is alone is never held up.
    """

    def __init__(
        self,
        score: Score,
        collecting: Collecting,
        thread: ThreadPoolExecutor,
        *,
        batches: Histogram,
        seconds: Counter,
    ) -> None:
        """`score` runs on `thread`; batches and the time they take are counted."""
        self._score, self._collecting, self._thread = score, collecting, thread
        self._batches, self._seconds = batches, seconds
        self._waiting: deque[_Job] = deque()
        self._task: asyncio.Task[None] | None = None
        self._several = False  # whether the last batch was of several requests
        self._pace = 0.005  # seconds a text, as the last batches had it
        self.texts = 0  # that wait or are computed

    async def submit(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The probabilities [N, classes] of the texts of a request.

        Args:
            texts: N, one or more.

        Raises:
            Refused: with status 503, if too many texts wait already.
        """
        if self.texts and self.texts + len(texts) > self._collecting.most:
            reason = f"too many texts are waiting, {self.texts}; try again later"
            raise Refused(503, reason, self.texts * self._pace)
        job = _Job(texts)
        self._waiting.append(job)
        self.texts += len(texts)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work_off())
        try:
            return await job.answer
        finally:
            self.texts -= len(texts)

    async def _work_off(self) -> None:
        """Predicts what waits, until nothing does."""
        while self._waiting:
            gathered = sum(len(job.texts) for job in self._waiting)
            several = self._several or len(self._waiting) > 1
            if several and gathered < self._collecting.batch_size:
                await asyncio.sleep(self._collecting.seconds)
            jobs = self._next()
            self._several = len(jobs) > 1
            await self._predict(jobs)

    def _next(self) -> list[_Job]:
        """The requests whose texts fill a batch, but those that nobody waits for any more."""
        jobs, texts = [], 0
        while self._waiting and texts < self._collecting.batch_size:
            job = self._waiting.popleft()
            if not job.answer.done():
                jobs.append(job)
                texts += len(job.texts)
        return jobs

    async def _predict(self, jobs: Sequence[_Job]) -> None:
        texts = [text for job in jobs for text in job.texts]
        if not texts:
            return
        began, loop = time.perf_counter(), asyncio.get_running_loop()
        try:
            found: Any = await loop.run_in_executor(self._thread, self._score, texts)
        except Exception as error:
            for job in jobs:
                if not job.answer.done():
                    job.answer.set_exception(error)
            return
        seconds = time.perf_counter() - began
        self._pace += (seconds / len(texts) - self._pace) / 8
        self._batches.observe(len(texts))
        self._seconds.add(seconds)
        start = 0
        for job in jobs:
            end = start + len(job.texts)
            if not job.answer.done():
                job.answer.set_result(found[start:end])
            start = end
