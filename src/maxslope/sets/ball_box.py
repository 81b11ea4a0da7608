"""A ball of a finite l_p norm, weighted or not, intersected with a box: exact in every operation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope._rows import choose, column, flat, select
from maxslope.sets import _ball, _joint
from maxslope.sets._roots import least
from maxslope.sets._rounding import down, half_unit, interval, is_half, on_grid, quotient, tolerance
from maxslope.sets.base import Set
from maxslope.sets.box import Box, separable, stopped
from maxslope.spaces import Lp, Space


class Round(Set):
    """A set { |z - center| <= radius, lo <= z <= hi }: how far out points are, whether they belong, the way back."""

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


class _Frame(NamedTuple):
    """A set seen from its centers, in units of its norm."""

    lp: Lp
    weights: Tensor | None
    unit: Tensor  # the weights, or 1
    low: Tensor  # flat bounds
    high: Tensor


@dataclass(frozen=True, eq=False)
class BallBox(Round):
    """The set { |z - center| <= radius, lo <= z <= hi } for l_p with p < inf (for p = inf it is a :class:`Box`).

    Make one with :func:`ball`, which checks it. Every operation is exact for the intersection: nothing is projected
    onto one constraint after the other.

    Args:
        norm: Lp(p) or Weighted(Lp(p), w), p < inf.
        center: ``[rows, *shape]``.
        radius: ``[rows]``.
        box: bounds, one row or as many as ``center``.
        centered: whether every center lies in the box (then faster solvers apply).
    """

    norm: Space
    center: Tensor
    radius: Tensor
    box: Box
    centered: bool

    def project(self, x: Tensor) -> Tensor:
        """See :class:`Set`. The nearest point of the box where the ball holds it; else one root in the multiplier of
        the ball, finitely many Newton steps for l_2.
        """  # noqa: D205
        if is_half(self.center.dtype):
            return self.inside(self._wide.project(x.float()).to(x.dtype))
        z = self.box.project(x)
        d = self._from_center(z)
        lp, weights, w, a, b = self._frame
        size = lp.norm(d)
        outside = size > self.radius
        if not bool(outside.any()):
            return z
        curvature = w if weights is None else flat(w.expand_as(x)) ** -2
        v = self._from_center(x)
        d = _ball.project(lp, v, d, size, self.radius, a, b, curvature, centered=self.centered)
        return choose(outside, self._back(d), z)

    def minimize_linear(self, xi: Tensor) -> Tensor:
        """See :class:`Set`. Greedy for l_1; otherwise min(s |xi|^(q-1), bound), one s per row."""
        if is_half(self.center.dtype):
            return self.inside(self._wide.minimize_linear(xi.float()).to(xi.dtype))
        lp, _, w, a, b = self._frame
        return self._back(_ball.minimize_linear(lp, flat(xi / w), self.radius, a, b, centered=self.centered))

    def minimize_linear_near(self, xi: Tensor, x: Tensor, tau: Tensor, space: Space) -> Tensor:
        """See :class:`Set`. The step norm may be the norm of the ball, l_inf, or any other finite l_p."""
        if is_half(self.center.dtype):
            z = self._wide.minimize_linear_near(xi.float(), x.float(), tau.float(), space)
            return self.inside(z.to(x.dtype))
        step, step_weights = separable(space)
        if math.isinf(step.p):
            width = column(tau, x) / (1.0 if step_weights is None else step_weights.to(x))
            return replace(self, box=self.box.within(x, width), centered=False).minimize_linear(xi)
        lp, own, w, a, b = self._frame
        if own is not step_weights and (own is None or step_weights is None or not torch.equal(own, step_weights)):
            raise ValueError(
                f"The semi-implicit step needs the same weights in the norms of step and budget, got {space!r}"
                f" and {self.norm!r}; use the norm of the budget, or Lp(math.inf), for the step."
            )
        e, slant = self._from_center(x), flat(xi if own is None else xi / w)
        return self._back(_joint.minimize(step, lp, slant, e, tau, self.radius, a, b, centered=self.centered))

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; on the sphere, the least dual norm of xi + mu n over the multiplier mu of its normal n.

        A single point, the ball of radius 0, has the slope 0.
        """
        if is_half(self.center.dtype):
            return self._wide.slope(xi.float(), x.float(), space).to(xi.dtype)
        lp, w = self._frame.lp, self._frame.unit
        e = (x - self.center) * w
        size = lp.norm(e)
        eps = torch.finfo(x.dtype).eps  # of x, whose rounding hides the sphere of a small ball
        on_sphere = size >= self.radius * (1 - 64 * eps) - 2 * eps * lp.norm(x * w)
        faces = self.box.faces(x)
        free = space.dual_norm(stopped(xi, *faces))
        scaled = e / column(torch.where(size > 0, size, torch.ones_like(size)), e)
        normal = lp.slope_of_power(scaled) * w

        def with_multiplier(mu: Tensor) -> Tensor:
            g = xi + column(mu, xi) * normal
            if lp.p == 1:  # at e_i = 0 the normal cone holds every value in [-mu w_i, mu w_i]
                g = torch.where(e == 0, xi.sign() * (xi.abs() - column(mu, xi) * w).clamp_min(0), g)
            return space.dual_norm(stopped(g, *faces))

        steep = space.dual_norm(normal)
        reach = torch.where(steep > 0, space.dual_norm(xi) / steep, 0.0)  # at the center there is no normal
        best = torch.where(on_sphere, least(with_multiplier, reach), free)  # the multiplier may be 0
        return torch.where(self.radius > 0, best, 0.0)

    def take(self, index: Tensor) -> BallBox:
        return BallBox(self.norm, select(self.center, index), self.radius[index], self.box.take(index), self.centered)

    @cached_property
    def _wide(self) -> BallBox:
        """The same set in float32, for samples whose dtype has too few digits for sums."""
        box = self.box.to(torch.float32)
        return BallBox(self.norm, self.center.float(), self.radius.float(), box, self.centered)

    @cached_property
    def _frame(self) -> _Frame:
        lp, weights = separable(self.norm)  # a single weight for all coordinates is a weight too
        unit = self.center.new_ones(()) if weights is None else weights.to(self.center)
        a, b = (flat((bound - self.center) * unit) for bound in (self.box.lo, self.box.hi))
        return _Frame(lp, weights, unit, a, b)

    def _from_center(self, x: Tensor) -> Tensor:
        """From points to flat rows in units of the norm."""
        frame = self._frame
        return flat(x - self.center if frame.weights is None else (x - self.center) * frame.unit)

    def _back(self, d: Tensor) -> Tensor:
        """From flat rows in units of the norm to points; the clip only takes back rounding."""
        d = d.reshape(-1, *self.center.shape[1:])
        return self.box.project(self.center + (d if self._frame.weights is None else d / self._frame.unit))


