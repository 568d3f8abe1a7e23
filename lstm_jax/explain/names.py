"""The names of the methods, and a word's score: what can be known without loading JAX."""

from typing import Literal, NamedTuple, get_args

Method = Literal[
    "ledger", "lrp", "decomposition", "integrated_gradients", "gradient_x_input", "occlusion"
]
METHODS: tuple[Method, ...] = get_args(Method)


class Token(NamedTuple):
    """A token of a text, and what it counts.

    Attributes:
        start, end: its first character in the text, and the one behind it.
        score: what it adds to the logit; None where the model does not read it, since the text is
            too long.
    """

    start: int
    end: int
    score: float | None
