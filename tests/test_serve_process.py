"""`lstm-jax serve` on a port: slow and hostile clients, and how it stops."""

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import serving
from rich.console import Console

import lstm_jax
from lstm_jax.serve.app import make_app
from lstm_jax.serve.server import Server, take_port
from lstm_jax.serve.settings import Address, Limits

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "serve.md"
TEXTS = serving.TEXTS[:40]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return serving.trained(tmp_path_factory)


class Running:
    """A server on a thread of this process."""

    def __init__(self, run: Path, limits: Limits) -> None:
        self.said = io.StringIO()
        app = make_app(lstm_jax.load(run), limits, hosts=Address().hosts())
        self.service = app.state.service
        taken = take_port(Address(port=0))
        self.port = taken.getsockname()[1]
        self.server = Server(app, (Console(file=self.said), "ready"))
        self.thread = threading.Thread(target=self.server.run, args=([taken],))
        self.thread.start()

    def stop(self) -> None:
        """As a signal does."""
        self.server.should_exit = True
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()


@pytest.fixture(scope="module")
def running(run):
    found = Running(run, Limits(timeout=0.5, max_connections=20, max_bytes=100_000))
    yield found
    found.stop()


def connected(running: Running) -> socket.socket:
    """A connection to the server."""
    return socket.create_connection(("127.0.0.1", running.port), timeout=60)


def everything(connection: socket.socket) -> str:
    """All that comes until the server closes the connection."""
    with connection, connection.makefile("rb") as file:
        return file.read().decode()


def answered(text: str) -> tuple[int, str]:
    """The status of an answer and what its error says."""
    head, _, body = text.partition("\r\n\r\n")
    assert "content-type: application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]


def head(length: int | str, more: str = "") -> bytes:
    """The headers of a request."""
    return (
        "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n{more}\r\n"
    ).encode()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        head(-5),
        head("1e3"),
    ],
    ids=range(8),
)
def test_what_is_no_http_is_refused_as_json(running, sent):
    with connected(running) as connection:
        connection.sendall(sent)
        assert answered(everything(connection))[0] == 400


def test_chunks_that_are_none_end_the_connection(running):
    with connected(running) as connection:
        connection.sendall(head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        connection.sendall(b"zz\r\n")
        assert answered(everything(connection))[0] == 400


def test_a_head_that_does_not_end_is_not_waited_for(running):
    with connected(running) as silent, connected(running) as slow:
        slow.sendall(b"POST /predict HT")
        for connection in (silent, slow):
            status, reason = answered(everything(connection))
            assert (status, reason) == (408, "a request must come within 0.5 seconds")


def test_a_trickle_does_not_keep_a_connection(running):
    with connected(running) as connection, contextlib.suppress(OSError):
        for _ in range(1000):
            connection.sendall(b"X")
            time.sleep(0.02)
        pytest.fail("the server listened for 20 seconds")


def test_a_body_that_does_not_come_is_refused(running):
    with connected(running) as connection:
        connection.sendall(head(1000) + b"{")
        assert answered(everything(connection)) == (408, "the body must come within 0.5 seconds")


def test_a_huge_body_is_refused_while_the_client_still_sends(running):
    with connected(running) as connection:
        connection.sendall(head(10**10))
        connection.sendall(b"x" * (1 << 20))
        status, reason = answered(everything(connection))
        assert (status, reason) == (413, "the body must have at most 100000 bytes, got 10000000000")


def test_a_client_that_asks_first_need_not_send_a_huge_body(running):
    with connected(running) as connection:
        connection.sendall(head(10**10, "Expect: 100-continue\r\n"))
        assert answered(everything(connection))[0] == 413


def test_a_connection_that_is_kept_has_as_many_requests_as_are_sent(running):
    body = json.dumps({"text": TEXTS[0]}).encode()
    with connected(running) as connection:
        connection.sendall((head(len(body)) + body) * 3)  # one behind the other, unasked
        connection.sendall(head(len(body), "Connection: close\r\n") + body)
        assert everything(connection).count("HTTP/1.1 200 OK") == 4


def test_a_client_that_sends_nothing_more_still_gets_its_answer(running):
    body = json.dumps({"texts": TEXTS}).encode()
    with connected(running) as connection:
        connection.sendall((head(len(body)) + body) * 3)
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection).count("HTTP/1.1 200 OK") == 3
    with connected(running) as connection:
        connection.sendall(head(len(body)) + body[:9])
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection) == ""


