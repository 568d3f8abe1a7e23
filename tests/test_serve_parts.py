"""The parts of a server by themselves: what it queues, limits and counts."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lstm_jax.serve.batching import Batcher, Collecting
from lstm_jax.serve.metrics import Counter, Histogram
from lstm_jax.serve.rates import Rates
from lstm_jax.serve.refused import Refused


class Scores:
    """Gives each text its length, when it is let; notes which texts came together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go, self.begun = threading.Event(), threading.Event()

    def __call__(self, texts):
        self.batches.append(list(texts))
        self.begun.set()
        assert self.go.wait(timeout=60)
        if "fail" in texts:
            raise FloatingPointError("not finite")
        return np.array([[len(text)] for text in texts], float)


@pytest.fixture
def scores():
    return Scores()


@pytest.fixture
def batcher(scores):
    with ThreadPoolExecutor(1) as thread:
        counts = {"batches": Histogram("b", "", (1, 8)), "seconds": Counter("s", "")}
        yield Batcher(scores, Collecting(4, 0.0, most=6), thread, **counts)
        scores.go.set()


async def begin(batcher: Batcher, scores: Scores, *requests: list[str]) -> list[asyncio.Task]:
    """Sends requests; the first is being computed, and the others wait."""
    tasks = [asyncio.create_task(batcher.submit(requests[0]))]
    await asyncio.to_thread(scores.begun.wait, 60)
    tasks += [asyncio.create_task(batcher.submit(texts)) for texts in requests[1:]]
    await asyncio.sleep(0)
    return tasks


def test_what_comes_while_a_batch_is_computed_is_the_next_batch(batcher, scores):
    async def trial():
        tasks = await begin(batcher, scores, ["a"], ["bb"], ["ccc", "d"], ["ee"])
        scores.go.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(trial())
    assert [answer.tolist() for answer in answers] == [[[1]], [[2]], [[3], [1]], [[2]]]
    assert scores.batches == [["a"], ["bb", "ccc", "d", "ee"]]
    assert batcher.texts == 0


def test_a_full_queue_refuses_and_says_when_to_come_back(batcher, scores):
    async def trial():
        tasks = await begin(batcher, scores, ["a"], ["b", "c", "d"])
        with pytest.raises(Refused) as refused:
            await batcher.submit(["e", "f", "g"])
        assert (refused.value.status, batcher.texts) == (503, 4)
        assert refused.value.response().headers["retry-after"] == "1"
        last = asyncio.create_task(batcher.submit(["h", "i"]))  # there is room for two
        scores.go.set()
        await asyncio.gather(*tasks, last)

    asyncio.run(trial())
    assert "e" not in [text for batch in scores.batches for text in batch]


def test_a_request_larger_than_the_queue_is_computed_alone(batcher, scores):
    scores.go.set()
    assert len(asyncio.run(batcher.submit(["a"] * 7))) == 7


def test_a_batch_that_fails_fails_its_requests_and_no_others(batcher, scores):
    async def trial():
        tasks = await begin(batcher, scores, ["a"], ["b", "fail", "c", "d"], ["e"])
        scores.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third = asyncio.run(trial())
    assert isinstance(second, FloatingPointError)
    assert [np.array(each).tolist() for each in (first, third)] == [[[1]], [[1]]]
    assert batcher.texts == 0


def test_what_nobody_waits_for_any_more_is_not_computed(batcher, scores):
    async def trial():
        first, second = await begin(batcher, scores, ["a"], ["b"])
        second.cancel()
        await asyncio.wait([second])
        scores.go.set()
        await first

    asyncio.run(trial())
    assert scores.batches == [["a"]]
    assert batcher.texts == 0


def test_a_client_has_a_burst_and_then_its_rate():
    now = 0.0
    rates = Rates(2.0, 3, clock=lambda: now)
    assert [rates.wait("10.0.0.1") for _ in range(4)] == [0, 0, 0, 0.5]
    assert rates.wait("10.0.0.2") == 0  # another client
    now = 0.5
    assert [rates.wait("10.0.0.1") for _ in range(2)] == [0, 0.5]
    now = 100.0
    assert [rates.wait("10.0.0.1") for _ in range(4)] == [0, 0, 0, 0.5]
    assert [Rates(0.0, 1).wait("10.0.0.1") for _ in range(100)] == [0.0] * 100


def test_a_customer_of_ipv6_is_one_client():
    rates = Rates(1.0, 1, clock=lambda: 0.0)
    assert rates.wait("2001:db8:1:2::1") == 0
    assert rates.wait("2001:db8:1:2:ffff::7") == 1
    assert rates.wait("2001:db8:1:3::1") == 0
    assert rates.wait("a test") == 0


def test_clients_that_are_remembered_are_bounded():
    rates = Rates(1.0, 1, clock=lambda: 0.0)
    for number in range(11_000):
        rates.wait(f"10.0.{number >> 8}.{number & 255}")
    assert len(rates) == 10_000
    assert rates.wait("10.0.42.247") == 1  # the last one


def test_a_label_cannot_break_out_of_its_line():
    counter = Counter("c", "", ("path",))
    counter.add(1, 'a"b\\c\nd')
    assert list(counter.samples()) == ['c{path="a\\"b\\\\c\\nd"} 1']
