"""What a step may reach: a set and a ball around points of it, as a set of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maxslope._rows import choose, column, flat, take
from maxslope.sets import _ball
from maxslope.sets.ball_box import BallBox, ball
from maxslope.sets.base import Everything, Set
from maxslope.sets.box import Box, separable
from maxslope.spaces import Space


def near(domain: Set, x: Tensor, radius: Tensor, space: Space) -> Set:
    """Return K intersected with the ball { |z - x| <= radius }, where projections and linear minimizers are exact.

    Boxes meet in a box, and a ball meets a box in a :class:`BallBox`; two balls make a :class:`Meet`.

    Args:
        domain: K.
        x: points of K, ``[rows, *shape]``.
        radius: ``[rows]``, not negative.
        space: the norm of the ball.

    >>> unit = Box(torch.zeros(1, 2), torch.ones(1, 2))
    >>> from maxslope.spaces import Lp
    >>> near(unit, torch.ones(1, 2), torch.tensor([0.25]), Lp(math.inf)).project(torch.zeros(1, 2))
    tensor([[0.7500, 0.7500]])
    """
    if isinstance(domain, Everything):
        domain = Box.known(torch.full_like(x[:1], -torch.inf), torch.full_like(x[:1], torch.inf))
    lp, weights = separable(space)
    width = column(radius, x) / (1.0 if weights is None else weights.to(x))
    if isinstance(domain, Box):
        center = domain.project(x)
        return domain.within(center, width) if math.isinf(lp.p) else BallBox(space, center, radius, domain, True)
    if math.isinf(lp.p) and isinstance(domain, BallBox):
        box = domain.box.within(x, width)
        return replace(domain, box=box, centered=not bool((box.violation(domain.center) > 0).any()))
    return Meet(domain, x, radius, space)


@dataclass(frozen=True, eq=False)
class Meet(Set):
    """The set K intersected with { |z - x| <= radius } for two curved constraints.

    Linear minimizers are exact (``K.minimize_linear_near``). The projection is Dykstra's: exact where one of the two
    constraints decides alone, otherwise iterated to ``tolerance`` times the radius and made feasible towards ``x``.

    Args:
        domain: K.
        center: points x of K, ``[rows, *shape]``.
        radius: ``[rows]``.
        space: the norm of the ball.
        tolerance: relative to the radius.

    Source: Boyle and Dykstra, A method for finding projections onto the intersection of convex sets (1986).
    """

    domain: Set
    center: Tensor
    radius: Tensor
    space: Space
    tolerance: float = 1e-8

    def project(self, x: Tensor) -> Tensor:
        radius = self.radius.expand(x.shape[0])
        step = ball(self.space, self.center.expand_as(x), radius)
        one = self.domain.project(x)
        done = step.violation(one) <= 0
        if bool(done.all()):
            return one
        other = step.project(x)
        alone = ~done & (self.domain.violation(other) <= 0)
        answer = choose(alone, other, one)
        rest = (~done & ~alone).nonzero().squeeze(1)
        if rest.numel():
            both = _dykstra(self.domain.take(rest), step.take(rest), x[rest], self.tolerance * radius[rest])
            back = _ball.draw(self.space, both, take(self.center, rest), take(self.radius, rest))  # x lies in both sets
            answer = answer.index_copy(0, rest, back)
        return answer

    def minimize_linear(self, xi: Tensor) -> Tensor:
        x, radius = self.center.expand_as(xi), self.radius.expand(xi.shape[0])
        return self.domain.minimize_linear_near(xi, x, radius, self.space)

    def minimize_linear_near(self, xi: Tensor, x: Tensor, tau: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; three curved constraints are more than this set knows."""
        raise ValueError(
            "A linear form over a set and two step balls has no exact solver here; take one ball at a time."
        )

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; the slope within K alone: the step ball limits a step, not the motion."""
        return self.domain.slope(xi, x, space)

    def violation(self, x: Tensor) -> Tensor:
        excess = self.space.distance(self.center.double(), x.double()) - self.radius
        return torch.maximum(self.domain.violation(x).double(), excess).clamp_min(0)

    def take(self, index: Tensor) -> Meet:
        center, radius = take(self.center, index), take(self.radius, index)
        return replace(self, domain=self.domain.take(index), center=center, radius=radius)


def _dykstra(first: Set, second: Set, x: Tensor, slack: Tensor) -> Tensor:
    """Alternate projections with Dykstra's corrections; the last one is onto the first set. Rows rest once settled."""
    z, answer = x, x
    p, q = torch.zeros_like(x), torch.zeros_like(x)
    settled = torch.zeros_like(slack, dtype=torch.bool)
    for _ in range(200):
        y = second.project(z + q)
        q = z + q - y
        new = first.project(y + p)
        p = y + p - new
        change = flat(new - z).norm(dim=1) + flat(new - y).norm(dim=1)
        answer = choose(settled, answer, new)
        settled = settled | (change <= slack)
        z = new
        if bool(settled.all()):
            break
    return answer
