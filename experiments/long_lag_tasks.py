"""The tasks of Hochreiter & Schmidhuber (1997), "Long Short-Term Memory", section 5.

Sequences are drawn as the paper describes them. Positions count from 1 and intervals include both
ends, which gives the least lags of its table 10. What it leaves open is said where it is decided.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

TESTED = 2_560  # test sequences
STRINGS = 256  # in each set of Reber strings

ORDER_SYMBOLS = "EBXYabcd"
REBER_SYMBOLS = "BTSXPVE"

# The Reber grammar (figure 3): at each node, the symbols that may come and where they lead.
REBER = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
)


class Sequences(NamedTuple):
    """N sequences of at most T steps, and what is to be said of them."""

    inputs: NDArray[np.float32]
    """[N, T, D], zero past a sequence's length."""
    lengths: NDArray[np.int32]
    """[N]."""
    targets: NDArray[np.float32]
    """[N, O] at the end of a sequence, or [N, T, O] at each of its steps and zero past them."""
    legal: NDArray[np.bool_] | None = None
    """[N, T, O], which symbols may come next; of the Reber grammar alone."""


def adding(rng: Generator, count: int, *, steps: int) -> Sequences:
    """Experiment 4: the sum of the two marked numbers of [-1, 1].

    The target is 0.5 + (X₁ + X₂) / 4.

    Args:
        rng: where chance comes from.
        count: N.
        steps: the least length, called T in the paper; the greatest is T + T/10.

    Returns:
        Inputs [N, T + T/10, 2], value and marker, and targets [N, 1].

    Raises:
        ValueError: if `steps` is below 20.

    Source: section 5.4.
    """
    inputs, lengths, first, second = _marked(rng, count, steps, lowest=-1.0, neutral=0.0)
    targets = 0.5 + (first + second) / 4
    return Sequences(inputs, lengths, targets[:, None].astype(np.float32))


def multiplication(rng: Generator, count: int, *, steps: int) -> Sequences:
    """Experiment 5: the product X₁ X₂ of the two marked numbers of [0, 1].

    Args, returns, raises: as `adding`.

    Source: section 5.5.
    """
    inputs, lengths, first, second = _marked(rng, count, steps, lowest=0.0, neutral=1.0)
    return Sequences(inputs, lengths, (first * second)[:, None])


