"""Adversaries that move a distribution: everyone has the same budget (W_inf), or all share one (W_r)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.curve import Curve
from maxslope.energies import Energy
from maxslope.loop import flow
from maxslope.schemes import Explicit, SemiImplicit
from maxslope.sets import Box, Set, ball
from maxslope.spaces import Lp, Space
from maxslope.spaces.cloud import cloud_space
from maxslope.transport.clouds import Cloud, Potential


@dataclass(frozen=True, eq=False)
class Adversary:
    """What a distributional adversary did.

    Attributes:
        cloud: the perturbed cloud.
        risk: the mean of -E at its points, the adversarial risk attained.
        errors: the share of points at which the goal of E is reached.
        curve: the curve of clouds, one row.
    """

    cloud: Cloud
    risk: float
    errors: float
    curve: Curve


def adversary(
    energy: Energy,
    cloud: Cloud,
    *,
    r: float,
    norm: Lp,
    eps: float,
    steps: int = 20,
    box: tuple[float, float] | None = None,
    start: Cloud | None = None,
) -> Adversary:
    """Follow the W_r flow of the potential energy for as long as W_r(mu, mu_0) <= eps allows, and stay there.

    The curve has unit W_r speed. For r = inf every particle follows its own flow in its own ball, and the result is the
    average of pointwise suprema: the inner problem of adversarial training. For r = p of the norm the budget is one
    ball of the whole cloud, with the exact semi-implicit step, and the flow goes on along its sphere until time
    2 eps. For other r < inf it stops at time eps, when the budget is spent, so that nothing is ever projected.

    Args:
        energy: E, row for row with the cloud.
        cloud: mu_0.
        r: in [1, inf].
        norm: l_p, of one particle's displacement.
        eps: the radius in W_r, at least 0.
        steps: until the budget can be spent; the run may be twice as long.
        box: where particles may be.
        start: a cloud to start from, in the budget; mu_0 by default.

    Returns:
        An :class:`Adversary`; the best cloud along the curve.

    Raises:
        ValueError: if eps is negative or not finite, or a start is given where no budget is enforced.

    Source: arXiv:2406.05376, section 5 (distributional adversaries).
    """
    if not 0 <= eps < math.inf:
        raise ValueError(f"The radius of a distributional adversary is finite and not negative, got eps={eps!r}.")
    flat_ball = r == norm.p
    if start is not None and not (flat_ball or math.isinf(r)):
        raise ValueError(f"Another start needs an enforced budget: r = p or r = inf, got r={r!r} and {norm!r}.")
    x = cloud.row
    space = cloud_space(x.shape[1], x.ndim - 2, r, norm)
    potential = Potential(energy)
    if math.isinf(r) and not flat_ball:
        return _pointwise(energy, cloud, norm, eps, steps, box, start)
    domain = _domain(x, box, space if flat_ball else None, eps)
    scheme = SemiImplicit(eps / steps, space) if flat_ball else Explicit(eps / steps, space)
    until = 2 * eps if flat_ball else eps
    curve = flow(potential.within(domain), x if start is None else start.row, scheme=scheme, until=until)
    best = curve.points[int(curve.energy[:, 0].argmin())][0]
    return _result(energy, cloud, best, curve)


def _domain(x: Tensor, box: tuple[float, float] | None, space: Space | None, eps: float) -> Set:
    low, high = (-math.inf, math.inf) if box is None else box
    bounds = Box(torch.full_like(x, low), torch.full_like(x, high))
    return bounds if space is None else ball(space, x, x.new_full((1,), eps), bounds)


def _pointwise(
    energy: Energy, cloud: Cloud, norm: Lp, eps: float, steps: int, box: tuple[float, float] | None, start: Cloud | None
) -> Adversary:
    """W_inf: rows are particles, each in a ball of its own; then the rows are read as one cloud."""
    x = cloud.points
    low, high = (-math.inf, math.inf) if box is None else box
    bounds = Box(torch.full_like(x[:1], low), torch.full_like(x[:1], high))
    domain = ball(norm, x, x.new_full(x.shape[:1], eps), bounds)
    begin = x if start is None else start.points
    rows = flow(energy.within(domain), begin, scheme=SemiImplicit(eps / steps, norm), until=2 * eps)
    row = torch.arange(x.shape[0], device=x.device)
    best = rows.points[rows.energy.argmin(0), row]
    curve = Curve(
        rows.time[:, :1],
        rows.points[:, None],
        rows.energy.mean(1, keepdim=True),
        rows.slope.mean(1, keepdim=True),
        rows.margin.mean(1, keepdim=True),
        rows.status[:1],
        rows.forward.sum(0, keepdim=True),
        rows.backward.sum(0, keepdim=True),
        cloud_space(x.shape[0], x.ndim - 1, math.inf, norm),
        math.inf,
    )
    return _result(energy, cloud, best, curve)


def _result(energy: Energy, cloud: Cloud, points: Tensor, curve: Curve) -> Adversary:
    e = energy.look(points)
    return Adversary(cloud.moved(points), float(-e.value.mean()), float(e.reached.double().mean()), curve)
