"""One radius that groups of coordinates share: the ball of an l_r norm of l_p norms, r < inf, in a box."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maxslope._rows import choose, column, flat, select
from maxslope.sets import _share
from maxslope.sets._roots import least
from maxslope.sets.ball_box import BallBox, Round, ball
from maxslope.sets.box import Box, plain, stopped
from maxslope.spaces import Lp, Mixed, Space


@dataclass(frozen=True, eq=False)
class Shared(Round):
    """The set { | (|z_g - c_g|_p)_g |_r <= radius, lo <= z <= hi }, r < inf: groups that share one radius.

    Make one with :func:`within`. Projections and linear minimizers find the radius of every group by one multiplier and
    leave the rest to the balls of the groups. Steps are measured in l_inf, slopes in l_inf, in the norm itself, or,
    for 1 < p < inf, in l_2.

    Args:
        norm: Mixed(Lp(r), Lp(p), axis), r < inf, p other than r.
        center: ``[rows, *shape]``, in the box.
        radius: ``[rows]``.
        box: the bounds of whole samples, one row or one for each.
    """

    norm: Mixed
    center: Tensor
    radius: Tensor
    box: Box

    def project(self, x: Tensor) -> Tensor:
        z = self.box.project(x)
        outside = self.norm.norm((z - self.center).double()) > self.radius
        return choose(outside, self._best(x, linear=False), z) if bool(outside.any()) else z

    def minimize_linear(self, xi: Tensor) -> Tensor:
        return self._best(xi, linear=True)

    def minimize_linear_near(self, xi: Tensor, x: Tensor, tau: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; a step in l_inf is a narrower box."""
        base, factor = plain(space)
        if not (isinstance(base, Lp) and math.isinf(base.p)):
            raise ValueError(
                f"A step among groups that share a radius is measured in Lp(math.inf), got {space!r}; give a recipe "
                "with space=Lp(math.inf), or leave its space out."
            )
        part = replace(self, box=self.box.within(x, column(tau / factor, x)))
        return part.minimize_linear(xi)

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; on the sphere, the least dual norm of xi + mu n over multipliers mu and normals n."""
        base, factor = plain(space)
        outer, inner = self._measured(base, space)
        wide = replace(self, center=self.center.double(), radius=self.radius.double(), box=self.box.to(torch.float64))
        faces = self.box.faces(x)
        spread = _Normals(wide, xi.double(), x.double(), faces, inner)
        eps = torch.finfo(x.dtype).eps
        size = self.norm.norm((x - self.center).double())
        on_sphere = (size >= self.radius * (1 - 64 * eps) - 2 * eps * self.norm.norm(x.double())) & (size > 0)
        free = outer.dual_norm(spread(torch.zeros_like(size)))
        reach = self.norm.dual_norm(xi.double())  # beyond it nothing is left to cancel in any smooth group
        held = least(lambda mu: outer.dual_norm(spread(mu)), reach)
        best = torch.where(on_sphere, torch.minimum(held, free), free)
        return (torch.where(self.radius > 0, best, 0.0) / factor).to(xi.dtype)

    def take(self, index: Tensor) -> Shared:
        return Shared(self.norm, select(self.center, index), self.radius[index], self.box.take(index))

    def _best(self, towards: Tensor, *, linear: bool) -> Tensor:
        """The projection of points, or the minimizer of covectors, group by group with the radii they are given."""
        center = self.center.double()
        v, back = self.norm._split(towards.double() if linear else towards.double() - center)
        lo, hi = (bound.double().expand_as(center) - center for bound in (self.box.lo, self.box.hi))
        a, b = (self.norm._split(bound)[0] for bound in (lo, hi))
        lp, radius = self.norm.inner, self.radius.double()
        share = _share.radii(_share.Cells(lp, v, a, b, linear), self.norm.outer.p, radius).flatten()
        v, box = v.flatten(0, 1), Box.known(a.flatten(0, 1), b.flatten(0, 1))
        zero = torch.zeros_like(v)
        cells: Box | BallBox = BallBox(lp, zero, share, box, False)
        if math.isinf(lp.p):
            width = torch.maximum(share, flat(zero.clamp(box.lo, box.hi)).abs().amax(1))
            cells = Box.known(*(bound.clamp(-width[:, None], width[:, None]) for bound in (box.lo, box.hi)))
        d = cells.minimize_linear(v) if linear else cells.project(v)
        return self.inside((center + back(d.reshape(a.shape))).to(towards.dtype))

    def _measured(self, base: Space, space: Space) -> tuple[Lp, Lp]:
        """The norms across and within groups in which a slope is measured."""
        own = (self.norm.outer, self.norm.inner)
        if self.norm.parts(base, self.center.ndim) == own:
            return own
        if isinstance(base, Lp) and (math.isinf(base.p) or (base.p == 2 and 1 < self.norm.inner.p < math.inf)):
            return base, base
        raise ValueError(
            f"Slopes among groups that share a radius are known in the norm of the set, {self.norm!r}, in Lp(math.inf) "
            f"and, for 1 < p < inf within a group, in Lp(2), got {space!r}."
        )


class _Normals:
    """The dual norms of xi + mu n in every group, the normal n chosen so that they are least; see Shared.slope.

    All is in float64; ``faces`` says where x is on the bounds, ``inner`` is the norm in which a group is measured.
    """

    def __init__(self, domain: Shared, xi: Tensor, x: Tensor, faces: tuple[Tensor, Tensor], inner: Lp) -> None:
        norm, self.inner = domain.norm, inner
        self.lp, r = norm.inner, norm.outer.p
        self.xi, self.d = norm._split(xi)[0], norm._split(x - domain.center)[0]
        self.at_lo, self.at_hi = (norm._split(face)[0] for face in faces)
        size = self.lp.norm(self.d.flatten(0, 1)).reshape(self.d.shape[:2])
        whole = norm.outer.norm(size)[:, None]
        self.size, self.weight = size, torch.where(size > 0, (size / whole) ** (r - 1), float(r == 1))

    def __call__(self, mu: Tensor) -> Tensor:
        force = mu[:, None] * self.weight  # the dual norm of the normal in each group
        corner = (self.size == 0) & (force > 0)
        smooth = self._peaks(force) if math.isinf(self.lp.p) else self._smooth(force)
        return torch.where(corner, self._corner(force), smooth) if bool(corner.any()) else smooth

    def _measure(self, g: Tensor) -> Tensor:
        return self.inner.dual_norm(g.flatten(0, 1)).reshape(g.shape[:2])

    def _smooth(self, force: Tensor) -> Tensor:
        unit = self.d / torch.where(self.size > 0, self.size, 1.0)[:, :, None]
        g = self.xi + force[:, :, None] * self.lp.slope_of_power(unit)
        if self.lp.p == 1:
            g = torch.where(self.d == 0, self.xi.sign() * (self.xi.abs() - force[:, :, None]).clamp_min(0), g)
        return self._measure(stopped(g, self.at_lo, self.at_hi))

    def _peaks(self, force: Tensor) -> Tensor:
        """Groups of an l_inf norm, measured in l_1: the force is divided among the coordinates that are largest."""
        peak = (self.d.abs() >= self.size[:, :, None] * (1 - 1e-6)) & (self.size > 0)[:, :, None]
        held = ((self.xi > 0) & self.at_lo) | ((self.xi < 0) & self.at_hi)
        y = self.xi * torch.where(peak, self.d.sign(), -1.0)
        up, down = y.clamp_min(0), (-y).clamp_min(0)
        rest = torch.where(held, 0.0, torch.where(peak, up, self.xi.abs())).sum(2)
        need = torch.where(peak & ~held, down, 0.0).sum(2)
        spare = torch.where(peak & held, down, 0.0).sum(2)
        return rest + (need - force).clamp_min(0) + (force - need - spare).clamp_min(0)

    def _corner(self, force: Tensor) -> Tensor:
        """Groups at the center, r = 1: any force up to that size."""
        xi = stopped(self.xi, self.at_lo, self.at_hi)
        own = Lp(self.lp.q)
        if self.inner == self.lp or math.isinf(self.lp.p):
            return (own.norm(xi.flatten(0, 1)).reshape(force.shape) - force).clamp_min(0)
        size = xi.abs().flatten(0, 1)
        zero = torch.zeros_like(size)
        cells = ball(own, zero, force.flatten(), Box.known(zero, size))
        k = cells.project(size) if self.inner.p == 2 else cells.minimize_linear(-torch.ones_like(size))
        return self._measure((size - k).reshape(xi.shape))
