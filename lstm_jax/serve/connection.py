"""uvicorn's connections, with an end to those of clients that send too slowly or do not listen."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """One of at most so many connections, on which the head of a request must come in time.

    uvicorn's own timeout ends with the first byte of a request. The time is the same here, and what
    is refused is refused in JSON. Bodies are the application's business.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._late: asyncio.TimerHandle | None = None
        # uvicorn would refuse the requests of all connections while there are too many.
        self._most, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: Any) -> None:
        """The time begins."""
        super().connection_made(transport)
        if self._most is not None and len(self.connections) > self._most:
            self._refuse(503, f"connections must be at most {self._most}; try again later")
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Bytes have come; a request whose head is complete is no longer waited for."""
        super().handle_events()
        self._watch()

    def _watch(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self._late is not None:
            self._late.cancel()
            self._late = None
        elif not answering and self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(self.timeout_keep_alive, self._give_up)

    def _give_up(self) -> None:
        self._refuse(408, f"a request must come within {self.timeout_keep_alive:g} seconds")

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused as everything else is."""
        self._refuse(400, "the request is not HTTP/1.1, or its headers are too large")

    def timeout_keep_alive_handler(self) -> None:
        """Nothing has come for a while; what the client has not read until now it never will."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _refuse(self, status: int, reason: str) -> None:
        if not self.transport.is_closing() and not (self.cycle and self.cycle.response_started):
            content = json.dumps({"error": reason}).encode()
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
                "Content-Type: application/json\r\n"
                f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + content)
        self.transport.close()
