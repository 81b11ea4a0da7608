"""Balls of a norm on the lattice, and suprema over them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from maxslope.spaces import Lp, Space

Offset = tuple[int, ...]
Offsets = frozenset[Offset]
Level = tuple[tuple[int, Offset], ...]

_EDGE = 1e-9


@dataclass(frozen=True)
class Window:
    """The lattice ball W = { o in Z^d : |o|_p <= R }, what an adversary reaches from a cell.

    Suprema over W are taken level by level, a level being the maximum of a few shifts of levels before: runs of 2^k
    cells along an axis, lines from two runs, the ball from its lines; diamonds of the plane by doubling.

    Args:
        radius: R, in cells.
        space: the norm.
        dim: 2 or 3.

    Raises:
        ValueError: if the radius is not finite and at least 1.

    >>> w = Window(5.1, Lp(2), 2)
    >>> len(w.offsets), sum(len(level) for level in w.levels)
    (89, 28)
    """

    radius: float
    space: Lp
    dim: int

    def __post_init__(self) -> None:
        if not 1 <= self.radius < math.inf:
            raise ValueError(
                f"The radius of an adversary is finite and at least one cell, got {self.radius!r} cells; refine the "
                "grid, so that eps >= h."
            )

    @cached_property
    def offsets(self) -> Offsets:
        """The lattice points of the ball."""
        return _ball(self.radius, self.space.p, self.dim)

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """How suprema are taken: pairs (level, offset) of which each level is the maximum; level 0 is the function."""
        r = math.floor(self.radius + _EDGE)
        if self.space.p == math.inf:
            return _chain([shifts for axis in range(self.dim) for shifts in _line(r, axis, self.dim)])
        if self.space.p == 1 and self.dim == 2:
            return _chain(_diamonds(r))
        return _runs(self.offsets)

    @property
    def factors(self) -> tuple[Offsets, ...]:
        """Sets whose Minkowski sum is the window: itself. Deprecated; ``levels`` say how suprema are taken."""
        warnings.warn("Window.factors is now said by its levels.", DeprecationWarning, stacklevel=2)
        return (self.offsets,)

    @property
    def reach(self) -> int:
        """The largest coordinate of an offset."""
        return max(max(o) for o in self.offsets)

    @property
    def scale(self) -> float:
        """e / h, with which the discrete perimeter has the right mean over directions.

        e / h = mean_nu max_{o in W} <o, nu> / mean_nu |nu|_*: the decrease of area depends on the mean thickness alone.
        """
        nu = directions(self.dim)
        ends = [(*line, end) for line, end in lines(self.offsets).items()]  # W is symmetric, and so are its lines
        points = torch.tensor(ends, dtype=torch.float64)
        thickness = nu[:, :-1] @ points[:, :-1].T + nu[:, -1:].abs() * points[:, -1]
        return float(thickness.amax(1).mean()) / mean_width(self.space, self.dim)

    def maximum(self, u: Tensor) -> Tensor:
        """Return max_{o in W} u(i + o) at every cell; windows end at the edge of the grid.

        >>> Window(1, Lp(1), 2).maximum(torch.eye(4)[:2])
        tensor([[1., 1., 0., 0.],
                [1., 1., 1., 0.]])
        """
        pad = self.reach
        levels = [torch.nn.functional.pad(u, (pad, pad) * u.ndim, value=-math.inf)]
        for children in self.levels:
            level = torch.full_like(levels[0], -math.inf)
            for k, o in children:
                here, there = overlap(o, level.shape)
                level[here] = torch.maximum(level[here], levels[k][there])
            levels.append(level)
        return levels[-1][tuple(slice(pad, pad + n) for n in u.shape)]

    def minimum(self, u: Tensor) -> Tensor:
        """Return min_{o in W} u(i + o) at every cell."""
        return -self.maximum(-u)


def directions(dim: int) -> Tensor:
    """Return unit vectors spread evenly, ``[n, dim]`` float64: equal angles, or Fibonacci's lattice on the sphere."""
    n = 720 if dim == 2 else 4000
    k = torch.arange(n, dtype=torch.float64) + 0.5
    if dim == 2:
        angle = 2 * math.pi * k / n
        return torch.stack([angle.cos(), angle.sin()], 1)
    return spiral(1 - 2 * k / n)


