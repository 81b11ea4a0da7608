"""How the passes of a pursuit are divided: among the runs of one, or among ways that are pursuits of their own."""

from __future__ import annotations

from dataclasses import dataclass

from maxslope.attacks.starts import Clean, Gray, Middle, Mixed, Opposite, Start, Uniform

LEAST = 4  # gradients below which nothing can be pursued
_WAY, SHORTEST = 20, 8  # gradients of a way, and of the last one
# Starts of the explorations of a pursuit, and the rank of the class to raise, by the logits at the clean point (0: the
# strongest anywhere); of them, the starts of its way out.
EXPLORE: tuple[tuple[Start, int], ...] = (
    (Middle(), 2),
    (Middle(), 0),
    (Clean(), 3),
    (Opposite(), 0),
    (Clean(), 4),
    (Clean(), 2),
    (Uniform(), 0),
)
OUTWARD = (5, 3, 6)
# The same of ways; each breaks samples that those before it leave.
_WAYS: tuple[tuple[Start, int], ...] = (
    (Middle(), 1),
    (Uniform(), 0),
    (Uniform(), 2),
    (Middle(), 0),
    (Gray(), 1),
    (Clean(), 2),
    (Uniform(), 3),
    (Opposite(), 0),
    (Middle(), 2),
    (Clean(), 3),
)


def _base(passes: int) -> int:
    """Steps of a run of a sample with so many passes, where nothing speaks for more or less."""
    return max(1, min(20, max(passes // 3, 8), passes // 2))


def outward(passes: int) -> int:
    """Return the steps of the first run of a sample with so many passes, at most: it ends where an error is found."""
    return max(passes - _base(passes), 1)


def lengths_after(passes: int, spent: int) -> list[int]:
    """Return the lengths of the runs after the first, which has ``spent`` of the passes; their sum is what is left.

    The second closes in on the clean point from the error that was found, and lasts as long as the search for it
    justifies; further ones explore other starts and rivals; the last starts at the best point.
    """
    base, left = _base(passes), passes - spent
    first = min(left, max(base, 4 * (spent - 2)))
    rest = left - first
    if rest < max(4, base // 2):
        return [left] if left else []
    return [first, *shared(passes, rest)]


def shared(passes: int, left: int) -> list[int]:
    """Return the lengths of as many runs as share what is ``left`` of the passes of a sample."""
    return even(left, max(1, round(left / _base(passes))))


def even(left: int, runs: int) -> list[int]:
    """Return the lengths of runs that share ``left`` passes evenly."""
    return [left // runs + (k < left % runs) for k in range(runs)]


@dataclass(frozen=True)
class Way:
    """A pursuit of its own from one start towards one class, over as soon as an error lies within the budget."""

    start: Start  # where it goes from, as far out as the box allows; from the clean point it goes out by itself
    rank: int  # of the class to raise, by the logits at the clean point; 0 for the strongest anywhere
    number: int  # what the random numbers of the start are keyed by


def next_length(left: int) -> int:
    """Return how many of the gradients that are left the next way has: what it takes to tell whether it leads anywhere.

    >>> next_length(50), next_length(27)
    (20, 27)
    """
    return _WAY if left >= _WAY + SHORTEST else left


def way_of(number: int) -> Way:
    """Return a way by its place in the order; they come again after the last, from starts that are partly random."""
    start, rank = _WAYS[number % len(_WAYS)]
    if number >= len(_WAYS) and not isinstance(start, Uniform):
        start = Mixed(start, Uniform())
    return Way(start, rank, number)
