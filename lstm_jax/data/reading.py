"""What a user says of a file of texts; the rest is found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_NAMED = {"tab": "\t", "\\t": "\t"}


@dataclass(frozen=True)
class Reading:
    """How files of texts are read. What is not given is found out, and said.

    Raises:
        ValueError: if a value is not allowed, or the text is to be the label.
    """

    text_column: tuple[str, ...] = ()
    """Where the text is, by the name of the column or key (`a.b` is `b` within `a`); several are
    joined by line breaks. Else it is guessed, and said."""
    label_column: str | None = None
    """Where the label is. Else it is guessed, and said."""
    delimiter: str | None = None
    """What separates columns: a character, or `tab`. Else it is found out, and said."""
    encoding: str | None = None
    """How bytes are read as letters, such as windows-1252. Else it is found out, and said."""
    header: Literal["yes", "no"] | None = None
    """Whether the first row names the columns, or there is no such row and they are called 1, 2,
    and so on. Else it is found out, and said."""
    on_error: Literal["stop", "skip"] | None = None
    """What to do with a row that cannot be used: stop at the first one, or leave all of them out.
    Else they are left out, and more than 1 % of the rows stop the run."""

    def __post_init__(self) -> None:
        if isinstance(self.text_column, str):
            object.__setattr__(self, "text_column", (self.text_column,))
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _NAMED.get(self.delimiter, self.delimiter))
            if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
                raise ValueError(
                    "delimiter must be one character, and no quote or line break, or 'tab', got"
                    f" {self.delimiter!r}"
                )
        repeated = {name for name in self.text_column if self.text_column.count(name) > 1}
        if repeated:
            raise ValueError(f"text_column must name each column once, got {min(repeated)!r} twice")
        if self.label_column is not None and self.label_column in self.text_column:
            raise ValueError(
                f"text_column and label_column must differ, got {self.label_column!r} for both"
            )
        if self.encoding is not None:
            try:
                b"a".decode(self.encoding, "replace")
            except (LookupError, ValueError):
                raise ValueError(
                    "encoding must be the name of one, such as utf-8, windows-1252 or utf-16, got"
                    f" {self.encoding!r}"
                ) from None

    def given(self) -> dict[str, str]:
        """What was said, by the name of the field, as it is shown in messages."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: " ".join(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value
        }
