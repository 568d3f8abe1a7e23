"""Clients of `lstm-jax serve` that send one request after the other, and count what comes back.

HTTP is written and read by hand here: a library for it would take more of the machine than the
server does.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

Lines = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Outcome:
    """What came of the requests of some clients.

    Attributes:
        seconds: from each request to its answer.
        statuses: how many answers had each status.
        refused: connections that nobody listened to.
        lost: requests that were sent, but got no answer.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    lost: int = 0

    def summary(self, duration: float) -> dict[str, float]:
        """Requests a second, and the median and the 99th percentile of the latency."""
        median, last = np.quantile(self.seconds or [np.nan], [0.5, 0.99]).tolist()
        return {
            "requests": len(self.seconds),
            "requests_per_second": len(self.seconds) / duration,
            "median_seconds": median,
            "p99_seconds": last,
        }


def request(content: object, path: str = "/predict") -> bytes:
    """A POST request with JSON."""
    body = json.dumps(content).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """The status and the body of the next answer, and whether the connection is closed behind it.

    Raises:
        OSError, EOFError: if there is none.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    return status, await reader.readexactly(length), "connection: close" in head


async def send(
    port: int, requests: Sequence[bytes], outcome: Outcome, going: Callable[[], bool]
) -> None:
    """A client: sends its requests over and over, until it is to stop or nobody listens.

    Args:
        port: of the server.
        requests: bytes, whole requests.
        outcome: gets what comes back.
        going: whether to go on.
    """
    lines: Lines | None = None
    number = 0
    while going():
        try:
            lines = lines or await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            outcome.refused += 1
            return
        reader, writer = lines
        began = time.perf_counter()
        try:
            writer.write(requests[number % len(requests)])
            status, _, last = await answer(reader)
        except (OSError, EOFError):
            outcome.lost += 1
            lines = None
            writer.close()
            continue
        outcome.seconds.append(time.perf_counter() - began)
        outcome.statuses[status] += 1
        number += 1
        if last:
            writer.close()
            lines = None
    if lines is not None:
        lines[1].close()


async def load(
    port: int, requests: Sequence[bytes], clients: int, going: Callable[[], bool]
) -> Outcome:
    """Many clients at once, each of which begins with another request."""
    outcome = Outcome()
    shares = [requests[number * 37 % len(requests) :] for number in range(clients)]
    await asyncio.gather(*(send(port, share, outcome, going) for share in shares))
    return outcome


async def load_for(
    port: int, requests: Sequence[bytes], clients: int, seconds: float
) -> tuple[Outcome, float]:
    """The same for so long; gives the time that it took."""
    began = time.perf_counter()
    end = began + seconds
    outcome = await load(port, requests, clients, lambda: time.perf_counter() < end)
    return outcome, time.perf_counter() - began


# What hostile clients send. The last two are not finished; nobody waits long for their answers.
_UNFINISHED, _PATIENCE, _IMPATIENCE = 2, 2.0, 0.1
_DEEP = b'{"texts": ' + b"[" * 100_000
HOSTILE = (
    request({"texts": "not a list"}),
    request({"texts": ["x"] * 10_000}),
    request({"text": "x" * 200_000}),
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_DEEP), _DEEP),
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 9\r\n\r\n\xff\xfe\xfd\xfc\xff\xff\xff\xff\xff",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100000000000\r\n\r\n" + b"x" * 300_000,
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + (b"40000\r\n" + b"x" * 0x40000 + b"\r\n") * 8,
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Le",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\n\r\n{",
)


async def attack(port: int, clients: int, going: Callable[[], bool]) -> Counter[str]:
    """Hostile clients at once, each request on a connection of its own.

    Returns:
        How many requests were answered with each status, or with none.
    """
    counts: Counter[str] = Counter()

    async def hostile(number: int) -> None:
        while going():
            number += 1
            place = number % len(HOSTILE)
            finished = place < len(HOSTILE) - _UNFINISHED
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                counts["no connection"] += 1
                continue
            try:
                writer.write(HOSTILE[place])
                patience = _PATIENCE if finished else _IMPATIENCE
                status, _, _ = await asyncio.wait_for(answer(reader), patience)
                counts[str(status)] += 1
            except (OSError, EOFError, TimeoutError):
                counts["no answer" if finished else "not finished"] += 1
            writer.close()

    await asyncio.gather(*(hostile(number) for number in range(clients)))
    return counts
