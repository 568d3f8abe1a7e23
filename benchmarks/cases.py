"""The sizes that are timed; the tests check results at the same ones."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# How long IMDB's training reviews are, cut at 500 tokens: the middles of 32 equal parts of them in
# order (Keras's tokenizer, 6,000 words; the mean is 196).
IMDB_LENGTHS = (
    47,
    64,
    82,
    99,
    111,
    118,
    123,
    128,
    132,
    137,
    142,
    147,
    153,
    159,
    167,
    174,
    183,
    192,
    202,
    214,
    228,
    243,
    259,
    279,
    302,
    328,
    360,
    399,
    448,
    500,
    500,
    500,
)


@dataclass(frozen=True)
class Case:
    """One layer and the batch it reads."""

    batch: int
    time: int
    features: int
    hidden: int
    bidirectional: bool = False
    ragged: bool = False

    @property
    def directions(self) -> int:
        """1, or 2 if bidirectional."""
        return 1 + self.bidirectional

    def operations(self, train: bool) -> int:
        """Floating-point operations of the matrix products that valid steps need.

        2 · steps · (D + H) · 4H forward; the backward pass has two products of the same size, one
        with the kernels for the inputs' and states' gradients, and one for the kernels' own.
        """
        steps = self.batch * self.time if not self.ragged else int(self.lengths().sum())
        forward = 2 * steps * (self.features + self.hidden) * 4 * self.hidden * self.directions
        return 3 * forward if train else forward

    def lengths(self) -> np.ndarray:
        """int32 [B]: lengths as IMDB has them, in no order."""
        lengths = np.maximum(1, np.array(IMDB_LENGTHS, np.int64) * self.time // 500)
        lengths = np.resize(lengths, self.batch)
        return np.random.default_rng(0).permutation(lengths).astype(np.int32)


CASES = {
    "article, B = 32": Case(32, 500, 32, 100),
    "article, B = 128": Case(128, 500, 32, 100),
    "article, B = 32, ragged": Case(32, 500, 32, 100, ragged=True),
    "article, B = 128, ragged": Case(128, 500, 32, 100, ragged=True),
    "bidirectional, H = 256": Case(64, 256, 128, 256, bidirectional=True),
    "bidirectional, H = 256, ragged": Case(64, 256, 128, 256, bidirectional=True, ragged=True),
    "H = 512": Case(16, 128, 512, 512),
    "one text": Case(1, 500, 32, 100),
}


class Problem(NamedTuple):
    """The numbers of a case; the kernels and biases by direction."""

    input_kernels: list[np.ndarray]  # [D, 4H] each, gates in the order i, f, g, o
    recurrent_kernels: list[np.ndarray]  # [H, 4H]
    biases: list[np.ndarray]  # [4H]
    inputs: np.ndarray  # [B, T, D], zero past a length
    cotangent: np.ndarray  # [B, T, directions · H]: the loss is its product with the outputs
    lengths: np.ndarray | None  # [B]

    @classmethod
    def of(cls, case: Case, seed: int = 0) -> "Problem":
        """Draws them; the same for every peer."""
        rng = np.random.default_rng(seed)

        def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
            return (scale * rng.normal(size=shape)).astype(np.float32)

        batch, time, features, hidden = case.batch, case.time, case.features, case.hidden
        directions = range(case.directions)
        inputs = draw(batch, time, features)
        cotangent = draw(batch, time, hidden * case.directions, scale=1 / batch)
        lengths = case.lengths() if case.ragged else None
        if lengths is not None:
            padding = np.arange(time) >= lengths[:, None]
            inputs[padding] = 0
            cotangent[padding] = 0
        return cls(
            [draw(features, 4 * hidden, scale=features**-0.5) for _ in directions],
            [draw(hidden, 4 * hidden, scale=hidden**-0.5) for _ in directions],
            [draw(4 * hidden, scale=0.1) for _ in directions],
            inputs,
            cotangent,
            lengths,
        )

    def weights(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Input kernel, recurrent kernel and bias of each direction."""
        return list(zip(self.input_kernels, self.recurrent_kernels, self.biases, strict=True))