def _marked(
    rng: Generator, count: int, steps: int, *, lowest: float, neutral: float
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Pairs of value and marker, their lengths, and the two values that are marked.

    One of the first ten pairs is marked, then one of the first T/2 - 1 that are not yet. The first
    and the last pair have the marker -1. Where the first pair is drawn its value becomes neutral,
    so that the answer does not hang on it. The paper says so of X₁; that the marker -1 stays, and
    that X₂ is treated alike, is how we read it.
    """
    if steps < 20:
        raise ValueError(f"steps must be at least 20, for ten pairs in the first half, got {steps}")
    rows, most = np.arange(count), steps + steps // 10
    lengths = rng.integers(steps, most, count, dtype=np.int32, endpoint=True)
    first = rng.integers(10, size=count)
    second = rng.integers(steps // 2 - 1, size=count)
    second += second >= first
    values = rng.uniform(lowest, 1.0, (count, most)).astype(np.float32)
    values[(first == 0) | (second == 0), 0] = neutral
    markers = np.zeros((count, most), np.float32)
    markers[rows, first] = markers[rows, second] = 1.0
    markers[:, 0] = markers[rows, lengths - 1] = -1.0
    inputs = np.stack([values, markers], axis=-1)
    inputs[np.arange(most) >= lengths[:, None]] = 0.0
    return inputs, lengths, values[rows, first], values[rows, second]


def temporal_order(rng: Generator, count: int, *, windows: Sequence[tuple[int, int]]) -> Sequences:
    """Experiment 6: in which order Xs and Ys came, wide apart among a, b, c, d.

    A sequence of 100 to 110 symbols starts with E and ends with B. With X = 0 and Y = 1 the class
    is the number that they write in binary: XX, XY, YX, YY are the paper's Q, R, S, U.

    Args:
        rng: where chance comes from.
        count: N.
        windows: for each X or Y the first and the last position where it may stand.

    Returns:
        Inputs [N, 110, 8], one component of each step set, and targets [N, 2 ** len(windows)].

    Source: section 5.6.
    """
    rows, most = np.arange(count), 110
    lengths = rng.integers(100, most, count, dtype=np.int32, endpoint=True)
    symbols = rng.integers(ORDER_SYMBOLS.index("a"), len(ORDER_SYMBOLS), (count, most))
    symbols[:, 0] = ORDER_SYMBOLS.index("E")
    symbols[rows, lengths - 1] = ORDER_SYMBOLS.index("B")
    classes = np.zeros(count, np.int64)
    for earliest, latest in windows:
        is_y = rng.integers(2, size=count)
        positions = rng.integers(earliest, latest, count, endpoint=True)
        symbols[rows, positions - 1] = ORDER_SYMBOLS.index("X") + is_y
        classes = 2 * classes + is_y
    inputs = np.eye(len(ORDER_SYMBOLS), dtype=np.float32)[symbols]
    inputs[np.arange(most) >= lengths[:, None]] = 0.0
    return Sequences(inputs, lengths, np.eye(2 ** len(windows), dtype=np.float32)[classes])


class ReberString(NamedTuple):
    """A string of the embedded Reber grammar."""

    symbols: str
    following: tuple[str, ...]
    """For each symbol but the last, those that may come next."""


def reber_string(rng: Generator) -> ReberString:
    """Experiment 1: B, then T or P, a string of the Reber grammar, the same T or P again, and E.

    Where two symbols may come, each does with probability 1/2.

    Source: section 5.1, figures 3 and 4.
    """
    branch = "TP"[rng.integers(2)]
    symbols, following = ["B", branch], ["TP"]
    node = 0
    while node < len(REBER):
        following.append("".join(REBER[node]))
        symbols.append(following[-1][rng.integers(len(REBER[node]))])
        node = REBER[node][symbols[-1]]
    return ReberString("".join([*symbols, branch, "E"]), (*following, branch, "E"))


def reber_strings(
    rng: Generator, count: int, without: Collection[ReberString] = ()
) -> list[ReberString]:
    """So many strings, none of them among those of `without`; one may come several times."""
    seen, strings = frozenset(without), []
    while len(strings) < count:
        if (string := reber_string(rng)) not in seen:
            strings.append(string)
    return strings


def as_sequences(strings: Sequence[ReberString], steps: int) -> Sequences:
    """Strings of at most `steps` + 1 symbols as [N, steps, 7]: every symbol, and the one after it.

    The last symbol is a target and no input.
    """
    shape = (len(strings), steps, len(REBER_SYMBOLS))
    inputs, targets = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    legal = np.zeros(shape, bool)
    for row, string in enumerate(strings):
        for step, possible in enumerate(string.following):
            inputs[row, step, REBER_SYMBOLS.index(string.symbols[step])] = 1.0
            targets[row, step, REBER_SYMBOLS.index(string.symbols[step + 1])] = 1.0
            legal[row, step, [REBER_SYMBOLS.index(symbol) for symbol in possible]] = True
    lengths = np.array([len(string.following) for string in strings], np.int32)
    return Sequences(inputs, lengths, targets, legal)


@dataclass(frozen=True)
class Goal:
    """When a network is tested, and what the paper has then, a mean over its trials."""

    sequences: int
    """Training sequences in the paper. A network that has not got there by as many has failed."""
    wrong: int | None = None
    """Wrong ones of the 2,560 test sequences in the paper."""
    wrong_below: int = 1
    """The criterion: fewer than these of the 2,000 most recent training sequences were wrong,"""
    error_below: float = math.inf
    """and their mean absolute error, summed over the outputs, was below this."""


@dataclass(frozen=True)
class Task:
    """What is to be learnt."""

    section: str
    """Where the paper has it."""
    goals: tuple[Goal, ...]
    draw: Callable[[Generator, int], Sequences] | None
    """New training sequences; None for the Reber grammar, whose training set is fixed."""
    remember: int
    """The least length of a sequence: for how many steps something may have to be kept."""
    tolerance: float = math.nan
    """A sequence is right if the error of every output at its end is below this."""
    softmax: bool = True
    """Softmax and cross-entropy; else the outputs as they are, and their squared error."""


# Sequences and wrong ones in the paper are those of its tables 1 (best row), 7, 8 and 9.
TASKS = {
    "reber": Task("5.1", (Goal(8_440),), None, 9),
    **{
        f"adding-{steps}": Task(
            "5.4",
            (Goal(sequences, wrong, error_below=0.01),),
            partial(adding, steps=steps),
            remember=steps,
            tolerance=0.04,
            softmax=False,
        )
        for steps, sequences, wrong in ((100, 74_000, 1), (500, 209_000, 0), (1000, 853_000, 1))
    },
    "multiplication": Task(
        "5.5",
        (Goal(482_000, 139, wrong_below=140), Goal(1_273_000, 14, wrong_below=13)),
        partial(multiplication, steps=100),
        remember=100,
        tolerance=0.04,
        softmax=False,
    ),
    "order-2": Task(
        "5.6, task 6a",
        (Goal(31_390, 1, error_below=0.1),),
        partial(temporal_order, windows=((10, 20), (50, 60))),
        remember=100,
        tolerance=0.3,
    ),
    "order-3": Task(
        "5.6, task 6b",
        (Goal(571_100, 2, error_below=0.1),),
        partial(temporal_order, windows=((10, 20), (33, 43), (66, 76))),
        remember=100,
        tolerance=0.3,
    ),
}


class Material(NamedTuple):
    """What a network is trained and tested on."""

    batch: Callable[[], Sequences]
    """The next training sequences."""
    test: Sequences
    """Drawn by another seed, for the end."""
    known: Sequences | None
    """The sets of the Reber grammar, on which success is defined."""


def prepare(task: Task, batch_size: int, seed: int) -> Material:
    """The material of one network: other seeds have other."""
    rng, test_rng = (np.random.default_rng([seed, part]) for part in range(2))
    if task.draw is not None:
        draw = partial(task.draw, rng, batch_size)
        return Material(draw, task.draw(test_rng, TESTED), None)
    train = reber_strings(rng, STRINGS)
    both = train + reber_strings(rng, STRINGS, without=train)
    test = reber_strings(test_rng, STRINGS, without=both)
    steps = max(len(string.following) for string in both + test)

    def batch() -> Sequences:
        chosen = rng.integers(STRINGS, size=batch_size)
        return as_sequences([train[n] for n in chosen], steps)

    return Material(batch, as_sequences(test, steps), as_sequences(both, steps))
