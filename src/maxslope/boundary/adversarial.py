"""The optimal robust classifier by one cut, and when to stop a flow that looks for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.boundary.cut import minimum_cut
from maxslope.boundary.densities import Densities
from maxslope.boundary.distance import signed_distance, vanished
from maxslope.boundary.energy import Perimeter
from maxslope.boundary.grid import Grid, hat
from maxslope.boundary.limit import LimitLaw
from maxslope.boundary.risk import Lattice
from maxslope.curve import Curve


def robust_classifier(problem: Lattice) -> Tensor:
    """Return the largest minimizer of the robust risk R(A) + eps Per_eps(A), by one minimum cut.

    It is one step of the flow with tau = eps and 2 eta - 1 in place of the signed distance.

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


def stopping_time(grid: Grid, densities: Densities, eps: float, start: Tensor | None = None) -> float:
    """Return when the robust risk along the flow from a classifier stops falling, to leading order.

        t* = [eps <V^2> + <(2 eta - 1) V>] / (2 <-d_nu eta V^2>),  <.> the integral over the boundary with weight rho,

    from the Bayes classifier, where eta = 1/2,  t* = eps / (2 <|grad eta|>)  with weight rho V^2. Displaced by t V, the
    boundary has robust risk  RR(0) - t [eps int rho V^2 + int rho (2 eta - 1) V] + t^2 int rho (-d_nu eta) V^2 + ... .
    At about this time the flow from the Bayes classifier passes where adversarial training with radius eps ends.

    Args:
        grid: where.
        densities: of the classes.
        eps: the radius of the adversary, in length units.
        start: positive where the classifier says 1, ``[*shape]``; by default the Bayes classifier.

    Returns:
        A time, in length^2; 0 where the robust risk rises at once, inf where to this order it falls for ever.

    Raises:
        ValueError: if the classifier has no boundary, or there is no mass at it.

    Source: arXiv:2404.14402 (the step that adversarial training is); the expansion: the page on boundaries.

    >>> grid = Grid((32, 32), -1, 1)
    >>> x = grid.points()[..., 0]
    >>> round(stopping_time(grid, Densities(0.5 - x / 4, 0.5 + x / 4), 0.1), 3)  # |grad eta| = 1/4
    0.2
    """
    field = densities.bayes if start is None else grid.function(start, "A classifier's function")
    if vanished(field):
        raise ValueError(
            "One class is more likely everywhere: the Bayes classifier has no boundary that could move; enlarge the "
            "grid or check the priors."
            if start is None
            else "The classifier says the same everywhere: it has no boundary that could move; enlarge the grid."
        )
    sd = signed_distance(field, grid)
    weight = hat(sd, grid.h) * densities.rho
    velocity = LimitLaw(grid, densities).velocity(sd[None])[0]
    # A boundary at rest (to rounding) has no preferred part.
    if float((weight * velocity.square()).sum()) <= 1e-6 * float(weight.sum()):
        velocity = torch.ones_like(velocity)
    slopes, normal = (torch.stack(torch.gradient(u, spacing=grid.h)) for u in (densities.eta, sd))
    steep = (slopes * normal).sum(0) if start is not None else slopes.square().sum(0).sqrt()
    bayes = densities.bayes if start is not None else torch.zeros_like(velocity)
    falls = (weight * (eps * velocity.square() + bayes * velocity)).sum()
    bends = (weight * steep * velocity.square()).sum()
    if not float(weight.sum()) > 0 or bool(falls.isnan() | bends.isnan()):
        raise ValueError(
            "There is no mass at the boundary of the classifier, so that no robust risk changes with it; take more "
            "samples, a wider kernel or a larger grid."
        )
    if float(falls) <= 0:
        return 0.0
    return float(falls / (2 * bends)) if float(bends) > 0 else math.inf


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

    To second order in time the robust risk is a parabola with its minimum at :func:`stopping_time`, so that the first
    rise is the best stop; run the flow to about twice that time.

    Args:
        curve: from :func:`evolve`, with all instants recorded.
        perimeter: of the adversary whose robust risk counts; its densities are those of the problem.
        row: of the curve.

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
    risk, robust = (torch.cat([of(u[None]) for u in points]) for of in (perimeter.risk, perimeter.robust_risk))
    rises = (robust.diff() > 0).nonzero()
    index = int(rises[0]) if len(rises) else len(robust) - 1
    return Stopped(index, float(curve.time[index, row]), points[index], risk, robust)
