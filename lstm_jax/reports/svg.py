"""Charts as inline SVG: light, sharp at any size, and coloured by the page's own style sheet."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lstm_jax.reports.escaped import escaped

Point = tuple[float, float]
LEFT, RIGHT, TOP, BOTTOM = 44, 20, 10, 38  # around the area that is plotted, in pixels
TICK = 4  # pixels between a tick's label and the axis
TICKS = 5  # of an axis of numbers, about


@dataclass(frozen=True)
class Axis:
    """One direction of a chart.

    Attributes:
        label: what it shows, with the unit.
        low, high: the values at its ends.
        ticks: values that are written on it, with what is written.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    def place(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


@dataclass
class Chart:
    """A chart that grows by what is drawn on it.

    Attributes:
        x, y: its axes.
        describes: what it shows, in a sentence, for those who do not see it.
        width, height: in pixels, labels included; it scales with the page.
    """

    x: Axis
    y: Axis
    describes: str
    width: int = 360
    height: int = 250
    _parts: list[str] = field(default_factory=list)

    def line(self, points: Iterable[Point], style: str) -> None:
        """Draws a line through points.

        Args:
            points: values of x and y.
            style: classes of the style sheet, such as "line c0".
        """
        path = " ".join(self._at(*point) for point in points)
        self._parts.append(f'<polyline class="{style}" points="{path}"/>')

    def dot(self, at: Point, style: str, hint: str = "", radius: float = 3.5) -> None:
        """Draws a dot, with a hint that shows under the pointer."""
        x, y = self._at(*at).split(",")
        self._parts.append(
            f'<circle class="{style}" cx="{x}" cy="{y}" r="{radius:g}">{_hint(hint)}</circle>'
        )

    def box(self, low: Point, high: Point, style: str, hint: str = "") -> None:
        """Draws a rectangle between two corners."""
        (x, bottom), (right, y) = self._pixels(*low), self._pixels(*high)
        self._parts.append(
            f'<rect class="{style}" x="{_short(x)}" y="{_short(y)}"'
            f' width="{_short(max(0.5, right - x))}" height="{_short(max(0.0, bottom - y))}">'
            f"{_hint(hint)}</rect>"
        )

    def svg(self) -> str:
        """The chart with its grid and its labels."""
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        parts = []
        for value, label in self.y.ticks:
            y = _short(self._pixels(self.x.low, value)[1])
            parts.append(f'<path class="grid" d="M{LEFT} {y}H{right}"/>')
            parts.append(
                f'<text class="end" x="{LEFT - TICK - 2}" y="{y}" dy=".32em">{label}</text>'
            )
        for value, label in self.x.ticks:
            x = _short(self._pixels(value, self.y.low)[0])
            parts.append(f'<text class="middle" x="{x}" y="{bottom + 15}">{label}</text>')
        parts.append(f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>')
        middle = (LEFT + right) // 2
        label = escaped(self.x.label)
        parts.append(f'<text class="middle name" x="{middle}" y="{self.height - 4}">{label}</text>')
        return drawing((self.width, self.height), self.describes, [*parts, *self._parts])

    def _pixels(self, x: float, y: float) -> Point:
        across, up = self.width - LEFT - RIGHT, self.height - TOP - BOTTOM
        return LEFT + across * self.x.place(x), TOP + up * (1 - self.y.place(y))

    def _at(self, x: float, y: float) -> str:
        return ",".join(map(_short, self._pixels(x, y)))


def drawing(size: tuple[int, int], describes: str, parts: Iterable[str]) -> str:
    """An inline picture of SVG.

    Args:
        size: width and height in pixels; it scales with the page.
        describes: what it shows, for those who do not see it.
        parts: its elements; what is from outside must be escaped in them.
    """
    width, height = size
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escaped(describes)}">'
        f"{''.join(parts)}</svg>"
    )


def percent_axis(label: str, low: float = 0.0, high: float = 1.0) -> Axis:
    """An axis of shares, from 0 to 1 or a part of it, in steps that suit."""
    step = next(step for step in (0.25, 0.1, 0.05, 0.02, 0.01) if (high - low) / step >= 3.9)
    first = math.ceil(low / step - 1e-9)
    values = [step * (first + n) for n in range(int((high - low) / step) + 2)]
    ticks = [(v, f"{100 * v:.0f}%") for v in values if low - 1e-9 <= v <= high + 1e-9]
    return Axis(label, low, high, ticks)


def number_axis(label: str, low: float, high: float) -> Axis:
    """An axis of numbers that begins and ends near the given ones, with some five round ticks."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / TICKS))
    step = next(power * part for part in (1, 2, 5, 10) if span / (power * part) <= TICKS)
    values = [step * n for n in range(math.floor(low / step), math.ceil(high / step) + 1)]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = [(value, f"{value:,.{digits}f}") for value in values]
    return Axis(label, values[0], max(values[-1], values[0] + step), ticks)


def _hint(text: str) -> str:
    return f"<title>{escaped(text)}</title>" if text else ""


def _short(pixels: float) -> str:
    """A coordinate to a tenth of a pixel."""
    return f"{pixels:.1f}".removesuffix(".0")
