"""Adversaries whose samples share: one budget for the whole batch, or a price on distance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch

from maxslope._rows import flat
from maxslope.energies.algebra import Potential, Priced
from maxslope.schemes import Explicit, SemiImplicit
from maxslope.sets import Box, Budget, Set, ball
from maxslope.sets.budget import Bounds
from maxslope.spaces import Lp
from maxslope.spaces.mixed import cloud_space
from maxslope.training.adversary import Adversary, Perturbed, Problem
from maxslope.training.inner import Ascent, Inner


@dataclass(frozen=True, eq=False)
class Shared(Adversary):
    """The batch shares one budget: max { mean l(h(z_i), y_i) : (mean |z_i - x_i|^r)^(1/r) <= eps }, a ball of W_r.

    The batch is one row of the flow, a cloud in the mixed norm: its steepest field moves sample i by
    |xi_i|_*^(1/(r-1)), so that the budget goes where it pays. For r = p of the norm the budget is a ball of the cloud
    and the steps are exact; for other r the flow ends when its length is eps. In several processes each shares among
    its own rows.

    Args:
        budget: norm l_p, eps and box; eps is the mean distance in L^r.
        r: in [1, inf); the adversary for r = inf is :class:`Pointwise`.
        inner: ``steps`` and ``first``; nothing is stopped per sample, and nothing is remembered.

    Raises:
        TypeError: if the norm is not an l_p norm.
        ValueError: if r is not in [1, inf).

    Source: arXiv:2406.05376, section 5 (distributional adversaries).

    >>> from maxslope import L2
    >>> Shared(L2(0.5), r=2).r
    2
    """

    budget: Budget
    r: float
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if not isinstance(self.budget.norm, Lp):
            raise TypeError(f"A shared budget measures samples in an l_p norm, got {self.budget.norm!r}.")
        if not 1 <= self.r < math.inf:
            raise ValueError(f"A budget is shared in W_r for r in [1, inf), got r={self.r!r}; for inf use Pointwise.")

    def perturb(self, problem: Problem) -> Perturbed:
        _unmasked(problem)
        x, norm = problem.x, self.budget.norm
        n, steps = x.shape[0], self.inner.steps + problem.more
        assert isinstance(norm, Lp)
        space = cloud_space(n, x.ndim - 1, self.r, norm)
        cloud = x[None]
        eps = x.new_full((1,), float(self.budget.eps) * problem.scale)
        exact = self.r == norm.p
        box = Box(*(bound.expand_as(x)[None] for bound in self.budget.bounds(x)))
        domain: Set = ball(space, cloud, eps, box) if exact else box
        # Where nothing is projected onto the budget the lengths must add up to it; half cosines sum to (n + 1) / 2.
        reach = eps if exact else eps * 2 / (steps + 1) / self.inner.first
        rules = replace(self.inner, steps=steps, adapt=False, tolerance=0.0, ceiling=math.inf)
        ascent = Ascent(Potential(problem.energy), domain, cloud, reach, torch.ones_like(eps), rules)
        climb = ascent.go(lambda tau: SemiImplicit(tau, space) if exact else Explicit(tau, space))
        spent = steps * n
        return Perturbed(climb.points[0], torch.arange(n, device=x.device), spent, spent)


@dataclass(frozen=True, eq=False)
class Lagrangian(Adversary):
    """A price instead of a budget: max { l(h(z_i), y_i) - price |z_i - x_i|_2^2 }, sample by sample.

    The inner problem is strongly concave, and its gradient flow contracts, once the price exceeds half the largest
    curvature of the loss. With ``eps`` the price follows the dual ascent price *= exp(rate (spent^2 / eps^2 - 1)),
    where spent^2 is the mean square distance of the last batch: the fixed point is the W_2 budget eps.

    Args:
        price: in units of the loss over the square of the inputs', positive.
        eps: what the mean square distance should come to; None keeps the price.
        box: the range of valid inputs.
        steps: gradients a sample.
        rate: of the dual ascent.

    Raises:
        ValueError: if the price, ``eps`` or the rate is not positive, or ``steps`` is less than 1.

    Source: arXiv:1710.10571, equation (2) (the Lagrangian form); Blanchet and Murthy (2019), Theorem 1 (its duality).

    >>> Lagrangian(2.0).steps
    5
    """

    price: float
    eps: float | None = None
    box: Bounds | None = (0.0, 1.0)
    steps: int = 5
    rate: float = 0.1

    def __post_init__(self) -> None:
        if not self.price > 0 or not self.rate > 0 or self.steps < 1 or (self.eps is not None and not self.eps > 0):
            raise ValueError(
                f"A Lagrangian adversary needs price, eps and rate > 0 and steps >= 1, got price={self.price}, "
                f"eps={self.eps}, rate={self.rate}, steps={self.steps}."
            )

    def perturb(self, problem: Problem) -> Perturbed:
        """See :class:`Adversary`. Rate-2 steps of the priced energy, of length 1 / (2 price) at first."""
        _unmasked(problem)
        x, numbers, name = problem.x, problem.memory.numbers, f"{problem.slot} price"
        price = numbers.get(name, self.price)
        rows = x.new_ones(x.shape[0])
        energy = Priced(problem.energy, x, price * rows)
        rules = Inner(steps=self.steps + problem.more, first=1.0, adapt=False, warm=False)
        box = Box(*Budget(Lp(2), 0.0, self.box).bounds(x))
        ascent = Ascent(energy, box, x, rows / (2 * price), rows, rules)
        climb = ascent.go(lambda tau: Explicit(tau, Lp(2), rate=2))
        if self.eps is not None and not problem.cold:
            spent = float(flat(climb.points - x).square().sum(1).mean())
            excess = spent / (self.eps * problem.scale) ** 2 - 1 if problem.scale > 0 else 0.0
            numbers[name] = price * math.exp(self.rate * max(-3.0, min(3.0, excess)))  # one batch decides little
        passes = int(climb.spent.sum())
        return Perturbed(climb.points, torch.arange(x.shape[0], device=x.device), passes, passes)


def _unmasked(problem: Problem) -> None:
    if problem.mask is not None:
        raise ValueError("A shared budget knows no mask; use Pointwise(budget), whose samples move where it allows.")
