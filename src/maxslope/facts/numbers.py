"""Numbers in words: shares with their intervals, margins, counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from maxslope.evaluation import wilson

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """A share of samples and its 95 % Wilson interval; the count is no whole number where a few stand for all.

    >>> Share.of(80, 100).words
    '80.0 % (71.1 to 86.7 %)'
    """

    count: float
    total: int
    low: float
    high: float

    @classmethod
    def of(cls, count: int, total: int) -> Share:
        """Return the share with its interval."""
        return cls(count, total, *wilson(count, total))

    @classmethod
    def near(cls, value: float, total: int) -> Share:
        """Return the share of so many samples that is a value but for rounding."""
        return cls.of(round(value * total), total)

    @property
    def value(self) -> float:
        """count / total; 0 of none."""
        return self.count / self.total if self.total else 0.0

    @property
    def interval(self) -> str:
        """The ends of the interval, in percent."""
        return f"{100 * self.low:.1f} to {percent(self.high)}"

    @property
    def words(self) -> str:
        """The share and its interval, in percent."""
        return f"{percent(self.value)} ({self.interval})"


def percent(value: float) -> str:
    """Return a share in percent.

    >>> percent(0.885)
    '88.5 %'
    """
    return f"{100 * value:.1f} %"


def signed(value: float) -> str:
    """Return a margin with its sign, in as few digits as tell it from 0.

    >>> signed(1.234), signed(-0.00041), signed(0.0)
    ('+1.23', '-0.00041', '0')
    """
    return f"{value:+.3g}" if value else "0"


def number(value: float, digits: int = 4) -> str:
    """Return a number in a few digits, without a sign where it is zero.

    >>> number(-0.00004), number(0.12345), number(-0.0), number(float("nan"))
    ('-4e-05', '0.1235', '0', 'not known')
    """
    if not math.isfinite(value):
        return "not known"
    return f"{value:.{digits}g}" if value else "0"


def counted(count: float, noun: str) -> str:
    """Return how many things there are.

    >>> counted(1, "sample"), counted(0, "sample")
    ('1 sample', '0 samples')
    """
    return f"{count:.0f} {noun}{'' if count == 1 else 's'}"


def thinned(values: Sequence[T], most: int) -> list[T]:
    """Return at most about so many of the values, evenly, the last among them.

    >>> thinned(range(10), 4), thinned("ab", 4)
    ([0, 3, 6, 9], ['a', 'b'])
    """
    stride = max(1, -(-len(values) // most))
    return [*values[::stride], *(values[-1:] if (len(values) - 1) % stride else [])]
