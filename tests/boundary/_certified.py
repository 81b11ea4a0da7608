"""The convex form of a step, certified by a primal-dual method: for tiny grids, to check the solvers against."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from maxslope.boundary.risk import Lattice
from maxslope.boundary.soft import Cells


class Certified(NamedTuple):
    """A minimizer and its certificate.

    Attributes:
        u: ``[*shape]``.
        gap: primal minus dual value, at least 0.
        error: a bound of the distance to the minimizer in L^2(rho), sqrt(2 tau gap).
    """

    u: Tensor
    gap: float
    error: float


def certify(problem: Lattice, g: Tensor, tau: float, iterations: int = 1000, ratio: float = 1e3) -> Certified:
    """Minimize TV_eps(u) + (1/2 tau) int (u - g)^2 drho by the primal-dual hybrid gradient method.

    Every supremum over a window is a maximum over weights in a simplex, max_W u = max_lam sum_o lam_o u(. + o), one set
    of weights a cell for each class. For given weights the minimizer is u = g - (tau / rho) K^T lam, and its value is
    the dual value; the problem is strongly convex, so that the gap bounds the error.

    Args:
        problem: grid, densities with positive sum, window and eps.
        g: ``[*shape]``.
        tau: time step, in length^2.
        iterations: of the method.
        ratio: of dual to primal step; a large one suits the small dual variables.

    Returns:
        A :class:`Certified`.

    Source: A. Chambolle, T. Pock, J. Math. Imaging Vision 40 (2011) 120-145, algorithm 1.

    >>> from maxslope.boundary import Densities, Grid
    >>> from maxslope.boundary.window import Window
    >>> from maxslope.spaces import Lp
    >>> one = torch.ones(6, 6)
    >>> problem = Lattice(Grid((6, 6), -1, 1), Densities(one, one), Window(1, Lp(1), 2))
    >>> certify(problem, torch.arange(6.0)[:, None].expand(6, 6), 0.01).gap < 1e-3
    True
    """
    grid = problem.grid
    g = grid.function(g).flatten()
    rho0, rho1 = (t.flatten() * grid.cell / problem.eps for t in (problem.densities.rho0, problem.densities.rho1))
    pull = problem.densities.rho.flatten() * grid.cell / tau
    cells = Cells(torch.ones(grid.shape, dtype=torch.bool), problem.window.reach)
    index = torch.stack([cells.neighbors(o) for o in sorted(problem.window.offsets)], 1)
    absent = index == cells.size
    prices = torch.stack([rho0, rho1])

    def down(weights: Tensor) -> Tensor:  # K^T: the pull of both classes on every cell
        out = torch.zeros(cells.size + 1, dtype=g.dtype)
        out.index_add_(
            0, index.flatten(), (prices[0, :, None] * weights[0] - prices[1, :, None] * weights[1]).flatten()
        )
        return out[:-1] - prices[0] + prices[1]

    def up(u: Tensor) -> Tensor:  # what u offers to the weights
        near = torch.cat([u, u.new_zeros(1)])[index]
        return torch.stack([prices[0, :, None] * near, -prices[1, :, None] * near])

    size = float(prices.square().sum(0).max() * index.shape[1]) ** 0.5
    primal, dual = 0.99 / (size * ratio**0.5), 0.99 * ratio**0.5 / size
    u, held = g, g
    weights = torch.where(absent, 0.0, 1.0 / (~absent).sum(1, keepdim=True)).repeat(2, 1, 1)
    for _ in range(iterations):
        weights = _simplex(weights + dual * up(held), absent)
        new = (u - primal * down(weights) + primal * pull * g) / (1 + primal * pull)
        u, held = new, 2 * new - u
    force = down(weights)
    best = g - force / pull
    lower = float((force * best + 0.5 * pull * (best - g) ** 2).sum())
    return _judge(problem, best, u, g, pull, lower, tau)


def _judge(problem: Lattice, a: Tensor, b: Tensor, g: Tensor, pull: Tensor, lower: float, tau: float) -> Certified:
    """The better of two candidates and its gap to the dual value."""
    shape = problem.grid.shape
    scored = [
        (problem.total_variation(v.reshape(shape)) + float((0.5 * pull * (v - g) ** 2).sum()), k)
        for k, v in enumerate((a, b))
    ]
    value, k = min(scored)
    gap = max(value - lower, 0.0)
    return Certified((a, b)[k].reshape(shape), gap, (2 * tau * gap) ** 0.5)


def _simplex(v: Tensor, absent: Tensor) -> Tensor:
    """Project the last axis onto { w >= 0, sum w = 1, w = 0 where absent }."""
    v = torch.where(absent, -torch.inf, v)
    ordered = v.sort(-1, descending=True).values
    count = torch.arange(1, v.shape[-1] + 1, dtype=v.dtype)
    excess = (ordered.masked_fill(ordered.isinf(), 0).cumsum(-1) - 1) / count
    used = (ordered > excess).sum(-1, keepdim=True)
    return (v - excess.gather(-1, used - 1)).clamp_min(0)
