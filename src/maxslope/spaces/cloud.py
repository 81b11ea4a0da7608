"""The norm of displacements of a cloud: what its particles share."""

from __future__ import annotations

import math

import torch

from maxslope.spaces.base import Space
from maxslope.spaces.lp import Lp
from maxslope.spaces.mixed import Mixed
from maxslope.spaces.weighted import Weighted


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
