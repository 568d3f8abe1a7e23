"""What every request passes before it is looked at, and every answer on its way out."""

import asyncio
import logging
import time
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from lstm_jax.checked import shortened
from lstm_jax.serve.exchange import Exchange
from lstm_jax.serve.rates import Rates
from lstm_jax.serve.refused import Refused
from lstm_jax.serve.service import Service

logger = logging.getLogger("lstm_jax.serve")

# What is counted of a request whose client has gone before it was answered.
GONE = "gone"


class Guard:
    """Refuses what is not for this server, counts what is, and lets no error out as it is."""

    def __init__(self, app: ASGIApp, service: Service, hosts: frozenset[str] | None) -> None:
        """Stands before `app`; requests must be for one of `hosts`, or None for any."""
        self._app, self._service, self._hosts = app, service, hosts
        limits = service.limits
        self._rates = Rates(limits.requests_per_second, limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        service, began = self._service, time.perf_counter()
        exchange = Exchange(scope, receive, send, lambda: service.closing)
        service.begin()
        try:
            await self._answer(scope, exchange)
        except ClientDisconnect:
            exchange.status = None
        finally:
            status = GONE if exchange.status is None else str(exchange.status)
            service.answered += status != GONE
            service.metrics.requests.add(1, _path(scope), status)
            service.metrics.seconds.observe(time.perf_counter() - began)

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        try:
            self._check(scope, exchange)
            await self._app(scope, exchange.receive, exchange.send)
            return
        except ClientDisconnect:
            raise
        except asyncio.CancelledError:
            if not self._service.closing:
                raise
            refused = Refused(503, "the server has stopped before this was answered")
        except Refused as error:
            refused = error
        except Exception:
            logger.exception("%s %s", scope["method"], shortened(scope["path"]))
            refused = Refused(500, "something went wrong in the server; its log says what")
        if exchange.status is None:
            await refused.response()(scope, exchange.receive, exchange.send)

    def _check(self, scope: Scope, exchange: Exchange) -> None:
        """Refuses what a page of another origin sends, and what is too much of one client."""
        headers, client = exchange.headers, scope.get("client")
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and _parts(f"//{host}")[0] not in self._hosts:
            raise Refused(421, f"Host must be a name of this server, got {shortened(host)}")
        if origin is not None and _parts(origin)[1] != host.lower():
            raise Refused(403, f"Origin must be that of this server, got {shortened(origin)}")
        if scope["method"] != "POST":
            return
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refused(403, "Sec-Fetch-Site must be same-origin: no page of others may ask")
        if seconds := self._rates.wait(client[0] if client else ""):
            most = self._service.limits.requests_per_second
            raise Refused(429, f"requests must be at most {most:g} a second", seconds)


def _parts(url: str) -> tuple[str, str]:
    """The name of the host of a URL, and the same with its port, in small letters."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.netloc.lower()
    except ValueError:
        return "", ""


def _path(scope: Scope) -> str:
    """What was asked for: one of the few paths that there are, or "other"."""
    name = getattr(scope.get("endpoint"), "__name__", None)
    return {None: "other", "index": "/"}.get(name, f"/{name}")
