"""The optimal robust classifier by one cut, and when to stop a flow that looks for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.boundary.cut import minimum_cut
from maxslope.boundary.densities import Densities
from maxslope.boundary.distance import signed_distance
from maxslope.boundary.energy import Perimeter
from maxslope.boundary.grid import Grid, hat
from maxslope.boundary.limit import LimitLaw
from maxslope.boundary.risk import Lattice
from maxslope.curve import Curve


def robust_classifier(problem: Lattice) -> Tensor:
    """Return the set A that minimizes the robust risk R(A) + eps Per_eps(A), the largest one, by one minimum cut.

    It is one step of the flow with tau = eps and 2 eta - 1 in place of the signed distance: adversarial training is a
    minimizing movement. Near the Bayes boundary that distance is 2 |grad eta| times the true one, hence a time of
    eps / (2 |grad eta|).

    Args:
        problem: grid, densities, and a window with ``eps`` R h (the default of :class:`Lattice`).

    Returns:
        Bool ``[*shape]``, where the classifier says 1.

    Source: arXiv:2404.14402 (adversarial training as a minimizing movement).

    >>> from maxslope.boundary.window import Window
    >>> from maxslope.spaces import Lp
    >>> grid = Grid((16, 16), -1, 1)
    >>> x = grid.points()[..., 0]
    >>> problem = Lattice(grid, Densities((-x).exp(), x.exp()), Window(2, Lp(2), 2))
    >>> bool((robust_classifier(problem) == (x > 0)).all())  # a straight boundary in the middle is optimal
    True
    """
    densities = problem.densities
    return minimum_cut(problem, (densities.rho0 - densities.rho1) / problem.eps)


def stopping_time(grid: Grid, densities: Densities, eps: float) -> float:
    """Return when the robust risk along the flow from the Bayes classifier stops falling, to leading order.

        t* = eps / (2 <|grad eta|>),  the mean over the Bayes boundary with weight rho V^2.

    Displaced by t V, the boundary has robust risk  RR(0) - eps t int rho V^2 + t^2 int rho |grad eta| V^2 + ... : the
    perimeter falls at once, the risk, least at the start, rises with the square of the time. Where adversarial training
    with radius eps ends, the flow passes at about this time; later it smooths on, and the robust risk rises.

    Args:
        grid: where.
        densities: of the classes.
        eps: the radius of the adversary, in length units.

    Returns:
        A time, in length^2.

    Raises:
        ValueError: if one class is more likely everywhere, so that the Bayes classifier has no boundary.

    Source: arXiv:2404.14402 (the step that adversarial training is); the expansion: the page on boundaries.

    >>> grid = Grid((32, 32), -1, 1)
    >>> x = grid.points()[..., 0]
    >>> round(stopping_time(grid, Densities(0.5 - x / 4, 0.5 + x / 4), 0.1), 3)  # |grad eta| = 1/4
    0.2
    """
    bayes = densities.bayes
    if not bool((bayes > 0).any()) or not bool((bayes <= 0).any()):
        raise ValueError(
            "One class is more likely everywhere: the Bayes classifier has no boundary that could move; enlarge the "
            "grid or check the priors."
        )
    sd = signed_distance(bayes, grid)
    slopes = torch.gradient(densities.eta, spacing=grid.h)
    steep = torch.stack(slopes).square().sum(0).sqrt()
    weight = hat(sd, grid.h) * densities.rho
    moving = weight * LimitLaw(grid, densities).velocity(sd[None])[0].square()
    # A boundary at rest (to rounding) has no preferred part.
    weight = moving if float(moving.sum()) > 1e-6 * float(weight.sum()) else weight
    return float(eps / (2 * (steep * weight).sum() / weight.sum()))


@dataclass(frozen=True, eq=False)
class Stopped:
    """Where a flow is to be stopped.

    Attributes:
        index: of the instant.
        time: of the instant, in length^2.
        sd: its signed distance, ``[*shape]``.
        risk: along the recorded flow, ``[K+1]``.
        robust_risk: likewise.
    """

    index: int
    time: float
    sd: Tensor
    risk: Tensor
    robust_risk: Tensor


def first_rise(curve: Curve, perimeter: Perimeter, row: int = 0) -> Stopped:
    """Stop a flow at the last instant before its robust risk first rises.

    The robust risk R + eps Per_eps falls at first, because the perimeter does and the risk is least at the Bayes
    classifier, and rises later, because the flow knows only the perimeter. To second order in time it is a parabola
    with its minimum at :func:`stopping_time`, so that the first rise is the best stop; run the flow to about twice that
    time.

    Args:
        curve: from :func:`evolve`, with all instants recorded.
        perimeter: of the adversary whose robust risk counts; its densities are those of the problem.
        row: of the curve.

    Returns:
        A :class:`Stopped`.

    Source: derived on the page on boundaries.

    >>> from maxslope.boundary.movement import evolve
    >>> grid = Grid((32, 32), -1, 1)
    >>> p = grid.points()
    >>> s = p[..., 0] + 0.2 * (4 * p[..., 1]).sin()
    >>> densities = Densities((-3 * s).sigmoid(), (3 * s).sigmoid())
    >>> curve = evolve(s, grid, densities, until=0.06)
    >>> stop = first_rise(curve, Perimeter(grid, densities, 0.1))
    >>> 0 < stop.index < len(curve.time) - 1, bool(stop.robust_risk[stop.index] < stop.robust_risk[0])
    (True, True)
    """
    points = curve.points[:, row]
    risk, robust = perimeter.risk(points), perimeter.robust_risk(points)
    rises = (robust.diff() > 0).nonzero()
    index = int(rises[0]) if len(rises) else len(robust) - 1
    return Stopped(index, float(curve.time[index, row]), points[index], risk, robust)
