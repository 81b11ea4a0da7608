"""Adversaries that move a distribution: everyone has the same budget (W_inf), or all share one (W_r)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope._status import Status
from maxslope.curve import Curve
from maxslope.energies import Energy
from maxslope.energies.algebra import Potential
from maxslope.loop import flow
from maxslope.schemes import Explicit, SemiImplicit
from maxslope.sets import Box, Set, ball
from maxslope.spaces import Lp, Space
from maxslope.spaces.mixed import cloud_space
from maxslope.transport.clouds import Cloud


@dataclass(frozen=True, eq=False)
class AdversaryResult:
    """What a distributional adversary did.

    Attributes:
        cloud: the perturbed cloud.
        risk: the mean of -E at its points, the adversarial risk attained.
        errors: the share of points at which the goal of E is reached.
        curve: the curve of clouds that starts at mu_0, or at the given start; one row.
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
) -> AdversaryResult:
    """Follow the W_r flow of the potential energy for as long as W_r(mu, mu_0) <= eps allows.

    The curve has unit W_r speed. For r = inf every particle follows its own flow in its own ball, and the result is the
    average of pointwise suprema: the inner problem of adversarial training. For r = p of the norm the budget is one
    ball of the whole cloud, with the exact semi-implicit step, and the flow goes on along its sphere until time
    2 eps. For other r < inf it stops when the budget that its start left is spent, so that nothing is projected.

    W_r <= W_inf: whatever everyone may do alone, all may do together. For r < inf a second flow therefore starts where
    the adversary in W_inf of the same radius ends, and the risk is at least that of W_inf. Each particle takes the
    best of all points it visited; for r < inf, at one price per |d_i|^r for all, such that the budget suffices.

    Args:
        energy: E, row for row with the cloud.
        cloud: mu_0.
        r: in [1, inf].
        norm: l_p, of one particle's displacement.
        eps: the radius in W_r, at least 0.
        steps: until the budget can be spent; the run may be twice as long.
        box: where particles may be.
        start: a cloud in the budget and the only one to start from; by default, for r < inf, the two above.

    Returns:
        An :class:`AdversaryResult`.

    Raises:
        ValueError: if eps is negative or not finite, r or steps is below 1, or the start is outside the budget.

    Source: arXiv:2406.05376 (distributional adversaries).

    >>> from maxslope.energies import Linear
    >>> cloud = Cloud(torch.zeros(2, 2), torch.zeros(2))
    >>> found = adversary(Linear(torch.tensor([[0.0, 1.0], [1.0, 0.0]])), cloud, r=2, norm=Lp(2), eps=0.5)
    >>> round(found.risk, 4)
    0.5
    """
    if not 0 <= eps < math.inf:
        raise ValueError(f"The radius of a distributional adversary is finite and not negative, got eps={eps!r}.")
    if not (r >= 1 and steps >= 1):
        raise ValueError(f"A distributional adversary has r >= 1 and steps >= 1, got r={r!r} and steps={steps!r}.")
    task = _Task(energy, cloud, r, norm, eps, steps, (-math.inf, math.inf) if box is None else box)
    spent = 0.0 if start is None else task.spent(start)
    if spent > eps * (1 + 1e-5) + 1e-12:
        raise ValueError(f"A start must lie in the budget, got one at distance {spent!r} with eps={eps!r}.")
    if math.isinf(r):
        return task.alone(start or cloud)
    return task.together([cloud, task.alone(cloud).cloud] if start is None else [start])


