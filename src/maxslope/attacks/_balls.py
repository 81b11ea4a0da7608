"""The balls that a pursuit closes around clean points, in every norm of a budget."""

from __future__ import annotations

import math

from torch import Tensor

from maxslope.sets import BallBox, Box, Groups, Shared, near
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
