"""The application of `lstm-jax serve`: what it answers, and what it refuses at no cost."""

import asyncio
import json
import re
import sys
import threading

import numpy as np
import pytest
import serving
from starlette.applications import Starlette
from starlette.routing import Mount

import lstm_jax
from lstm_jax import cli
from lstm_jax.serve.app import make_app
from lstm_jax.serve.compilations import compilations
from lstm_jax.serve.settings import Limits

TEXTS = serving.TEXTS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run of three classes."""
    return lstm_jax.load(serving.trained(tmp_path_factory))


@pytest.fixture
def app(run):
    return make_app(run)


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
    assert 1 <= serving.batches(app) < len(asked) / 2
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
            programs = compilations()
            for count in (1, 2, 3, 4, 5, 7, 8, 9, 33, 120):
                texts = [" ".join(["film"] * rng.integers(0, 60)) for _ in range(count)]
                answer = await client.post("/predict", json={"texts": texts})
                assert answer.status_code == 200
            return first, last, compilations() - programs

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


def test_an_error_of_ours_is_logged_and_tells_the_client_nothing(app, run, monkeypatch, caplog):
    def fail(*_, **__):
        raise FloatingPointError("the logits of 1 of 1 texts are not finite")

    monkeypatch.setattr(run, "logits_of_ids", fail)
    monkeypatch.setattr(app.state.service, "begin", lambda: None)
    answer = serving.ask(app, "POST", "/predict", json={"text": "a"})
    assert answer.status_code == 500
    assert serving.refusal(answer) == "something went wrong in the server; its log says what"
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
