"""Charts as inline SVG: drawn by small functions, colored by the page's style sheet, readable without a script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

Point = tuple[float, float]

WIDTH, HEIGHT = 440, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 22, 32, 50
_STRETCHES = 300  # of a long series
_LINE = 17  # least distance of two labels


@dataclass(frozen=True)
class Axis:
    """A scale from ``low`` to ``high``; ``percent`` names ticks as percentages of 1.

    Raises:
        ValueError: if ``high`` is not above ``low``, or a logarithmic scale starts at 0.
    """

    low: float
    high: float
    label: str
    log: bool = False
    percent: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"An axis needs low < high, and low > 0 if log, got {self.low!r} to {self.high!r}.")

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at ``low`` and 1 at ``high``; values beyond the ends lie at the ends."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return about five round values and their names.

        >>> [name for _, name in Axis(0, 1, "share", percent=True).ticks()]
        ['0 %', '20 %', '40 %', '60 %', '80 %', '100 %']
        """
        if self.log:
            low, high = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1,) if high - low > 3 else (1, 3) if high - low > 1 else (1, 2, 5)
            values = [k * 10.0**e for e in range(low, high + 1) for k in steps]
        else:
            step = _round_step((self.high - self.low) / 5)
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            values = [k * step for k in range(first, last + 1)]
        kept = [v for v in values if self.low * (1 - 1e-9) - 1e-12 <= v <= self.high * (1 + 1e-9)]
        return [(v, f"{100 * v:.3g} %" if self.percent else f"{v:.4g}") for v in kept]


def _round_step(rough: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not below ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= rough * (1 - 1e-9))


def shade(color: int) -> int:
    """Return the class of a color: there are eight, each with dashes of its own, and then they come again.

    >>> shade(1), shade(8), shade(9)
    (1, 8, 1)
    """
    return (color - 1) % 8 + 1


