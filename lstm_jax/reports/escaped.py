"""Text from outside on a page: nothing of it is markup, and nothing of it can steer what shows."""

from html import escape

from lstm_jax.console import printable


def escaped(text: object) -> str:
    """A text for HTML: on one line, with marks that turn the writing direction written out."""
    return escape(printable(" ".join(str(text).split())))


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters; where it is cut there is an ellipsis."""
    text = " ".join(text[: 4 * most + 100].split())
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