@dataclass(frozen=True, eq=False)
class _Task:
    """Who moves what, how far; see :func:`adversary`."""

    energy: Energy
    cloud: Cloud
    r: float
    norm: Lp
    eps: float
    steps: int
    box: tuple[float, float]

    def spent(self, start: Cloud) -> float:
        """W_r of the displacements, without assignment."""
        return float(self._space(self.r).distance(self.cloud.row, start.row))

    def alone(self, start: Cloud) -> AdversaryResult:
        """W_inf: rows are particles, each in a ball of its own; then the rows are read as one cloud."""
        x = self.cloud.points
        domain, scheme = self._domain(x, self.norm), SemiImplicit(self.eps / self.steps, self.norm)
        rows = flow(self.energy.within(domain), start.points, scheme=scheme, until=2 * self.eps)
        best = rows.points[rows.energy.argmin(0), torch.arange(x.shape[0], device=x.device)]
        broken = (rows.status == Status.NON_FINITE).any()
        curve = Curve(
            time=rows.time[:, :1],
            points=rows.points[:, None],
            energy=rows.energy.mean(1, keepdim=True),
            slope=rows.slope.mean(1, keepdim=True),
            margin=rows.margin.mean(1, keepdim=True),
            status=torch.where(broken, int(Status.NON_FINITE), rows.status[:1]),
            forward=rows.forward.sum(0, keepdim=True),
            backward=rows.backward.sum(0, keepdim=True),
            space=self._space(math.inf),
            rate=math.inf,
        )
        return self._result(best, curve)

    def together(self, starts: list[Cloud]) -> AdversaryResult:
        """One budget for all: the cloud is one row, in one ball where that is a ball of coordinates."""
        x, space = self.cloud.row, self._space(self.r)
        flat_ball = self.r == self.norm.p
        energy = Potential(self.energy).within(self._domain(x, space if flat_ball else None))
        scheme = (SemiImplicit if flat_ball else Explicit)(self.eps / self.steps, space)
        curves = []
        for start in starts:
            until = 2 * self.eps if flat_ball else max(0.0, self.eps - self.spent(start))
            curves.append(flow(energy, start.row, scheme=scheme, until=until))
        points = torch.cat([c.points[:, 0] for c in curves])
        whole = points[int(torch.cat([c.energy[:, 0] for c in curves]).argmin())]
        found = (self._result(end, curves[0]) for end in (whole, self._best_of(points)))
        return max(found, key=lambda one: one.risk)

    def _best_of(self, points: Tensor) -> Tensor:
        """The best points of ``[K, n, *shape]`` that the budget allows, one for each particle."""
        values = torch.stack([self.energy.look(p).value.double() for p in points])
        sizes = torch.stack([self.norm.distance(self.cloud.points, p).double() for p in points])
        which = affordable(values, (sizes / self.eps) ** self.r if self.eps else sizes)
        return points[which, torch.arange(points.shape[1], device=points.device)]

    def _space(self, r: float) -> Space:
        return cloud_space(self.cloud.points.shape[0], self.cloud.points.ndim - 1, r, self.norm)

    def _domain(self, x: Tensor, space: Space | None) -> Set:
        low, high = (torch.full_like(x[:1], bound) for bound in self.box)
        bounds = Box(low, high)
        return bounds if space is None else ball(space, x, x.new_full(x.shape[:1], self.eps), bounds)

    def _result(self, points: Tensor, curve: Curve) -> AdversaryResult:
        e = self.energy.look(points)
        return AdversaryResult(
            self.cloud.moved(points), float(-e.value.mean()), float(e.reached.double().mean()), curve
        )


def affordable(values: Tensor, costs: Tensor) -> Tensor:
    """Choose an option for each particle, of low mean value and mean cost at most 1, by one price for all.

    At a price w a particle takes the option of least value + w cost; the least w at which the mean cost is at most 1
    is found by bisection. No choice of at most the cost it then has is of lower mean value. If no price is high enough
    the cheapest options are taken. Both tensors are ``[options, particles]``, and costs not negative.

    >>> values, costs = torch.tensor([[0.0, 0.0], [-1.0, -3.0]]), torch.tensor([[0.0, 0.0], [1.5, 1.5]])
    >>> affordable(values, costs).tolist()
    [0, 1]
    """

    def at(price: float) -> Tensor:
        return (values + price * costs).argmin(0)

    def mean_cost(which: Tensor) -> float:
        return float(costs.gather(0, which[None]).mean())

    best = at(0.0)
    if mean_cost(best) <= 1:
        return best
    low = high = 1e-12 * (float(values.max() - values.min()) or 1.0)
    while mean_cost(best := at(high)) > 1:
        low, high = high, 10 * high
        if high == math.inf:
            return costs.argmin(0)
    for _ in range(60):
        price = math.sqrt(low * high)
        which = at(price)
        if mean_cost(which) <= 1:
            high, best = price, which
        else:
            low = price
    return best
