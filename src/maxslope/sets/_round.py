"""What a ball of any norm in a box says of points: how far out they are, whether they belong to it, the way back."""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope._rows import select
from maxslope.sets._rounding import half_unit, on_grid, tolerance
from maxslope.sets.base import Set
from maxslope.sets.box import Box
from maxslope.spaces import Space


class Round(Set):
    """A set { |z - center| <= radius, lo <= z <= hi }."""

    norm: Space
    center: Tensor
    radius: Tensor
    box: Box

    def violation(self, x: Tensor) -> Tensor:
        return torch.maximum(self._size(x) - self.radius, self.box.violation(x)).clamp_min(0)

    def contains(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        kind = dtype or x.dtype
        slack = tolerance(self.norm.norm(half_unit(x, kind)), self.radius, kind)
        return (self._size(x) - self.radius <= slack) & self.box.contains(x, dtype)

    def inside(self, x: Tensor) -> Tensor:
        """See :class:`Set`; along the segment to the point of the box nearest the center, rounded to the dtype.

        Rounding keeps the order of numbers, so the norm of the rounded point falls along the segment.
        """
        z = self.box.project(x)
        size = self._size(z)
        over = (size > self.radius).nonzero().squeeze(1)
        if not over.numel():
            return z
        part, y = self.take(over), select(z, over)
        anchor = part.box.project(part.center)
        high = torch.ones_like(size[over])
        low = part.radius / size[over] * (1 - 64 * torch.finfo(x.dtype).eps)
        low = torch.where(part._size(on_grid(anchor, y, low)) <= part.radius, low, 0.0)
        for _ in range(16):
            mid = (low + high) / 2
            fits = part._size(on_grid(anchor, y, mid)) <= part.radius
            low, high = torch.where(fits, mid, low), torch.where(fits, high, mid)
        return z.index_copy(0, over, on_grid(anchor, y, low))

    def _size(self, x: Tensor) -> Tensor:
        """The distance from the center in float64, ``[rows]``."""
        return self.norm.norm(x.double() - self.center.double())
