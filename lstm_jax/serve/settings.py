"""Where a server listens, and what it lets clients do; nothing slow is imported for it."""

import ipaddress
from typing import Annotated

from pydantic import Field
from tyro.conf import UseAppendAction

from lstm_jax.checked import NotNegative, Size, checked

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@checked
class Address:
    """Where a server listens."""

    host: str = "127.0.0.1"
    """A name or address of this machine; by default only its own programs get in."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """The port; with 0, one that is free."""
    allowed_host: UseAppendAction[tuple[str, ...]] = ()
    """A further name by which clients call the server; may be given several times."""

    @property
    def local(self) -> bool:
        """Whether only programs of this machine get in."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def hosts(self) -> frozenset[str] | None:
        """The names that a request's Host header may have, in small letters; None for any.

        A page on the internet can have its own name resolve to this machine (DNS rebinding). Its
        requests then come from here, but they still have that name in them.
        """
        allowed = {name.lower() for name in self.allowed_host}
        if self.local:
            return frozenset({*allowed, *_LOCAL_NAMES, self.host.lower()})
        return frozenset({*allowed, self.host.lower()}) if allowed else None


@checked
class Limits:
    """What a server lets clients do, and how it works off what they ask."""

    batch_size: Size = 32
    """Texts that are collected to be predicted together."""
    wait_ms: Annotated[float, Field(ge=0, le=1000)] = 2.0
    """Milliseconds that texts are collected for, while several clients ask."""
    queue: Size = 1024
    """Texts that wait at most; beyond it the answer is status 503."""
    max_bytes: Size = 1 << 20
    """Bytes that the body of a request may have."""
    max_texts: Size = 128
    """Texts that a request may have."""
    max_characters: Size = 50_000
    """Characters that a text may have."""
    max_connections: Annotated[int, Field(ge=1, le=65536)] = 512
    """Connections that may be open; beyond it the answer is status 503."""
    timeout: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Seconds that a client may take to send a request, or to begin the next one."""
    requests_per_second: NotNegative = 0.0
    """Requests a second that each client may send in the long run; 0 is no limit."""
    burst: Size = 20
    """Requests that a client may send at once, where those a second are limited."""
