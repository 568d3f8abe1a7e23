"""Dataclasses that check their fields when they are made, and the sentence that says what is wrong.

pydantic does the checking. What it says of a wrong value has many lines and a URL; `refusal` turns
it into the sentence that every message here is: "batch_size must be at least 1, got 0".
"""

import dataclasses
from collections.abc import Sequence
from functools import wraps
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

Made = TypeVar("Made")

_MOST = 2**31 - 1  # of an int32, which arrays are counted in
_LARGEST = 1e38  # a float32 holds three times as much; beyond is infinity

Size = Annotated[int, Field(ge=1, le=_MOST)]
Count = Annotated[int, Field(ge=0, le=_MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # jax.random.key leaves out what is above
Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)]
Positive = Annotated[float, Field(gt=0, le=_LARGEST)]
NotNegative = Annotated[float, Field(ge=0, le=_LARGEST)]
Probability = Annotated[float, Field(ge=0, lt=1)]

# No field that is not theirs, and no number that JSON cannot hold.
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, Field))
def checked(cls: type[Made]) -> type[Made]:
    """Makes a class a frozen dataclass that refuses wrong values with a plain `ValueError`."""
    made: Any = dataclass(frozen=True, config=_STRICT)(cls)
    init, names = made.__init__, [field.name for field in dataclasses.fields(made)]

    @wraps(init)
    def checking(self: Any, *values: Any, **fields: Any) -> None:
        try:
            init(self, *values, **fields)
        except ValidationError as error:
            raise ValueError(refusal(error, names)) from None

    made.__init__ = checking
    return made


def refusal(error: ValidationError, names: Sequence[str] = ()) -> str:
    """The first thing that pydantic found wrong, as "FIELD must be WHAT IS ALLOWED, got VALUE".

    Args:
        error: what pydantic raised.
        names: of fields that may have been given by their position.

    Returns:
        One line; it begins with "must be" if the whole value, and no field of it, is wrong.
    """
    first = error.errors(include_url=False)[0]
    where = list(first["loc"])
    if names and where and isinstance(where[0], int):
        where[0] = names[where[0]]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)[1:]
    kind, context = first["type"], first.get("ctx", {})
    if kind == "json_invalid":
        return f"not JSON, {context['error']}"
    if kind == "value_error":
        return str(context["error"])
    if kind in ("missing", "missing_argument"):
        return f"{field} is missing"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{field} is no field of this"
    return f"{field} must be {_allowed(first, context)}, got {shortened(first['input'])}".lstrip()


def shortened(value: object) -> str:
    """A value as Python writes it, on one line and of at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "finite",
    "string": "a string",
    "bool": "true or false",
    "dict": "an object",
    "dataclass": "an object",
    "list": "a list",
    "tuple": "a list",
}


def _allowed(first: Any, context: dict[str, Any]) -> str:
    """What is allowed in the place of a wrong value."""
    for kind, words in (("ge", "at least"), ("le", "at most"), ("gt", "above"), ("lt", "below")):
        if kind in context:
            limit = context[kind]
            return f"{words} {limit:g}" if isinstance(limit, float) else f"{words} {limit}"
    if "expected" in context:  # of a Literal
        return context["expected"]
    if words := _KINDS.get(first["type"].split("_")[0]):
        return words
    return first["msg"].removeprefix("Input should be ").removeprefix("a valid ")
