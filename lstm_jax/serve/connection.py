"""uvicorn's connections, with an end to those of clients that send too slowly or do not listen."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# Seconds in which what still comes from a client that was refused is thrown away: if the connection
# were closed at once, the system would tell the client so before it has read why.
_LINGER = 1.0


class Connection(H11Protocol):
    """One of at most so many connections, on which the head of a request must come in time.

    uvicorn's own timeout ends with the first byte of a request. The time is the same here, and what
    is refused is refused in JSON. Bodies are the application's business.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._late: asyncio.TimerHandle | None = None
        self._unheard: asyncio.TimerHandle | None = None
        self._refused = self._ended = False
        # uvicorn would refuse the requests of all connections while there are too many.
        self._most, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: Any) -> None:
        """The time begins."""
        super().connection_made(transport)
        if self._most is not None and len(self.connections) > self._most:
            self._refuse(503, f"connections must be at most {self._most}; try again later")
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._forget()
        self._heard()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if not self._refused:
            super().data_received(data)

    def handle_events(self) -> None:
        """A request whose head is complete is no longer waited for."""
        super().handle_events()
        self._watch()

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The client sends nothing more; what it has asked for in whole it still gets.

        Returns:
            Whether the connection stays open for the answer.
        """
        self._ended = True
        return not self._refused and self._answering() and not self.cycle.more_body

    def on_response_complete(self) -> None:
        """A request is answered; another one may have come behind it."""
        super().on_response_complete()
        if self._ended and not self._answering():
            self.transport.close()

    def pause_writing(self) -> None:
        """The client does not read; it has as long for that as for sending."""
        super().pause_writing()
        if self._unheard is None:
            self._unheard = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._heard()

    def shutdown(self) -> None:
        """The server stops."""
        if self._refused:
            self.transport.close()
        else:
            super().shutdown()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self) -> None:
        if self._answering():
            self._forget()
        elif self._late is None and not (self._refused or self.transport.is_closing()):
            self._late = self.loop.call_later(self.timeout_keep_alive, self._give_up)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _heard(self) -> None:
        if self._unheard is not None:
            self._unheard.cancel()
            self._unheard = None

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
        self._refused = True
        self._forget()
        if self._answering():
            self.cycle.disconnected = True  # the application need not answer
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        content = json.dumps({"error": reason}).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.write_eof()
        self.loop.call_later(_LINGER, self._end)

    def _end(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()
