"""What the application of `lstm-jax serve` refuses, and that it costs nothing."""

import asyncio
import json

import pytest
import serving

import lstm_jax
from lstm_jax.serve.app import make_app
from lstm_jax.serve.settings import Address, Limits


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run of three classes."""
    return lstm_jax.load(serving.trained(tmp_path_factory))


@pytest.fixture
def app(run):
    return make_app(run)


JSON = {"Content-Type": "application/json"}
# What is sent, and the status and the reason that come back.
BAD: list[tuple[str, bytes, int, str]] = [
    ("/predict", b"", 400, "the body is not JSON, EOF while parsing"),
    ("/predict", b'{"text": "a"', 400, "the body is not JSON, EOF while parsing"),
    ("/predict", b"[" * 100_000, 400, "the body is not JSON, recursion limit exceeded"),
    ("/predict", b'{"texts": ' + b"[" * 9_000, 400, "the body is not JSON, recursion limit"),
    ("/predict", b'{"text": "\xff"}', 400, "the body is not JSON, invalid unicode"),
    ("/predict", b'{"text": "\\ud800"}', 400, "the body is not JSON, unexpected end of hex"),
    ("/predict", '{"text": "a"}'.encode("utf-16"), 400, "the body is not JSON"),
    ("/predict", b"1" * 5_000, 400, "the body is not JSON, number out of range"),
    ("/predict", b"null", 400, "the body must be an object, got None"),
    ("/predict", b'["a"]', 400, "the body must be an object, got ['a']"),
    ("/predict", b"{}", 400, 'the body must be {"texts": [...]} or {"text": "..."}'),
    ("/predict", b'{"text": "a", "texts": []}', 400, 'the body must be {"texts": [...]} or'),
    ("/predict", b'{"texts": "a"}', 400, "texts must be a list, got 'a'"),
    ("/predict", b'{"texts": ["a", null]}', 400, "texts[1] must be a string, got None"),
    ("/predict", b'{"text": {"a": [1]}}', 400, "text must be a string, got {'a': [1]}"),
    ("/predict", b'{"text": NaN}', 400, "text must be a string, got nan"),
    ("/predict", b'{"a\\nb\\u001b[31m": 1}', 400, "a b\\x1b[31m is no field of this"),
    ("/predict", b'{"texts": ["a", "' + b"x" * 301 + b'"]}', 413, "texts[1] must have at most 300"),
    ("/predict", b'{"text": "' + b"x" * 301 + b'"}', 413, "text must have at most 300 characters"),
    ("/predict", b'{"texts": [' + b'"",' * 5 + b'""]}', 413, "texts must be at most 5, got 6"),
    ("/predict", b" " * 200_001, 413, "the body must have at most 200000 bytes, got 200001"),
    ("/explain", b'{"texts": ["a"]}', 400, "text is missing"),
    ("/explain", b'{"text": "a", "method": "magic"}', 400, "method must be 'ledger', 'lrp', "),
    ("/explain", b'{"text": "a", "class": "x"}', 400, "class must be one of class 0, class 1"),
    ("/explain", b'{"text": "a", "class": ["x"]}', 400, "class must be a string, got ['x']"),
    ("/explain", b'{"text": "' + b"x" * 301 + b'"}', 413, "text must have at most 300 characters"),
]


@pytest.fixture(scope="module")
def strict(run):
    return make_app(run, Limits(max_texts=5, max_characters=300, max_bytes=200_000))


@pytest.mark.parametrize(("path", "body", "status", "reason"), BAD)
def test_what_is_wrong_is_told_in_one_line_and_nothing_is_computed(
    strict, path, body, status, reason
):
    answer = serving.ask(strict, "POST", path, content=body, headers=JSON)
    assert (answer.status_code, serving.refusal(answer)[: len(reason)]) == (status, reason)
    assert serving.batches(strict) == 0


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "reason"),
    [
        ("GET", "/nothing", {}, 404, "there is no such path; GET / says which there are"),
        ("GET", "/predict", {}, 405, "Method Not Allowed: GET"),
        ("OPTIONS", "/predict", {}, 405, "Method Not Allowed: OPTIONS"),
        ("POST", "/predict", {}, 415, "Content-Type must be application/json, got ''"),
        ("POST", "/predict", {"Content-Type": "text/plain"}, 415, "Content-Type must be"),
    ],
)
def test_what_is_not_there_is_refused_as_json(app, method, path, headers, status, reason):
    answer = serving.ask(app, method, path, headers=headers)
    assert (answer.status_code, serving.refusal(answer)[: len(reason)]) == (status, reason)
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "127.0.0.1:1"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "my.name"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example:8000"}, 421),
        ({"Host": "[::1"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "http://localhost"}, 200),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, 200),
        ({"Host": "localhost:8000", "Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_pages_of_other_origins_are_refused(run, headers, status):
    app = make_app(run, hosts=Address(allowed_host=("My.Name",)).hosts())
    answer = serving.ask(app, "POST", "/predict", json={"texts": []}, headers=headers)
    assert answer.status_code == status
    assert status == 200 or serving.refusal(answer)


def test_only_a_local_address_has_names_of_its_own():
    assert Address().hosts() == {"localhost", "127.0.0.1", "::1"}
    assert Address(host="127.0.0.2").local
    assert Address(host="localhost").local
    assert not Address(host="0.0.0.0").local
    assert not Address(host="::").local
    assert Address(host="0.0.0.0").hosts() is None
    named = Address(host="10.0.0.1", allowed_host=("Model.example",))
    assert named.hosts() == {"10.0.0.1", "model.example"}


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(strict):
    async def parts():
        for _ in range(3):
            yield {"type": "http.request", "body": b"x" * 1000, "more_body": True}
        yield {"type": "http.disconnect"}

    wire = serving.Wire({"content-length": "10000000000"}, parts())
    assert wire.run(strict) == 413
    assert wire.events[:2] == ["http.response.start", "http.response.body"]
    assert wire.headers()["connection"] == "close"
    assert json.loads(wire.body())["error"].endswith("bytes, got 10000000000")
    # What comes all the same is thrown away for a moment, so that the client can read the answer.
    assert wire.events[2:] == ["asked for more"] * 4 + ["http.response.body"]
    assert [each.get("more_body", False) for each in wire.sent[1:]] == [True, False]


def test_a_body_of_unknown_size_is_counted_while_it_comes(strict):
    async def parts():
        while True:
            yield {"type": "http.request", "body": b"x" * 60_000, "more_body": True}

    wire = serving.Wire({"transfer-encoding": "chunked"}, parts())
    assert wire.run(strict) == 413
    assert wire.events.index("http.response.start") == 4  # 240,000 bytes, of 200,000
    assert wire.headers()["connection"] == "close"


def test_a_body_that_does_not_come_is_not_waited_for(run):
    async def parts():
        yield {"type": "http.request", "body": b"{", "more_body": True}
        await asyncio.sleep(60)

    wire = serving.Wire({"content-length": "100"}, parts())
    assert wire.run(make_app(run, Limits(timeout=0.05))) == 408
    assert json.loads(wire.body()) == {"error": "the body must come within 0.05 seconds"}


def test_a_client_that_has_gone_is_not_answered_but_counted(app):
    async def parts():
        yield {"type": "http.disconnect"}

    wire = serving.Wire({"content-length": "100"}, parts())
    assert wire.run(app) is None
    assert 'lstm_jax_requests_total{path="/predict",status="gone"} 1' in serving.metrics(app)
    assert app.state.service.answered == 1  # /metrics


def test_each_client_may_send_so_many_requests(run):
    app = make_app(run, Limits(requests_per_second=0.001, burst=3))
    answers = [serving.ask(app, "POST", "/predict", json={"texts": []}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert serving.refusal(answers[-1]) == "requests must be at most 0.001 a second"
    assert 900 < int(answers[-1].headers["retry-after"]) <= 1000
    assert serving.ask(app, "GET", "/health").status_code in (200, 503)  # costs nothing
