"""The metric slope at kinks: the least dual norm over gradients nearby, where the one at the point misleads."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from maxslope._rows import column, flat
from maxslope.energies import Energy
from maxslope.schemes.bundle import CONFIRMED, gather
from maxslope.sets import Box, Set, ball
from maxslope.sets.groups import box_of
from maxslope.spaces import Space

WIDTH = 0.05  # of a step: how near the gradients are gathered that count as those at the point
MOST = 16  # coordinates up to which gradients are taken a little to every side; in more a bundle chooses them
_ROUNDS = 300  # of primal-dual steps, at most
SUSPECT = 0.02  # of the linear gap a step starts with: more of it left at a minimizer means that a kink holds it


class Slopes(NamedTuple):
    """Metric slopes of some rows, ``[rows]`` each."""

    value: Tensor  # min { |xi + nu|_* : xi in the hull of nearby gradients, nu in N_K }; NaN where it is not known
    spent: Tensor  # evaluations of the energy, with gradient


def metric_slope(energy: Energy, domain: Set, x: Tensor, gradient: Tensor, radius: Tensor, space: Space) -> Slopes:
    """Return min { |xi + nu|_* : xi in conv { DE(z) : |z - x| <= radius }, nu in N_K(x) }, with sampled z.

    For a Lipschitz energy this tends to the least dual norm over Clarke's subdifferential as the radius tends to 0. The
    points are x and x +- radius e_i, projected onto K: 2 d evaluations, which see both sides of a kink that passes
    within the radius. In more than 16 coordinates they are those of a bundle, up to 32 evaluations, each at the end of
    a step that all gradients seen before say goes down: the slope is known if it all but vanishes, or if such a step
    attains four fifths of it, and NaN otherwise. ``gradient`` is that at the points x of K.

    Source: Goldstein, Optimization of Lipschitz continuous functions (1977): the hull of nearby gradients; the metric
    slope of the sum of a smooth and a convex energy, arXiv:2406.05376.

    >>> from maxslope.energies import Function
    >>> from maxslope.sets import Everything
    >>> from maxslope.spaces import Lp
    >>> E, x = Function(lambda z: z.abs().sum(1)), torch.tensor([[1e-9, 1.0]])
    >>> metric_slope(E, Everything(), x, torch.ones(1, 2), torch.tensor([0.01]), Lp(2)).value
    tensor([1.])
    """
    rows, d = flat(x).shape
    if d > MOST:
        return _gathered(energy, domain, x, gradient, radius, space)
    ways = torch.cat([torch.eye(d), -torch.eye(d)]).to(x)
    owner = torch.arange(rows, device=x.device).repeat_interleave(2 * d)
    moved = flat(x)[:, None] + radius[:, None, None] * ways
    points = domain.take(owner).project(moved.reshape(-1, *x.shape[1:]))
    around = flat(energy.take(owner).evaluate(points).gradient).reshape(rows, 2 * d, d)
    hull = torch.where(around.isfinite().all(2, keepdim=True), around, flat(gradient)[:, None])
    value = least_slope(domain, x, torch.cat([flat(gradient)[:, None], hull], 1), space)
    return Slopes(value, torch.full((rows,), 2 * d, dtype=torch.int64, device=x.device))


def _gathered(energy: Energy, domain: Set, x: Tensor, gradient: Tensor, radius: Tensor, space: Space) -> Slopes:
    """The metric slope by a bundle; see :func:`metric_slope`."""
    spent = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    try:
        domain.minimize_linear_near(gradient, x, radius, space)
    except ValueError:  # no exact step exists for this pair of set and norm
        return Slopes(torch.full_like(radius, torch.nan), spent)
    tiny = SUSPECT * space.dual_norm(gradient)
    found = gather(energy, domain, x, radius, space, passes=spent + 2 * MOST, enough=0.1 * tiny * radius)
    known = (found.slope <= tiny) | (found.attained >= CONFIRMED * found.slope)
    return Slopes(torch.where(known, found.slope, torch.nan), found.spent)


def least_slope(domain: Set, x: Tensor, gradients: Tensor, space: Space) -> Tensor:
    """Return the least constrained slope over the convex hull of ``gradients``, ``[rows, m, d]``, from above.

    It is the value of a game, min over mixtures xi of max over feasible directions v, |v| <= 1, of <-xi, v>, which
    primal-dual steps solve with exact projections onto the simplex and onto the ball of the norm, less the directions
    that leave a box. The answer is the slope of the best mixture met, so it is never too small for the hull.

    Source: Chambolle and Pock, A first-order primal-dual algorithm for convex problems (2011).
    """
    rows, m, _ = gradients.shape
    size = gradients.flatten(1).norm(dim=1).clamp_min(torch.finfo(x.dtype).tiny)
    G = gradients / size[:, None, None]  # of operator norm at most 1
    ways = _directions(domain, x, space)
    weight, v = torch.full_like(G[:, :, 0], 1 / m), torch.zeros_like(G[:, 0])
    ahead, mean = weight, torch.zeros_like(weight)

    def slope(weight: Tensor) -> Tensor:
        return domain.slope((weight[:, None] @ gradients).reshape(x.shape), x, space)

    best = torch.stack([slope(weight), *(slope(e) for e in torch.eye(m).to(G)[:, None].expand(m, rows, m))]).amin(0)
    for k in range(_ROUNDS):
        v = flat(ways.project((v - (ahead[:, None] @ G).squeeze(1)).reshape(x.shape)))
        new = simplex(weight + (G @ v[:, :, None]).squeeze(2))
        ahead, weight = 2 * new - weight, new
        mean = mean + (weight - mean) / (k % 75 + 1)
        if k % 25 == 24:
            before, best = best, torch.minimum(best, torch.minimum(slope(weight), slope(mean)))
            if k > 75 and bool((best >= before * (1 - 1e-4)).all()):
                break
    return best


def simplex(w: Tensor) -> Tensor:
    """Return the nearest points of the unit simplex, ``[rows, m]``.

    >>> simplex(torch.tensor([[1.0, 1.0], [2.0, 0.0]]))
    tensor([[0.5000, 0.5000],
            [1.0000, 0.0000]])
    """
    order = w.sort(1, descending=True).values
    level = (order.cumsum(1) - 1) / torch.arange(1, w.shape[1] + 1, device=w.device)
    last = (order > level).sum(1, keepdim=True) - 1
    return (w - level.gather(1, last)).clamp_min(0)


def _directions(domain: Set, x: Tensor, space: Space) -> Set:
    """The unit ball, less the directions that leave the box of the domain."""
    box, away = box_of(domain), None
    if box is not None:
        slack = 16 * torch.finfo(x.dtype).eps * x.abs().clamp_min(1)
        lo = torch.where(x - box.lo <= slack, 0.0, -torch.inf).to(x)
        hi = torch.where(box.hi - x <= slack, 0.0, torch.inf).to(x)
        away = Box(lo, hi)
    return ball(space, torch.zeros_like(x), x.new_ones(len(x)), away)


def suspects(gradient: Tensor, x: Tensor, region: Set, allowed: Tensor) -> Tensor:
    """Whether a step's answer is not stationary in the step's region by its own gradient: a kink, or unsolved."""
    return region.gap(gradient, x) > allowed + 64 * torch.finfo(x.dtype).eps * flat(column(allowed, x) + x).abs().sum(1)
