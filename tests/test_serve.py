"""The application of `lstm-jax serve`: what it answers, and what it refuses at no cost."""

import asyncio
import json
import re
import sys
import threading

import numpy as np
import pytest
import serving
import small
from starlette.applications import Starlette
from starlette.routing import Mount

import lstm_jax
from lstm_jax import cli
from lstm_jax.serve.app import make_app
from lstm_jax.serve.settings import Address, Limits
from lstm_jax.train.step import predict_step

TEXTS = small.corpus(train=60, seed=1).train.texts


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run of three classes."""
    folder = tmp_path_factory.mktemp("served") / "run"
    small.train(small.CONFIG, small.corpus(classes=3), folder)
    return lstm_jax.load(folder)


@pytest.fixture
def app(run):
    return make_app(run)


def batches(app: Starlette) -> int:
    """How many batches were computed."""
    found = re.search(r"^lstm_jax_batch_texts_count (\d+)$", metrics(app), re.MULTILINE)
    assert found is not None
    return int(found[1])


def metrics(app: Starlette) -> str:
    return serving.ask(app, "GET", "/metrics").text


def test_predictions_are_those_of_the_run(run, app):
    found = serving.predict(app, {"texts": TEXTS[:10]})["predictions"]
    expected = run.predict_proba(TEXTS[:10])
    assert [list(each["probabilities"]) for each in found] == [list(run.class_names)] * 10
    values = [list(each["probabilities"].values()) for each in found]
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert [each["label"] for each in found] == run.predict(TEXTS[:10]).tolist()
    assert serving.predict(app, {"text": TEXTS[0]})["label"] == found[0]["label"]
    assert serving.predict(app, {"texts": []}) == {"predictions": []}
    assert serving.predict(app, {"texts": [""]})["predictions"][0]["label"] in run.class_names


def test_requests_that_come_together_are_computed_together_and_get_their_own_answers(run, app):
    rng = np.random.default_rng(0)
    asked = [list(rng.choice(TEXTS, rng.integers(1, 6))) for _ in range(50)]

    async def all_at_once():
        async with serving.client(app) as client:
            return await asyncio.gather(
                *(client.post("/predict", json={"texts": texts}) for texts in asked)
            )

    answers = asyncio.run(all_at_once())
    assert 1 <= batches(app) < len(asked) / 2
    for texts, answer in zip(asked, answers, strict=True):
        found = [list(each["probabilities"].values()) for each in answer.json()["predictions"]]
        np.testing.assert_allclose(found, run.predict_proba(texts), atol=1e-6)


def test_nothing_is_compiled_once_it_is_ready(app):
    async def until_ready(client):
        first = await client.get("/health")
        while (answer := await client.get("/health")).status_code != 200:
            await asyncio.sleep(0.001)
        return first, answer

    async def ask_for_anything():
        rng = np.random.default_rng(0)
        async with serving.client(app) as client:
            first, last = await until_ready(client)
            programs = predict_step._cache_size()
            for count in (1, 2, 3, 4, 5, 7, 8, 9, 33, 120):
                texts = [" ".join(["film"] * rng.integers(0, 60)) for _ in range(count)]
                answer = await client.post("/predict", json={"texts": texts})
                assert answer.status_code == 200
            return first, last, predict_step._cache_size() - programs

    first, last, compiled = asyncio.run(ask_for_anything())
    assert (first.status_code, first.json()["status"]) == (503, "warming up")
    shapes = last.json()["programs"]
    assert last.json() == {"status": "ready", "compiled": shapes, "programs": shapes}
    assert shapes == 2 * 2  # widths 16 and 24, and 1 or 8 rows
    assert compiled == 0


def test_an_explanation_is_that_of_the_command(run, app, monkeypatch, capsys):
    text, method = TEXTS[1], "ledger"
    found = serving.predict(
        app, {"text": text, "method": method, "class": "class 2"}, path="/explain"
    )
    line = ["explain", str(run.path), text, "--method", method, "--class", "class 2", "--json"]
    monkeypatch.setattr(sys, "argv", ["lstm-jax", *line])
    cli.main()
    assert found == json.loads(capsys.readouterr().out)
    assert serving.predict(app, {"text": text}, path="/explain")["method"] == "lrp"


def test_metrics_are_what_happened_in_the_format_of_prometheus(app):
    serving.predict(app, {"texts": TEXTS[:3]})
    serving.ask(app, "POST", "/predict", json={"texts": 3})
    serving.ask(app, "GET", "/nothing/here")
    serving.ask(app, "GET", "/predict")
    answer = serving.ask(app, "GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    sample = r'[a-z_]+(?:\{[a-z]+="[^"\\]*"(?:,[a-z]+="[^"\\]*")*\})? (?:\d+(?:\.\d+)?(?:e-\d+)?)'
    for line in lines:
        assert re.fullmatch(rf"# (?:HELP|TYPE) [a-z_]+ .+|{sample}", line), line
    for line in (
        'lstm_jax_requests_total{path="/predict",status="200"} 1',
        'lstm_jax_requests_total{path="/predict",status="400"} 1',
        'lstm_jax_requests_total{path="/predict",status="405"} 1',
        'lstm_jax_requests_total{path="other",status="404"} 1',
        'lstm_jax_request_seconds_bucket{le="+Inf"} 4',
        "lstm_jax_request_seconds_count 4",
        "lstm_jax_texts_total 3",
        'lstm_jax_batch_texts_bucket{le="2"} 0',
        'lstm_jax_batch_texts_bucket{le="4"} 1',
        "lstm_jax_batch_texts_sum 3",
        "lstm_jax_queue_texts 0",
        "lstm_jax_queue_explanations 0",
    ):
        assert line in lines


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


def refusal(answer) -> str:
    """The one line that a client is told."""
    assert list(answer.json()) == ["error"]
    reason = answer.json()["error"]
    assert reason
    assert reason.isprintable()
    assert "Traceback" not in reason
    assert len(reason) < 600
    return reason


@pytest.mark.parametrize(("path", "body", "status", "reason"), BAD)
def test_what_is_wrong_is_told_in_one_line_and_nothing_is_computed(
    strict, path, body, status, reason
):
    answer = serving.ask(strict, "POST", path, content=body, headers=JSON)
    assert (answer.status_code, refusal(answer)[: len(reason)]) == (status, reason)
    assert batches(strict) == 0


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
    assert (answer.status_code, refusal(answer)[: len(reason)]) == (status, reason)
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
    assert status == 200 or refusal(answer)


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
    assert 'lstm_jax_requests_total{path="/predict",status="gone"} 1' in metrics(app)
    assert app.state.service.answered == 1  # /metrics


def test_each_client_may_send_so_many_requests(run):
    app = make_app(run, Limits(requests_per_second=0.001, burst=3))
    answers = [serving.ask(app, "POST", "/predict", json={"texts": []}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert refusal(answers[-1]) == "requests must be at most 0.001 a second"
    assert 900 < int(answers[-1].headers["retry-after"]) <= 1000
    assert serving.ask(app, "GET", "/health").status_code in (200, 503)  # costs nothing


def test_an_error_of_ours_is_logged_and_tells_the_client_nothing(app, run, monkeypatch, caplog):
    def fail(*_, **__):
        raise FloatingPointError("the logits of 1 of 1 texts are not finite")

    monkeypatch.setattr(run, "logits_of_ids", fail)
    monkeypatch.setattr(app.state.service, "begin", lambda: None)
    answer = serving.ask(app, "POST", "/predict", json={"text": "a"})
    assert answer.status_code == 500
    assert refusal(answer) == "something went wrong in the server; its log says what"
    assert "the logits of 1 of 1 texts are not finite" in caplog.text
    monkeypatch.undo()
    assert serving.predict(app, {"text": "a"})["label"] in run.class_names


def test_it_can_be_mounted_into_another_application(run):
    inner = make_app(run)
    outer = Starlette(routes=[Mount("/model", app=inner)])
    found = serving.predict(outer, {"text": TEXTS[0]}, path="/model/predict")
    assert found["label"] == run.predict([TEXTS[0]])[0]
    assert (
        'requests_total{path="/predict",status="200"} 1'
        in serving.ask(outer, "GET", "/model/metrics").text
    )
    assert serving.ask(outer, "GET", "/model/").json()["classes"] == list(run.class_names)


def test_names_of_classes_are_json_and_nothing_else(run, monkeypatch):
    names = ('<script>"', "例\u2028", "line\nbreak")
    monkeypatch.setattr(run, "class_names", names)
    answer = serving.ask(make_app(run), "POST", "/predict", json={"text": "<b>"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert list(answer.json()["probabilities"]) == list(names)


def test_a_model_that_reads_its_padding_has_one_width(run, monkeypatch):
    from dataclasses import replace

    config = replace(run.config, text=replace(run.config.text, pad="front"))
    monkeypatch.setattr(run, "config", config)
    app = make_app(run, Limits(batch_size=2))
    assert app.state.service.progress == (0, 2)  # 1 or 2 rows of 24
    found = serving.predict(app, {"texts": TEXTS[:5]})["predictions"]
    values = [list(each["probabilities"].values()) for each in found]
    np.testing.assert_allclose(values, run.predict_proba(TEXTS[:5]), atol=1e-6)


def test_what_is_broken_off_when_the_server_stops_is_told_so(run, app, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr(app.state.service, "begin", lambda: None)
    monkeypatch.setattr(run, "logits_of_ids", lambda *_, **__: go.wait(60))

    async def parts():
        yield {"type": "http.request", "body": b'{"text": "a"}', "more_body": False}

    async def trial():
        wire = serving.Wire({"content-length": "13"}, parts())
        task = asyncio.create_task(app(wire.scope, wire.receive, wire.send))
        while not app.state.service._batcher.texts:
            await asyncio.sleep(0)
        app.state.service.close()
        task.cancel()
        await task
        go.set()
        return wire

    wire = asyncio.run(trial())
    assert wire.sent[0]["status"] == 503
    assert wire.headers()["connection"] == "close"
    assert json.loads(wire.body()) == {"error": "the server has stopped before this was answered"}
    assert serving.ask(app, "GET", "/health").json()["status"] == "stopping"


def test_a_model_that_cannot_be_compiled_is_never_ready(run, app, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("no room")

    monkeypatch.setattr(run, "logits_of_ids", fail)

    async def trial():
        async with serving.client(app) as client:
            while (answer := await client.get("/health")).json()["status"] == "warming up":
                await asyncio.sleep(0.001)
            return answer

    answer = asyncio.run(trial())
    assert (answer.status_code, answer.json()["status"]) == (503, "failed")
    assert isinstance(app.state.service.failure, MemoryError)
