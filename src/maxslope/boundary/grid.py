"""Grids of sets: a set is the superlevel {u > 0} of a signed function on the cells of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.boundary._optional import load

Number = float | int


@dataclass(frozen=True)
class _Sides:
    """What a :class:`Grid` holds, in the form in which it is used."""

    shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Grid(_Sides):
    """A box of square (2D) or cubic (3D) cells; functions on it are float64 tensors ``[*shape]``, values at centers.

    Axis k of a tensor is coordinate k; the center of cell i is low + (i + 1/2) h.

    Args:
        shape: cells along each of 2 or 3 axes.
        low: the lower corner, a number for all axes or one per axis, in length units.
        high: the upper corner.

    Raises:
        ValueError: if there are not 2 or 3 axes, an axis has fewer than 4 cells, or the cells are not square.

    >>> grid = Grid((64, 32), (-1, -0.5), (1, 0.5))
    >>> grid.h, grid.cell, tuple(grid.points().shape)
    (0.03125, 0.0009765625, (64, 32, 2))
    """

    def __init__(self, shape: Sequence[int], low: Number | Sequence[Number], high: Number | Sequence[Number]) -> None:
        sizes = tuple(int(n) for n in shape)
        if len(sizes) not in (2, 3) or min(sizes) < 4:
            raise ValueError(
                f"A grid has 2 or 3 axes of at least 4 cells, got shape {sizes}; sets in more dimensions have no grid "
                "and are carried by a network instead."
            )
        corner, other = _per_axis(low, len(sizes)), _per_axis(high, len(sizes))
        sides = [(b - a) / n for a, b, n in zip(corner, other, sizes, strict=True)]
        if not (0 < min(sides) < math.inf and max(sides) - min(sides) <= 1e-9 * max(sides)):
            raise ValueError(
                f"The cells of a grid have equal, positive sides, got {sides} from shape {sizes}, low {corner} and "
                f"high {other}; choose shape proportional to high - low."
            )
        _Sides.__init__(self, sizes, corner, other)

    @property
    def dim(self) -> int:
        """Number of axes, 2 or 3."""
        return len(self.shape)

    @property
    def h(self) -> float:
        """The side of a cell, in length units."""
        return (self.high[0] - self.low[0]) / self.shape[0]

    @property
    def cell(self) -> float:
        """The measure of a cell, h^d."""
        return self.h**self.dim

    @property
    def diameter(self) -> float:
        """The diagonal of the box, in length units."""
        return math.dist(self.low, self.high)

    def points(self) -> Tensor:
        """Return the centers of the cells, ``[*shape, d]`` float64."""
        lines = [
            a + (torch.arange(n, dtype=torch.float64) + 0.5) * self.h for a, n in zip(self.low, self.shape, strict=True)
        ]
        return torch.stack(torch.meshgrid(*lines, indexing="ij"), -1)

    def to_index(self, x: Tensor) -> Tensor:
        """Return fractional cell indices of points ``[..., d]``; centers have whole ones."""
        return (x - x.new_tensor(self.low)) / self.h - 0.5

    def to_points(self, index: Tensor) -> Tensor:
        """Return the points of fractional cell indices ``[..., d]``."""
        return (index + 0.5) * self.h + index.new_tensor(self.low)

    def at(self, u: Tensor, points: Tensor, order: int = 1) -> Tensor:
        """Return a function on the grid at points ``[..., d]``, by splines; beyond the outermost centers as there."""
        index = self.to_index(points).movedim(-1, 0).numpy()
        return torch.from_numpy(
            load("scipy.ndimage", "scipy").map_coordinates(u.cpu().numpy(), index, order=order, mode="nearest")
        )

    def measure(self, u: Tensor, weight: Tensor | None = None) -> float:
        """Return the integral of ``weight`` (1 by default) over {u > 0}, of second order in h for signed distances.

        int_{u > 0} w dx = sum_i h^d w_i H(u_i), H the integral of the hat function on [-h, h].

        >>> grid = Grid((64, 64), -1, 1)
        >>> round(grid.measure(0.5 - grid.points().norm(dim=-1)), 2)  # pi / 4
        0.79
        """
        share = inside(self.function(u), self.h)
        return float((share if weight is None else share * weight.to(share)).sum()) * self.cell

    def function(self, u: Tensor, name: str = "A function on the grid") -> Tensor:
        """Return ``u`` as float64 after checking that it is a finite function on this grid.

        Raises:
            TypeError: if it is no tensor.
            ValueError: if its shape is not the grid's, or it is not finite.
        """
        if not isinstance(u, Tensor):
            raise TypeError(
                f"{name} is a torch tensor {list(self.shape)}, got {type(u).__name__}; use torch.as_tensor."
            )
        if tuple(u.shape) != self.shape:
            raise ValueError(f"{name} has the shape of the grid, {self.shape}, got {tuple(u.shape)}.")
        u = u.detach().double()
        if not bool(u.isfinite().all()):
            raise ValueError(f"{name} must be finite, got {int((~u.isfinite()).sum())} NaN or infinite values.")
        return u


def hat(s: Tensor, width: float) -> Tensor:
    """The hat function (1 - |s| / width)^+ / width, a smoothed Dirac measure."""
    return (1 - s.abs() / width).clamp_min(0) / width


def inside(s: Tensor, width: float) -> Tensor:
    """The integral of :func:`hat` from -inf to s, a smoothed indicator of s > 0."""
    t = (s / width).clamp(-1, 1)
    return 0.5 + t - 0.5 * t * t.abs()


def shares(index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cells around fractional indices ``[n, d]``, ``[2^d, n, d]`` int64, and their multilinear weights."""
    base = index.floor()
    corner = torch.cartesian_prod(*[torch.arange(2)] * index.shape[1])[:, None]
    share = index - base
    return base.long() + corner, torch.where(corner == 1, share, 1 - share).prod(-1)


def _per_axis(value: Number | Sequence[Number], dim: int) -> tuple[float, ...]:
    values = (value,) * dim if isinstance(value, float | int) else tuple(value)
    if len(values) != dim:
        raise ValueError(f"A corner of the grid has one coordinate per axis, {dim}, got {values}.")
    return tuple(float(v) for v in values)
