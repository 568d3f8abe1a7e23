"""What a client is told when its request is not answered."""

import math
from typing import Any

from starlette.responses import JSONResponse

from lstm_jax.console import printable

# Characters of a reason: names of fields and classes may be of any length.
_LONGEST = 500


class Refused(Exception):
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        reason: one line for the client.
        retry_after: seconds after which it may try again, or None.
    """

    def __init__(self, status: int, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        line = printable(" ".join(reason.split()))
        self.reason = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
        self.status, self.retry_after = status, retry_after

    def response(self) -> JSONResponse:
        """The answer."""
        headers: dict[str, Any] = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        return JSONResponse({"error": self.reason}, self.status, headers)
