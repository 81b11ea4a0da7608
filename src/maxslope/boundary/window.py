"""Balls of a norm on the lattice, their factors, and suprema over them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from maxslope.spaces import Lp, Space

Offset = tuple[int, ...]
Offsets = frozenset[Offset]

_EDGE = 1e-9


@dataclass(frozen=True)
class Window:
    """The lattice ball W = { o in Z^d : |o|_p <= R }, what an adversary reaches from a cell.

    Suprema over W are taken factor by factor, W = F_1 + ... + F_m (Minkowski sums), which changes nothing but the cost.

    Args:
        radius: R, in cells.
        space: the norm.
        dim: 2 or 3.

    Raises:
        ValueError: if the radius is not finite and at least 1.

    >>> w = Window(5.1, Lp(2), 2)
    >>> len(w.offsets), sum(len(f) for f in w.factors)
    (89, 24)
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
    def factors(self) -> tuple[Offsets, ...]:
        """Sets whose Minkowski sum is the window, few points in all."""
        return _factors(self.offsets, self.radius, self.dim)

    @property
    def reach(self) -> int:
        """The largest coordinate of an offset."""
        return max(max(o) for o in self.offsets)

    @property
    def scale(self) -> float:
        """e / h, with which the discrete perimeter has the right mean over directions.

        e / h = mean_nu max_{o in W} <o, nu> / mean_nu |nu|_*: layers of half planes are exactly as thick as the support
        function says, and for any convex body the decrease of area depends on its mean alone (Cauchy, Crofton).
        """
        nu = directions(self.dim)
        points = torch.tensor(sorted(self.offsets), dtype=torch.float64)
        return float((nu @ points.T).amax(1).mean()) / mean_width(self.space, self.dim)

    def maximum(self, u: Tensor) -> Tensor:
        """Return max_{o in W} u(i + o) at every cell; windows end at the edge of the grid.

        >>> Window(1, Lp(1), 2).maximum(torch.eye(4)[:2])
        tensor([[1., 1., 0., 0.],
                [1., 1., 1., 0.]])
        """
        reaches = [max(max(abs(k) for k in o) for o in f) for f in self.factors]
        pad = sum(reaches)
        out = torch.nn.functional.pad(u, (pad, pad) * u.ndim, value=-math.inf)
        for factor, reach in zip(self.factors, reaches, strict=True):
            sizes = [n - 2 * reach for n in out.shape]
            best: Tensor | None = None
            for o in factor:
                part = out[tuple(slice(reach + k, reach + k + n) for k, n in zip(o, sizes, strict=True))]
                best = part if best is None else torch.maximum(best, part)
            assert best is not None  # no factor is empty
            out = best
        return out

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


def minkowski(a: Offsets, b: Offsets) -> Offsets:
    """Return { x + y : x in a, y in b }."""
    return frozenset(tuple(i + j for i, j in zip(x, y, strict=True)) for x, y in itertools.product(a, b))


@lru_cache(maxsize=64)
def _ball(radius: float, p: float, dim: int) -> Offsets:
    r = math.floor(radius + _EDGE)
    grid = torch.cartesian_prod(*[torch.arange(-r, r + 1)] * dim)
    kept = grid[Lp(p).norm(grid.double()) <= radius + _EDGE]
    return frozenset(tuple(o) for o in kept.tolist())


@lru_cache(maxsize=64)
def _factors(window: Offsets, radius: float, dim: int) -> tuple[Offsets, ...]:
    """The cheapest of several decompositions into a smaller ball, itself factored, and shifts that cover the rest."""
    r = math.floor(radius + _EDGE)
    if window == _ball(r, math.inf, dim):
        return tuple(f for axis in range(dim) for f in _line(r, axis, dim))
    best: tuple[Offsets, ...] = (window,)
    small = [(s, p) for s in range(1, r) for p in (1.0, math.inf)] + [(math.sqrt(s), 2.0) for s in range(1, r * r)]
    for size, p in small:
        part = _ball(size, p, dim)
        cover = _cover(window, part)
        if cover is None:
            continue
        inner = (part,) if len(part) <= 2 * dim + 1 or p == 2 else _factors(part, size, dim)
        if sum(map(len, inner)) + len(cover) < sum(map(len, best)):
            best = (*inner, cover)
    return best


def _line(r: int, axis: int, dim: int) -> list[Offsets]:
    """Two-point sets that add up to the segment from -r to r: lengths double, the last one overlaps."""
    sets: list[tuple[int, int]] = []
    length = 1
    while length < 2 * r + 1:
        step = min(length, 2 * r + 1 - length)
        ends = [(-(step // 2), step - step // 2), (-(step - step // 2), step // 2)]
        sets.append(ends[len(sets) % 2])
        length += step
    # Shifts of the pieces leave the sum centered up to a shift of the last one.
    left = -sum(a for a, _ in sets) - r
    sets[-1] = (sets[-1][0] + left, sets[-1][1] + left)
    return [frozenset(tuple(k if a == axis else 0 for a in range(dim)) for k in pair) for pair in sets]


def _cover(window: Offsets, part: Offsets) -> Offsets | None:
    """Few shifts of ``part`` that lie in the window and cover it, greedily; None if all such shifts do not."""
    shifts = [c for c in sorted(window) if all(tuple(i + j for i, j in zip(c, o, strict=True)) in window for o in part)]
    number = {o: k for k, o in enumerate(sorted(window))}
    if not shifts:
        return None
    covers = torch.zeros(len(shifts), len(window), dtype=torch.bool)
    for k, c in enumerate(shifts):
        covers[k, [number[tuple(i + j for i, j in zip(c, o, strict=True))] for o in part]] = True
    left = torch.ones(len(window), dtype=torch.bool)
    chosen = []
    while bool(left.any()):
        gain = (covers & left).sum(1)
        k = int(gain.argmax())
        if not int(gain[k]):
            return None
        chosen.append(shifts[k])
        left &= ~covers[k]
    return frozenset(chosen)
