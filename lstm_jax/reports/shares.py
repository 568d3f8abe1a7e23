"""Shares of a whole: how uncertain one is that was counted in a sample, and how it is written."""

import math
from typing import NamedTuple

Z = 1.959963984540054  # of a normal distribution, 95% lies within so many standard deviations


class Interval(NamedTuple):
    """Between which values a share lies, with 95% confidence; both in [0, 1]."""

    low: float
    high: float


def wilson_interval(right: int, count: int) -> Interval:
    """The 95% interval of a share of which `right` of `count` were counted.

    Args:
        right: in [0, count].
        count: at least 1.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    share = right / count
    scale = 1 + Z**2 / count
    middle = (share + Z**2 / (2 * count)) / scale
    width = Z / scale * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    # Rounding must not put a share of 0 or 1 outside its interval.
    return Interval(min(share, max(0.0, middle - width)), max(share, min(1.0, middle + width)))


def percent(share: float, digits: int = 1) -> str:
    """A share as people read it: "91.2%"; "100.0%" and "0.0%" only where that is exact.

    Args:
        share: in [0, 1].
        digits: after the point.
    """
    shown, smallest = f"{100 * share:.{digits}f}", 10.0**-digits
    if share < 1 and float(shown) == 100:
        return f">{100 - smallest:.{digits}f}%"
    if share > 0 and float(shown) == 0:
        return f"<{smallest:.{digits}f}%"
    return f"{shown}%"


def percents(interval: Interval, digits: int = 1) -> str:
    """An interval as people read it: "89.9 to 92.4%"."""
    low, high = (f"{100 * share:.{digits}f}" for share in interval)
    return f"{low} to {high}%"


def counted(count: int, what: str) -> str:
    """A number with what it counts: "2,000 test texts", "1 test text", "1 text of more.csv"."""
    if count == 1:
        what = what.replace("texts", "text", 1)
    return f"{count:,} {what}"


def signed_points(difference: float) -> str:
    """A difference of two shares as people read it, in points of a percentage: "+0.4", "-1.2"."""
    return f"{100 * difference:+.1f}"


def points(interval: Interval) -> str:
    """The interval of such a difference: "-0.3 to +1.1"."""
    return f"{signed_points(interval.low)} to {signed_points(interval.high)}"


def p_value(p: float) -> str:
    """The p of a test: "0.032", "<0.001"."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
