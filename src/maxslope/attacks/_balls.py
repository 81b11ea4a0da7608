"""The balls that a pursuit closes around clean points, in every norm of a budget."""

from __future__ import annotations

import math

from torch import Tensor

from maxslope.sets import BallBox, Box, Groups, Set, Shared, near
from maxslope.sets.box import plain
from maxslope.sets.groups import within
from maxslope.spaces import Lp, Mixed, Space, Weighted


def around(norm: Space, center: Tensor, radius: Tensor, box: Box) -> Box | BallBox | Groups | Shared:
    """Return the balls of finite or infinite radius around points of the box; of l_p, p < inf, no device is asked."""
    base, factor = plain(norm)
    if isinstance(base, Mixed):
        return within(norm, center, radius.double(), box)
    if math.isinf(exponent(base)):
        ball = near(box, center, radius / factor, base)
        assert isinstance(ball, Box)
        return ball
    return BallBox(base, center, radius / factor, box, True)


def exponent(norm: Space) -> float:
    """Return p of an l_p norm, or of that within groups which share no radius; NaN where steps are not in the norm."""
    base, _ = plain(norm)
    if isinstance(base, Mixed):
        return base.inner.p if math.isinf(base.outer.p) else math.nan
    base = base.base if isinstance(base, Weighted) else base
    assert isinstance(base, Lp)
    return base.p


class Closing(Set):
    """Balls around clean points inside the box, as large as a pursuit has them at the moment of the question."""

    def __init__(self, norm: Space, center: Tensor, box: Box, radius: Tensor, job: Tensor) -> None:
        self.norm, self.center, self.box = norm, center, box
        self.radius = radius  # of all samples of the pursuit, [n], which writes them anew from step to step
        self.job = job  # which samples these are, [rows] int64

    def now(self) -> Box | BallBox | Groups | Shared:
        """The balls of this moment; the clean points are in the box, so they are never empty."""
        return around(self.norm, self.center, self.radius[self.job], self.box)

    def project(self, x: Tensor) -> Tensor:
        return self.now().project(x)

    def minimize_linear(self, xi: Tensor) -> Tensor:
        return self.now().minimize_linear(xi)

    def minimize_linear_near(self, xi: Tensor, x: Tensor, tau: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; ``x`` was inside before the balls closed, and is projected first."""
        K = self.now()
        return K.minimize_linear_near(xi, K.project(x), tau, space)

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        return self.now().slope(xi, x, space)

    def violation(self, x: Tensor) -> Tensor:
        return self.now().violation(x)

    def take(self, index: Tensor) -> Closing:
        return Closing(self.norm, self.center[index], self.box.take(index), self.radius, self.job[index])
