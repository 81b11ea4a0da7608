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
from maxslope.spaces.weighted import Weighted


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
        return self.outer.norm(self._by_group(v, self.inner.norm))

    def dual_norm(self, xi: Tensor) -> Tensor:
        return self.outer.dual_norm(self._by_group(xi, self.inner.dual_norm))

    def steepest(self, xi: Tensor) -> Tensor:
        grouped, back = self._split(xi)
        cells = grouped.flatten(0, 1)
        share = -self.outer.steepest(self.inner.dual_norm(cells).reshape(grouped.shape[:2]))
        return back(share[:, :, None] * self.inner.steepest(cells).reshape(grouped.shape))

    def sample(self, key: Tensor, like: Tensor) -> Tensor:
        """See :class:`Space`. Group norms by Gamma variables, directions by the cone measure of the inner ball."""
        grouped, back = self._split(like)
        rows, groups, size = grouped.shape
        cell_keys = _random.keys(
            _random.CELLS, key.repeat_interleave(groups), torch.arange(groups, device=key.device).repeat(rows)
        )
        inside = self.inner.sample(cell_keys, grouped.flatten(0, 1).double())
        if math.isinf(self.outer.p):
            return back(inside.to(like.dtype))
        radius = norm_in_order(inside, self.inner.p).reshape(rows, groups, 1)
        wanted = radii(_random.keys(_random.CELL_NORMS, key), key.new_full((groups,), size), self.outer.p)
        return back((inside.reshape(grouped.shape) / radius * wanted[:, :, None]).to(like.dtype))

    def parts(self, space: Space, ndim: int) -> tuple[Lp, Lp] | None:
        """Return the norms across and within the groups of this one, of which ``space`` is made; l_p is l_p of l_p.

        None where it is made of other groups of points with ``ndim`` axes.
        """
        if isinstance(space, Mixed) and space._axes(ndim) == self._axes(ndim):
            return space.outer, space.inner
        return (space, space) if isinstance(space, Lp) else None

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
        return norm(grouped.flatten(0, 1)).reshape(grouped.shape[:2])


def cloud_space(n: int, ndim: int, r: float, norm: Lp) -> Space:
    """Return the norm (1/n sum_i |d_i|^r)^(1/r) of displacements ``[1, n, *shape]`` of a cloud.

    Its dual is the L^(r') norm of the dual norms of n xi_i; its steepest field is s_i v(xi_i) with s_i proportional to
    |xi_i|_*^(1/(r-1)): the budget goes where it pays.

    Args:
        n: particles.
        ndim: axes of one particle.
        r: in [1, inf].
        norm: of one particle's displacement.

    >>> cloud_space(4, 1, 2, Lp(1)).norm(torch.ones(1, 4, 3))
    tensor([3.])
    """
    if r == norm.p:
        space: Space = norm  # l_r of l_r is l_r, which has exact projections
    else:
        space = Mixed(Lp(r), norm, axis=tuple(range(2, 2 + ndim)))
    return space if math.isinf(r) else Weighted(space, torch.tensor(n ** (-1 / r), dtype=torch.float64))
