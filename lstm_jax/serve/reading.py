"""The body of a request: read within its limits, and checked before anything is computed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from starlette.requests import Request

from lstm_jax.checked import refusal, shortened
from lstm_jax.explain.names import Method
from lstm_jax.serve.refused import Refused
from lstm_jax.serve.settings import Limits

Asked = TypeVar("Asked")

_STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class ToPredict:
    """What POST /predict takes: one of the two."""

    texts: list[str] | None = None
    text: str | None = None


@dataclass(frozen=True, config=_STRICT)
class ToExplain:
    """What POST /explain takes."""

    text: str
    method: Method | None = None
    class_name: Annotated[str | None, Field(alias="class")] = None


_TO_PREDICT, _TO_EXPLAIN = TypeAdapter(ToPredict), TypeAdapter(ToExplain)


def declared_length(headers: Mapping[str, str]) -> int | None:
    """The bytes that a body is said to have, if that is said."""
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None


async def read_body(request: Request, limits: Limits) -> bytes:
    """The bytes of a request.

    Args:
        request: one whose body nobody has read.
        limits: of the server.

    Raises:
        Refused: if it is not said to be JSON, is too large (before it is read, if it says so
            itself, else as soon as it is), or does not come in time.
        ClientDisconnect: if the client has gone.
    """
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, f"Content-Type must be application/json, got {shortened(kind)}")
    length = declared_length(request.headers)
    if length is not None and length > limits.max_bytes:
        raise Refused(413, f"the body must have at most {limits.max_bytes} bytes, got {length}")
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.timeout):
            async for part in request.stream():
                size += len(part)
                if size > limits.max_bytes:
                    raise Refused(413, f"the body must have at most {limits.max_bytes} bytes")
                parts.append(part)
    except TimeoutError:
        raise Refused(408, f"the body must come within {limits.timeout:g} seconds") from None
    return b"".join(parts)


def texts_of(body: bytes, limits: Limits) -> tuple[list[str], bool]:
    """The texts to predict, and whether it is one, given as `text`.

    Raises:
        Refused: saying what is wrong with the body.
    """
    asked = _parsed(_TO_PREDICT, body)
    if (asked.texts is None) == (asked.text is None):
        raise Refused(400, 'the body must be {"texts": [...]} or {"text": "..."}')
    texts = [asked.text] if asked.text is not None else asked.texts or []
    if len(texts) > limits.max_texts:
        raise Refused(413, f"texts must be at most {limits.max_texts}, got {len(texts)}")
    for number, text in enumerate(texts):
        _check_length(text, "text" if asked.text is not None else f"texts[{number}]", limits)
    return texts, asked.text is not None


def explanation_of(body: bytes, limits: Limits, classes: Sequence[str]) -> ToExplain:
    """What is to be explained.

    Raises:
        Refused: saying what is wrong with the body.
    """
    asked = _parsed(_TO_EXPLAIN, body)
    _check_length(asked.text, "text", limits)
    name = asked.class_name
    if name is not None and name not in classes:
        raise Refused(400, f"class must be one of {', '.join(classes)}, got {shortened(name)}")
    return asked


def _parsed(kind: TypeAdapter[Asked], body: bytes) -> Asked:
    """Not by `json.loads`, which reads [[[[... until Python's stack is full."""
    try:
        return kind.validate_json(body)
    except ValidationError as error:
        reason = refusal(error)
    whole = {"must": "the body ", "not ": "the body is "}.get(reason[:4], "")
    raise Refused(400, whole + reason)


def _check_length(text: str, name: str, limits: Limits) -> None:
    if len(text) > limits.max_characters:
        raise Refused(
            413, f"{name} must have at most {limits.max_characters} characters, got {len(text)}"
        )
