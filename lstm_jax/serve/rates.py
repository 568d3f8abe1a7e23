"""How many requests each client may send."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

# Clients that are remembered; each takes some hundred bytes.
_CLIENTS = 10_000


class Rates:
    """A bucket of tokens for each client: a request takes one, and they come back with time.

    Source: "token bucket", Turner 1986, "New directions in communications".
    """

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """With `per_second` 0 there is no limit; `burst` is what a bucket holds."""
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, client: str) -> float:
        """Takes a token of a client.

        Args:
            client: its address; of IPv6 the first 64 bits, which is what one customer gets.

        Returns:
            0.0, or the seconds until there is a token again.
        """
        if not self._per_second:
            return 0.0
        name, now = _network(client), self._clock()
        tokens, since = self._buckets.pop(name, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        self._buckets[name] = (tokens - allowed, now)
        if len(self._buckets) > _CLIENTS:  # the one that was quiet for longest
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._per_second


def _network(client: str) -> str:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return client
    return str(ipaddress.ip_network((int(address), 64), strict=False))
