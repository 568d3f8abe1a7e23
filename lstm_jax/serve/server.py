"""Takes a port, answers until the process is told to stop, and leaves nothing undone."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Generator

import uvicorn
from rich.console import Console
from starlette.applications import Starlette

from lstm_jax import stops
from lstm_jax.console import say
from lstm_jax.serve.connection import Connection
from lstm_jax.serve.service import Service
from lstm_jax.serve.settings import Address

# Seconds in which requests arrive that were on their way when the process was told to stop.
_UNDER_WAY = 0.2
# Connections that wait until they are accepted.
_BACKLOG = 1024
# Seconds for all that was accepted to be answered.
_LAST = 10

# What the system says where the fault is not the port's.
_REASONS = {
    errno.EADDRINUSE: "port must be free, got {port}, which another program has",
    errno.EACCES: "port must be one that you may take, got {port}; those from 1024 on are free",
    errno.EADDRNOTAVAIL: "host must be of this machine, got {host!r}",
}


def take_port(address: Address) -> socket.socket:
    """A socket that listens at the port; who connects waits for a server.

    Raises:
        ValueError: if there is no such host, or the port cannot be had.
    """
    host, port = address.host, address.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ValueError(f"host must be a name or address of this machine, got {host!r}") from None
    family, kind, protocol, _, place = found[0]
    taken = socket.socket(family, kind, protocol)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(place)
        taken.listen(_BACKLOG)
    except OSError as error:
        taken.close()
        reason = _REASONS.get(error.errno or 0)
        if reason is None:
            raise
        raise ValueError(reason.format(host=host, port=port)) from None
    return taken


def url_of(taken: socket.socket, host: str) -> str:
    """Where a socket is reached, for people."""
    port = taken.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_server(app: Starlette, taken: socket.socket, ready: tuple[Console, str]) -> None:
    """Answers requests until the process is told to stop.

    Then nobody is listened to any more, and all that was accepted is answered.

    Args:
        app: as `lstm_jax.serve.app.make_app` gives it.
        taken: a socket that listens.
        ready: where it is said that every program is compiled, and what is said.

    Raises:
        Stopped: at the end.
    """
    with stops.held("all that was accepted is answered"):
        Server(app, ready).run([taken])


class Server(uvicorn.Server):
    """uvicorn's, told to stop by `lstm_jax.stops` as every program of ours is."""

    def __init__(self, app: Starlette, ready: tuple[Console, str]) -> None:
        """Arguments as of `run_server`."""
        service: Service = app.state.service
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,  # on h11, which bounds the size of headers
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                log_level="critical",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                limit_concurrency=service.limits.max_connections,
                timeout_keep_alive=service.limits.timeout,  # pyright: ignore[reportArgumentType]
                timeout_graceful_shutdown=_LAST,
            )
        )
        self._service, self._ready = service, ready
        self._said = False

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """The signals have their handlers already."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to stop; asked ten times a second."""
        self._count()
        if self._service.failure is not None:
            raise self._service.failure
        if self._service.ready and not self._said:
            self._said = True
            say(*self._ready)
        return await super().on_tick(counter) or stops.asked()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens to nobody new, and closes each connection behind its answer."""
        self._service.close()
        for server in self.servers:
            server.close()
        await asyncio.sleep(_UNDER_WAY)
        await super().shutdown(sockets)
        self._count()

    def _count(self) -> None:
        answered = self._service.answered
        stops.reached(f"after {answered:,} request{'' if answered == 1 else 's'}")
