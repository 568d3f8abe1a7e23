"""Requests to an application of `lstm_jax.serve`, without a network."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import small
from starlette.applications import Starlette

URL = "http://localhost"
TEXTS = small.corpus(train=60, seed=1).train.texts


def trained(folders: pytest.TempPathFactory) -> Path:
    """The folder of a run of three classes; trained once for all modules."""
    folder = folders.getbasetemp() / "served" / "run"
    if not folder.exists():
        small.train(small.CONFIG, small.corpus(classes=3), folder)
    return folder


def client(app: Starlette, **more: Any) -> httpx.AsyncClient:
    """A client of the application alone."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL, **more)


def ask(app: Starlette, method: str, path: str, **content: Any) -> httpx.Response:
    """The answer to one request."""

    async def asked() -> httpx.Response:
        async with client(app) as asking:
            return await asking.request(method, path, **content)

    return asyncio.run(asked())


def predict(app: Starlette, content: Any, path: str = "/predict") -> Any:
    """The JSON that a request with JSON is answered with."""
    answer = ask(app, "POST", path, json=content)
    assert answer.status_code == 200, answer.text
    return answer.json()


def batches(app: Starlette) -> int:
    """How many batches were computed."""
    found = re.search(r"^lstm_jax_batch_texts_count (\d+)$", metrics(app), re.MULTILINE)
    assert found is not None
    return int(found[1])


def metrics(app: Starlette) -> str:
    """What it has counted."""
    return ask(app, "GET", "/metrics").text


def refusal(answer) -> str:
    """The one line that a client is told."""
    assert list(answer.json()) == ["error"]
    reason = answer.json()["error"]
    assert reason
    assert reason.isprintable()
    assert "Traceback" not in reason
    assert len(reason) < 600
    return reason


class Wire:
    """A client that sends the parts of a body one by one, and notes what happens in which order.

    Attributes:
        events: "asked for more" or the type of what was sent, in order.
        sent: what the application sent.
    """

    def __init__(self, headers: Mapping[str, str], parts: Any) -> None:
        """`parts` is an asynchronous iterator over messages of ASGI."""
        lines = {"host": "localhost", "content-type": "application/json", **headers}
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": "/predict",
            "raw_path": b"/predict",
            "root_path": "",
            "query_string": b"",
            "http_version": "1.1",
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in lines.items()],
            "client": ("127.0.0.1", 5),
        }
        self._parts, self.events, self.sent = parts, [], []

    async def receive(self) -> Any:
        self.events.append("asked for more")
        return await anext(self._parts, {"type": "http.disconnect"})

    async def send(self, message: Any) -> None:
        self.events.append(message["type"])
        self.sent.append(message)

    def run(self, app: Starlette) -> int | None:
        """The status of the answer, or None."""
        asyncio.run(app(self.scope, self.receive, self.send))
        return self.sent[0]["status"] if self.sent else None

    def headers(self) -> dict[str, str]:
        """Those of the answer."""
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    def body(self) -> bytes:
        """That of the answer."""
        return b"".join(each.get("body", b"") for each in self.sent[1:])