class Chart:
    """A chart under construction: add bands, lines, rules and dots, then ask for its text.

    Args:
        x: the horizontal scale.
        y: the vertical scale.
        name: a word that is unique on the page, or "".
        title: what the chart shows, for those who do not see it.
        description: what a reader sees in it, in a sentence or two.
        margin: room for labels at the right of lines.
    """

    def __init__(self, x: Axis, y: Axis, name: str, title: str, description: str, margin: int = 0) -> None:
        self.x, self.y, self.name, self.title, self.description = x, y, name, title, description
        self.right = WIDTH - _RIGHT - margin
        self._parts: list[str] = []
        self._labels: list[tuple[float, str, int]] = []

    def place(self, point: Point) -> Point:
        """Return where a point of the scales lies on the drawing."""
        px = _LEFT + self.x.share(point[0]) * (self.right - _LEFT)
        py = HEIGHT - _BOTTOM - self.y.share(point[1]) * (HEIGHT - _BOTTOM - _TOP)
        return round(px, 1), round(py, 1)

    def band(self, lower: Sequence[Point], upper: Sequence[Point], color: int = 1) -> None:
        """Fill between two lines."""
        self._parts.append(f'<path class="band c{shade(color)}" d="{self._path([*lower, *reversed(upper)])}Z"/>')

    def line(self, points: Sequence[Point], color: int = 1, label: str = "") -> None:
        """Draw a line; each color has its own dashes too. The label stands at its end."""
        self._parts.append(f'<path class="line c{shade(color)}" d="{self._path(points)}"/>')
        if label and points:
            _, end = self.place(points[-1])
            self._labels.append((end, label, color))

    def steps(self, points: Sequence[Point], color: int = 1) -> None:
        """Draw a line that keeps each value until the next point."""
        corners = [c for (_, b), (c0, d) in pairwise(points) for c in ((c0, b), (c0, d))]
        self.line([*points[:1], *corners], color)

    def dots(self, points: Sequence[tuple[float, float, str]], color: int = 1) -> None:
        """Draw points that say something when pointed at or reached by the arrow keys."""
        for x, y, text in points:
            px, py = self.place((x, y))
            title = f"<title>{escape(text)}</title>"
            self._parts.append(f'<circle class="dot c{shade(color)}" cx="{px}" cy="{py}" r="3">{title}</circle>')

    def whisker(self, x: float, low: float, high: float, color: int) -> None:
        """Draw an interval upright."""
        (px, bottom), (_, top) = self.place((x, low)), self.place((x, high))
        ends = "".join(f"M{px - 5} {end}H{px + 5}" for end in (bottom, top))
        self._parts.append(f'<path class="whisker c{shade(color)}" d="M{px} {bottom}V{top}{ends}"/>')

    def upright(self, x: float, label: str) -> None:
        """Draw a vertical rule with a label at its top."""
        px, _ = self.place((x, self.y.low))
        end = px > (_LEFT + self.right) / 2
        at = f'x="{px - 5}" text-anchor="end"' if end else f'x="{px + 5}"'
        self._parts.append(f'<path class="rule" d="M{px} {_TOP}V{HEIGHT - _BOTTOM}"/>')
        self._parts.append(f'<text class="note" {at} y="{_TOP + 12}">{escape(label)}</text>')

    def level(self, y: float, label: str) -> None:
        """Draw a horizontal rule with a label at its left end."""
        _, py = self.place((self.x.low, y))
        self._parts.append(f'<path class="rule" d="M{_LEFT} {py}H{self.right}"/>')
        self._parts.append(f'<text class="note" x="{_LEFT + 6}" y="{py + 15}">{escape(label)}</text>')

    def text(self) -> str:
        """Return the SVG element; without a name it has no ids."""
        said, t, d = f'aria-label="{escape(self.title)}"', "", ""
        if self.name:
            said = f'aria-labelledby="{self.name}-title {self.name}-desc"'
            t, d = (f' id="{self.name}-{part}"' for part in ("title", "desc"))
        head = (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {said}>'
            f"<title{t}>{escape(self.title)}</title><desc{d}>{escape(self.description)}</desc>"
        )
        return head + self._frame() + "".join(self._parts) + self._names() + "</svg>"

    def _path(self, points: Sequence[Point]) -> str:
        return "M" + "L".join(f"{px} {py}" for px, py in map(self.place, points))

    def _frame(self) -> str:
        parts = []
        for value, name in self.y.ticks():
            _, py = self.place((self.x.low, value))
            parts.append(f'<path class="grid" d="M{_LEFT} {py}H{self.right}"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{py + 4.5}" text-anchor="end">{name}</text>')
        for value, name in self.x.ticks():
            px, _ = self.place((value, self.y.low))
            parts.append(f'<path class="grid" d="M{px} {HEIGHT - _BOTTOM}v5"/>')
            parts.append(f'<text x="{px}" y="{HEIGHT - _BOTTOM + 19}" text-anchor="middle">{name}</text>')
        parts.append(f'<text class="label" x="0" y="{_TOP - 16}">{escape(self.y.label)}</text>')
        parts.append(f'<path class="axis" d="M{_LEFT} {HEIGHT - _BOTTOM}H{self.right}"/>')
        middle = (_LEFT + self.right) / 2
        parts.append(
            f'<text class="label" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(self.x.label)}</text>'
        )
        return "".join(parts)

    def _names(self) -> str:
        """The labels at the ends of lines, moved apart where they would overlap."""
        placed: list[tuple[float, str, int]] = []
        lowest = -math.inf
        for wish, label, color in sorted(self._labels):
            lowest = max(wish + 4, lowest + _LINE)
            placed.append((lowest, label, color))
        over = max(lowest - (HEIGHT - _BOTTOM), 0.0)
        return "".join(
            f'<text class="name c{shade(color)}" x="{self.right + 6}" y="{round(y - over, 1)}">{escape(label)}</text>'
            for y, label, color in placed
        )


def series(values: Sequence[float], title: str, color: int = 1) -> str:
    """Return a long series as a line; of many numbers, the least and the largest of each stretch. It has no ids."""
    stride = max(1, len(values) // _STRETCHES)
    low, high = min(values), max(values)
    room = 0.05 * max(high - low, 1e-12)
    points: list[Point] = []
    for k in range(0, len(values), stride):
        stretch = values[k : k + stride]
        points += [(k, value) for value in ((min(stretch), max(stretch)) if stride > 1 else stretch)]
    x, y = Axis(0, len(values), "number in the series"), Axis(low - room, high + room, "")
    chart = Chart(x, y, "", title, f"From {low:.3g} to {high:.3g}.")
    chart.line(points, color)
    return chart.text()