def test_a_client_that_does_not_read_is_not_kept(running):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        place = connection.getsockname()
        connection.setblocking(False)
        with contextlib.suppress(OSError):  # until there is no more room, or it is closed
            for _ in range(10_000):
                connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                time.sleep(0.0002)
        until = time.monotonic() + 60
        while place in [each.client for each in running.server.server_state.connections]:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_too_many_connections_are_refused_and_those_that_are_there_go_on(running):
    with httpx.Client(base_url=f"http://127.0.0.1:{running.port}") as client:
        assert client.post("/predict", json={"text": "a"}).status_code == 200
        crowd = [connected(running) for _ in range(25)]
        answers = [everything(connection) for connection in crowd]
        refused = [answered(each)[0] for each in answers].count(503)
        assert 5 <= refused <= 7  # others may not be gone yet
        assert client.post("/predict", json={"text": "a"}).status_code == 200


def test_normal_requests_are_answered_among_hostile_ones(running, run):
    with httpx.Client(base_url=f"http://localhost:{running.port}") as client:
        expected = lstm_jax.load(run).predict_proba(TEXTS)
        hostile = [connected(running) for _ in range(5)]
        for number, connection in enumerate(hostile):
            connection.sendall([b"\0" * 99, head(10**9), b"POST", head(9), head(-1)][number])
        for text, row in zip(TEXTS, expected, strict=True):
            answer = client.post("/predict", json={"text": text}).json()
            np.testing.assert_allclose(list(answer["probabilities"].values()), row, atol=1e-6)
        for connection in hostile:
            connection.close()


def test_all_that_is_accepted_is_answered_when_it_stops(run):
    found = Running(run, Limits(timeout=30.0))
    answered_to, begun = [], threading.Event()

    def client(number: int) -> tuple[int, int]:
        """Requests that were answered, and those that were sent and not answered."""
        done = 0
        with httpx.Client(base_url=f"http://127.0.0.1:{found.port}", timeout=60) as asking:
            while True:
                try:
                    answer = asking.post("/predict", json={"texts": TEXTS[number : number + 4]})
                except httpx.ConnectError:
                    return done, 0  # nobody listens any more
                except httpx.HTTPError:
                    return done, 1
                assert answer.status_code == 200
                assert len(answer.json()["predictions"]) == 4
                done += 1
                answered_to.append(number)
                if len(answered_to) > 40:
                    begun.set()

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, number) for number in range(8)]
        assert begun.wait(timeout=60)
        found.stop()
        done = [each.result(timeout=60) for each in clients]
    assert [lost for _, lost in done] == [0] * 8
    assert sum(count for count, _ in done) == found.service.answered
    assert found.said.getvalue() == "ready\n" or not found.service.ready


def told(run: Path, number: int, ask: bool) -> tuple[int, str, str]:
    """Status and both outputs of the command, told to stop once it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_jax", "serve", str(run), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    url = re.search(r"http://127\.0\.0\.1:\d+", first)
    assert url is not None
    if ask:
        answer = httpx.post(f"{url[0]}/predict", json={"text": "a"}, timeout=60)
        assert answer.status_code == 200
    process.send_signal(number)
    assert process.stderr is not None
    with process.stdout, process.stderr:
        output, errors = process.stdout.read(), process.stderr.read()
    return process.wait(timeout=60), output, errors


def test_the_command_answers_and_ends_with_the_status_of_the_signal(run):
    status, output, errors = told(run, signal.SIGTERM, ask=True)
    assert (status, errors) == (143, "terminated after 1 request\n")
    assert output.startswith("Ctrl-C stops it\n")
    status, _, errors = told(run, signal.SIGINT, ask=False)
    assert status == 130
    assert re.fullmatch(r"interrupted( after 0 requests)?\n", errors)
