"""The dual view of the W_2 adversary: a price on squared distance instead of a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from maxslope._rows import flat
from maxslope.energies import Energy
from maxslope.energies.algebra import Priced
from maxslope.schemes import Descent, InnerProblem
from maxslope.sets import Box
from maxslope.spaces import Lp
from maxslope.transport.clouds import Cloud


@dataclass(frozen=True, eq=False)
class Dual:
    """The solved dual problem.

    Attributes:
        price: the multiplier of the budget.
        value: price eps^2 + mean over particles of max { -E(z) - price |z - x_i|^2 }. With global inner maxima this
            bounds the risk of every cloud within the budget from above.
        cloud: the inner maximizers.
        risk: the mean of -E there.
        spent: their root mean square distance, eps where the budget binds.
    """

    price: float
    value: float
    cloud: Cloud
    risk: float
    spent: float


def dual(
    energy: Energy,
    cloud: Cloud,
    eps: float,
    *,
    box: tuple[float, float] | None = None,
    inner: Descent | None = None,
    rounds: int = 24,
) -> Dual:
    """Minimize price eps^2 + mean max { -E(z) - price |z - x_i|_2^2 : z in the box } over price >= 0.

    The dual function is convex, and its derivative eps^2 - mean |z_i - x_i|^2 tells on which side the minimum is:
    bisection in the logarithm of the price. The inner problems are independent rows.

    Args:
        energy: E, row for row with the cloud.
        cloud: mu_0.
        eps: the radius in W_2 with the Euclidean norm, positive.
        box: where particles may be; without one, a ball of 20 eps around each particle is searched.
        inner: the solver of the inner problems.
        rounds: bisections.

    Returns:
        A :class:`Dual`.

    Raises:
        ValueError: if eps is not positive and finite, or there is no round.

    Source: Blanchet and Murthy, Quantifying distributional model risk via optimal transport (2019), Theorem 1.
    """
    if not (0 < eps < math.inf and rounds >= 1):
        raise ValueError(
            f"The dual needs a positive, finite radius and a round at least, got eps={eps!r} and rounds={rounds!r}."
        )
    solver = inner or Descent(restarts=1, iterations=40, tolerance=1e-6)
    x = cloud.points
    low, high = (x - 20 * eps, x + 20 * eps) if box is None else (torch.full_like(x, b) for b in box)
    region = Box(torch.minimum(low, x), torch.maximum(high, x))
    slope = float(Lp(2).norm(energy.evaluate(x).gradient).square().mean().sqrt())
    bottom, top = 1e-3 * slope / eps + 1e-12, 1e3 * slope / eps + 1e-12
    found: list[Dual] = []
    for _ in range(rounds):
        price = math.sqrt(bottom * top)
        found.append(_at(energy, cloud, eps, price, region, solver))
        bottom, top = (price, top) if found[-1].spent > eps else (bottom, price)
    return min(found, key=lambda one: one.value)


def _at(energy: Energy, cloud: Cloud, eps: float, price: float, region: Box, solver: Descent) -> Dual:
    x = cloud.points
    priced = Priced(energy, x, x.new_full(x.shape[:1], price))
    solution = solver.solve(
        InnerProblem(priced, x, priced.evaluate(x), region, x.new_full(x.shape[:1], 2 * eps), Lp(2))
    )
    spent = float(flat(solution.x - x).square().sum(1).mean().sqrt())
    value = price * eps**2 - float(solution.value.mean())
    return Dual(price, value, cloud.moved(solution.x), float(-energy.look(solution.x).value.mean()), spent)