def ball(norm: Space, center: Tensor, radius: Tensor, box: Box | None = None) -> Box | BallBox:
    r"""Return { |z - center| <= radius } intersected with ``box``, as a :class:`Box` where the norm is l_inf.

    Args:
        norm: Lp(p) or Weighted(Lp(p), w).
        center: ``[rows, *shape]``.
        radius: ``[rows]``, not negative; rounded down to the dtype of ``center``. The bounds of an l_inf ball are
            rounded inward, so that \|z - center\| <= radius holds exactly; a radius in float64 states it exactly.
        box: bounds, or None for none.

    Raises:
        ValueError: if a radius is negative or NaN, or if ball and box do not meet in some row.

    >>> K = ball(Lp(2), torch.zeros(1, 2), torch.ones(1))
    >>> K.project(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    if not bool((radius >= 0).all()):
        raise ValueError(f"A ball needs radii >= 0, got {radius[~(radius >= 0)][:3].tolist()}.")
    lp, weights = separable(norm)
    if box is None:
        box = Box(torch.full_like(center[:1], -torch.inf), torch.full_like(center[:1], torch.inf))
    if math.isinf(lp.p):
        width = column(radius, center).double()
        return box.intersect(*interval(center, width if weights is None else quotient(width, weights.to(width))))
    nearest = box.project(center)
    centered = not bool(((nearest != center) & ~center.isnan()).any())  # a row of NaN is as it is
    if not centered and bool((far := norm.distance(center.double(), nearest.double()) > radius * (1 + 1e-6)).any()):
        raise ValueError(
            f"Ball and box must meet, but in {int(far.sum())} rows the box is farther than the radius from the center "
            f"(first: row {int(far.nonzero()[0])}); move the center into the box or enlarge the radius."
        )
    return BallBox(norm, center, down(radius, center.dtype), box, centered)
