"""Budgets of groups of coordinates: the ball of an l_r norm of l_p norms, in a box."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.sets._rounding import down
from maxslope.sets.ball_box import BallBox, ball
from maxslope.sets.base import Set
from maxslope.sets.box import Box, plain
from maxslope.sets.shared import Shared
from maxslope.spaces import Mixed, Space


@dataclass(frozen=True, eq=False)
class Groups(Set):
    """The set { |z_g - c_g|_p <= radius for every group g, lo <= z <= hi }: a product, and exact like its factors.

    Make one with :func:`within`. Steps are measured in the same norm or in l_inf.

    Args:
        norm: Mixed(Lp(inf), Lp(p), axis).
        cells: the sets of the groups, row after row: ``[rows * groups, size]``.
        box: the bounds of whole samples, one row or one for each.
    """

    norm: Mixed
    cells: BallBox
    box: Box

    @property
    def radius(self) -> Tensor:
        """The radius of every group of a row, ``[rows]``."""
        rows = self.cells.radius.shape[0] // self._count()
        return self.cells.radius.reshape(rows, -1)[:, 0]

    def project(self, x: Tensor) -> Tensor:
        return self._each(x, self.cells.project)

    def minimize_linear(self, xi: Tensor) -> Tensor:
        return self._each(xi, self.cells.minimize_linear)

    def minimize_linear_near(self, xi: Tensor, x: Tensor, tau: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; a step in the same norm, or in l_inf, is one step of every group."""
        base, factor = plain(space)
        parts = self.norm.parts(base, self.box.lo.ndim)
        if parts is None or not math.isinf(parts[0].p):
            raise ValueError(
                f"A step in a set of groups is measured in the norm of the set, {self.norm!r}, or in Lp(math.inf), got "
                f"{space!r}."
            )
        grouped, back = self.norm._split(xi)
        covectors, points = grouped.flatten(0, 1), self._cells(x)
        far = (tau / factor).repeat_interleave(grouped.shape[1])
        return back(self.cells.minimize_linear_near(covectors, points, far, parts[1]).reshape(grouped.shape))

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; normal cones of a product are products, so the slopes of the groups make a dual norm."""
        base, factor = plain(space)
        parts = self.norm.parts(base, self.box.lo.ndim)
        if parts is None:
            raise ValueError(f"Slopes in a set of groups are known in Lp(p) and in norms of its groups, got {space!r}.")
        outer, inner = parts
        grouped, _ = self.norm._split(xi)
        slopes = self.cells.slope(grouped.flatten(0, 1), self._cells(x), inner)
        return outer.dual_norm(slopes.reshape(grouped.shape[:2])) / factor

    def violation(self, x: Tensor) -> Tensor:
        return self.cells.violation(self._cells(x)).reshape(x.shape[0], -1).amax(1)

    def inside(self, x: Tensor) -> Tensor:
        return self._each(x, self.cells.inside)

    def contains(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        return self.cells.contains(self._cells(x), dtype).reshape(x.shape[0], -1).all(1)

    def take(self, index: Tensor) -> Groups:
        rows = index.nonzero().squeeze(1) if index.dtype == torch.bool else index
        count = self._count()
        cells = (rows[:, None] * count + torch.arange(count, device=rows.device)).reshape(-1)
        return Groups(self.norm, self.cells.take(cells), self.box.take(index))

    def _count(self) -> int:
        return self.norm._split(self.box.lo[:1])[0].shape[1]

    def _cells(self, x: Tensor) -> Tensor:
        return self.norm._split(x)[0].flatten(0, 1)

    def _each(self, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        grouped, back = self.norm._split(x)
        return back(change(grouped.flatten(0, 1)).reshape(grouped.shape))


def within(norm: Space, center: Tensor, radius: Tensor, box: Box) -> Box | BallBox | Groups | Shared:
    """Return { |z - center| <= radius } in a box, for every norm that :func:`plain` knows.

    Args:
        norm: see above.
        center: ``[rows, *shape]``.
        radius: ``[rows]``, float64 to state it exactly.
        box: bounds.

    >>> from maxslope import Lp
    >>> pixels = Mixed(Lp(math.inf), Lp(2), axis=1)
    >>> K = within(pixels, torch.zeros(1, 2, 2), torch.ones(1), Box(torch.zeros(1, 2, 2), torch.ones(1, 2, 2)))
    >>> K.project(torch.tensor([[[3.0, 0.3], [4.0, 0.4]]]))
    tensor([[[0.6000, 0.3000],
             [0.8000, 0.4000]]])
    """
    norm, factor = plain(norm)
    radius = radius / factor
    if not isinstance(norm, Mixed):
        return ball(norm, center, radius, box)
    if math.isinf(norm.inner.p) and math.isinf(norm.outer.p):
        return ball(norm.inner, center, radius, box)
    if not math.isinf(norm.outer.p):
        norm._axes(center.ndim)
        return Shared(norm, center, down(radius, center.dtype), box)
    grouped, _ = norm._split(center)
    lo, hi = (norm._split(bound.expand_as(center))[0].flatten(0, 1) for bound in (box.lo, box.hi))
    far = radius.repeat_interleave(grouped.shape[1])
    cells = ball(norm.inner, grouped.flatten(0, 1), far, Box.known(lo, hi))
    assert isinstance(cells, BallBox)
    return Groups(norm, cells, box)


def box_of(domain: Set) -> Box | None:
    """Return the bounds of the coordinates that a set of this package is given with; None for other sets."""
    if isinstance(domain, Box):
        return domain
    return domain.box if isinstance(domain, BallBox | Groups | Shared) else None
