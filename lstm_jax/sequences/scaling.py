"""How a classifier's channels become features: standardised, missing values flagged."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lstm_jax.checked import checked
from lstm_jax.sequences.arrays import Series, check_observed


@checked
class Scaling:
    """Standardises each channel, by what the training sequences had.

    A missing value becomes the channel's mean. A channel of which the training sequences had
    missing values has a second feature, 1 where the value is missing: so the network can tell.
    """

    mean: tuple[float, ...]
    """Of each channel, over all steps of all sequences."""
    deviation: tuple[float, ...]
    """The standard deviation; 1 for a channel that is constant."""
    flagged: tuple[int, ...]
    """The channels with a feature for what is missing."""

    @classmethod
    def fit(cls, sequences: Sequence[Series]) -> Self:
        """That of training sequences [T, D].

        Raises:
            ValueError: if a channel has no value.
        """
        check_observed(sequences, "X")
        steps = np.concatenate(sequences)
        mean, deviation = np.nanmean(steps, axis=0), np.nanstd(steps, axis=0)
        # What rounding leaves of a constant is no variation.
        constant = deviation <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
        deviation = np.where(constant, 1.0, deviation)
        flagged = np.flatnonzero(np.isnan(steps).any(axis=0))
        return cls(tuple(mean.tolist()), tuple(deviation.tolist()), tuple(flagged.tolist()))

    @property
    def channels(self) -> int:
        """D."""
        return len(self.mean)

    @property
    def features(self) -> int:
        """How many features a step has."""
        return self.channels + len(self.flagged)

    def __call__(self, sequence: Series) -> NDArray[np.float32]:
        """A sequence [T, D] as features [T, F]."""
        missing = np.isnan(sequence)
        scaled = (sequence - np.array(self.mean)) / np.array(self.deviation)
        scaled = np.where(missing, 0, scaled)
        flags = missing[:, list(self.flagged)]
        return np.concatenate([scaled, flags], axis=1).astype(np.float32)