def spiral(z: Tensor) -> Tensor:
    """Return unit vectors of heights ``z``, each turned by the golden angle from the one before, ``[n, 3]``."""
    angle = torch.arange(z.numel(), dtype=z.dtype) * (math.pi * (1 + math.sqrt(5)))
    r = (1 - z**2).sqrt()
    return torch.stack([r * angle.cos(), r * angle.sin(), z], 1)


def mean_width(space: Space, dim: int) -> float:
    """Return the mean over directions of |nu|_*, the support function of the unit ball.

    >>> round(mean_width(Lp(torch.inf), 2), 4)  # 4 / pi
    1.2732
    """
    return float(space.dual_norm(directions(dim)).mean())


@lru_cache(maxsize=64)
def _ball(radius: float, p: float, dim: int) -> Offsets:
    r = math.floor(radius + _EDGE)
    grid = torch.cartesian_prod(*[torch.arange(-r, r + 1)] * dim)
    kept = grid[Lp(p).norm(grid.double()) <= radius + _EDGE]
    return frozenset(tuple(o) for o in kept.tolist())


def lines(window: Offsets) -> dict[Offset, int]:
    """Return how far a ball goes to both sides along the last axis, by the other coordinates."""
    ends: dict[Offset, int] = {}
    for o in window:
        ends[o[:-1]] = max(ends.get(o[:-1], 0), o[-1])
    return dict(sorted(ends.items()))


def overlap(offset: Offset, shape: Sequence[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the cells i of an array for which i + offset is one of its cells, and these, as slices."""
    here = tuple(slice(max(-k, 0), n - max(k, 0)) for k, n in zip(offset, shape, strict=True))
    there = tuple(slice(max(k, 0), n - max(-k, 0)) for k, n in zip(offset, shape, strict=True))
    return here, there


def _runs(window: Offsets) -> tuple[Level, ...]:
    """Level k is the maximum over 2^k cells from a cell on, along the last axis; the last level, over all lines."""
    ends = lines(window)
    home = (0,) * len(next(iter(ends)))
    levels: list[Level] = [
        ((k, (*home, 0)), (k, (*home, 2**k))) for k in range((2 * max(ends.values()) + 1).bit_length() - 1)
    ]
    top: list[tuple[int, Offset]] = []
    for line, end in ends.items():
        k = (2 * end + 1).bit_length() - 1
        top += [(k, (*line, start)) for start in sorted({-end, end + 1 - 2**k})]
    return (*levels, tuple(top))


def _chain(shifts: list[list[Offset]]) -> tuple[Level, ...]:
    """Every level is the maximum over shifts of the one before: the window is the Minkowski sum of them all."""
    return tuple(tuple((k, o) for o in level) for k, level in enumerate(shifts))


def _diamonds(r: int) -> list[list[Offset]]:
    """The l_1 ball of the plane, |x| + |y| <= r + s, as that of r and four shifts by s <= r, from that of 1."""
    shifts, size = [sorted(_ball(1, 1.0, 2))], 1
    while size < r:
        s = min(size, r - size)
        shifts.append([(s, 0), (-s, 0), (0, s), (0, -s)])
        size += s
    return shifts


def _line(r: int, axis: int, dim: int) -> list[list[Offset]]:
    """The segment from -r to r by two shifts a level: lengths double from a cell on, the last two overlap."""
    k = (2 * r + 1).bit_length() - 1
    pairs = [*((0, 2**j) for j in range(k)), (-r, r + 1 - 2**k)]
    return [[tuple(o if a == axis else 0 for a in range(dim)) for o in pair] for pair in pairs]
