"""Norms of norms: l_r over groups of l_p within a group."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope import _random
from maxslope.spaces.base import Space
from maxslope.spaces.lp import Lp, norm_in_order, radii


@dataclass(frozen=True)
class Mixed(Space):
    """The norm | (|v_g|_inner)_g |_outer over groups g of coordinates.

    One object serves the group norm over the pixels of an image, the budget shared by the particles of a cloud and
    the layer-wise norm on weights. The dual is the outer dual of the inner duals; the steepest direction is
    v_g = s_g steepest_inner(xi_g) with s the outer steepest ascent of the inner dual norms.

    As a budget, outer l_inf gives every group the same radius, any other outer norm lets the groups share one: both
    exactly, for every inner l_p, in boxes that may lack bounds. Steps inside are made in the same norm or in l_inf
    where the outer norm is l_inf, in l_inf alone elsewhere. There are no weights but a single one for all coordinates.

    Args:
        outer: the norm across groups.
        inner: the norm within a group.
        axis: the axis or axes of ``[rows, *shape]`` that lie within a group (never the row axis 0). ``axis=1`` on
            images ``[rows, channels, height, width]`` makes every pixel a group of its channels.

    Raises:
        ValueError: if an axis is the row axis, or not an axis of the points.

    Source: arXiv:2406.05376, section on distributional adversaries (the W_r flow with potential energy).

    >>> image = torch.ones(1, 3, 2, 2)
    >>> Mixed(Lp(1), Lp(2), axis=1).norm(image)  # four pixels of norm sqrt(3)
    tensor([6.9282])
    """

    outer: Lp
    inner: Lp
    axis: int | tuple[int, ...]

    def norm(self, v: Tensor) -> Tensor:
        """See :class:`Space`."""
        return self.outer.norm(self._by_group(v, self.inner.norm))

    def dual_norm(self, xi: Tensor) -> Tensor:
        """See :class:`Space`."""
        return self.outer.dual_norm(self._by_group(xi, self.inner.dual_norm))

    def steepest(self, xi: Tensor) -> Tensor:
        """See :class:`Space`."""
        grouped, back = self._split(xi)
        rows, groups, size = grouped.shape
        cells = grouped.reshape(rows * groups, size)
        share = -self.outer.steepest(self.inner.dual_norm(cells).reshape(rows, groups))
        return back(share[:, :, None] * self.inner.steepest(cells).reshape(grouped.shape))

    def sample(self, key: Tensor, like: Tensor) -> Tensor:
        """See :class:`Space`. Group norms by Gamma variables, directions by the cone measure of the inner ball."""
        grouped, back = self._split(like)
        rows, groups, size = grouped.shape
        cell_keys = _random.keys(1, key.repeat_interleave(groups), torch.arange(groups, device=key.device).repeat(rows))
        inside = self.inner.sample(cell_keys, grouped.reshape(rows * groups, size).double()).reshape(grouped.shape)
        if math.isinf(self.outer.p):
            return back(inside.to(like.dtype))
        radius = norm_in_order(inside.reshape(rows * groups, size), self.inner.p).reshape(rows, groups, 1)
        wanted = radii(_random.keys(2, key), key.new_full((groups,), size), self.outer.p)
        return back((inside / radius * wanted[:, :, None]).to(like.dtype))

    def _axes(self, ndim: int) -> tuple[int, ...]:
        given = (self.axis,) if isinstance(self.axis, int) else self.axis
        axes = tuple(sorted(a % ndim if -ndim <= a < ndim else -1 for a in given))
        if not axes or axes[0] < 1:
            raise ValueError(
                f"Mixed needs axes of one sample, between 1 and {ndim - 1} for points with {ndim} axes, got axis="
                f"{self.axis!r}; axis 0 counts rows."
            )
        return axes

    def _split(self, v: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """``v`` as ``[rows, groups, size]`` and the way back."""
        axes = self._axes(v.ndim)
        order = [0, *(a for a in range(1, v.ndim) if a not in axes), *axes]
        moved = v.permute(order)
        size = math.prod(v.shape[a] for a in axes)
        inverse = [order.index(a) for a in range(v.ndim)]
        # contiguous, or sums over one row would be taken in another order than over many
        grouped = moved.reshape(v.shape[0], math.prod(moved.shape[1:]) // max(size, 1), size).contiguous()
        return grouped, lambda g: g.reshape(moved.shape).permute(inverse)

    def _by_group(self, v: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
        grouped, _ = self._split(v)
        rows, groups, size = grouped.shape
        return norm(grouped.reshape(rows * groups, size)).reshape(rows, groups)
