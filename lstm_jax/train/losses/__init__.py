"""What training minimises: `loss(params, batch, key) -> (loss, totals)`.

The step differentiates it. A loss is a frozen dataclass: a step is compiled once for equal ones.
"""

from lstm_jax.train.losses.adversarial import Adversarial
from lstm_jax.train.losses.base import Loss, Totals, zero_totals
from lstm_jax.train.losses.classification import Classification
from lstm_jax.train.losses.next_word import NextWord
from lstm_jax.train.losses.two_view import TwoView

__all__ = [
    "Adversarial",
    "Classification",
    "Loss",
    "NextWord",
    "Totals",
    "TwoView",
    "zero_totals",
]
