"""A request and its answer, as they pass between the server and the application."""

import asyncio
import contextlib
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

# A body that is not wanted is still taken from the client for so long and so far, and thrown away:
# if the connection were closed at once, the system would tell the client so before it has read why.
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 16 << 20


class Exchange:
    """Watches one request and its answer.

    Where the body was not read to its end, the connection is closed behind the answer: a client
    that sends gigabytes is not listened to.

    Attributes:
        headers: of the request.
        status: of the answer; None as long as there is none.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, closing: Callable[[], bool]
    ) -> None:
        """`closing` says whether the connection is to be closed in any case."""
        self.headers = Headers(scope=scope)
        self.status: int | None = None
        self._receive, self._send, self._closing = receive, send, closing
        has_body = self.headers.get("content-length", "0") != "0"
        self._unread = has_body or "transfer-encoding" in self.headers

    async def receive(self) -> Message:
        """The next part of the request."""
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        """Passes a part of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Cache-Control"] = "no-store"
            if self._unread or self._closing():
                headers["Connection"] = "close"
            await self._send(message)
            return
        if self._unread and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _linger(self) -> None:
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while self._unread and size < _LINGER_BYTES:
                    size += len((await self.receive()).get("body", b""))
