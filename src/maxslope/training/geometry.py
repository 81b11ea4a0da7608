"""What training does to a classifier's geometry: margins, distances to the boundary, local Lipschitz constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks, _random
from maxslope._rows import column, per_row
from maxslope.attacks import Effort, minimal
from maxslope.energies import Loss, Margin, Network
from maxslope.sets import Budget


@dataclass(frozen=True, eq=False)
class Geometry:
    """The geometry of a classifier around samples; every tensor is ``[n]``.

    Attributes:
        margin: logit margins at the samples; negative where misclassified.
        distance: norm of the smallest perturbation found that the model errs on; 0 where it errs already, inf where
            none was found.
        lipschitz: the largest dual norm of the margin's gradient seen in the ball of radius eps, in logits per unit of
            the norm: a lower bound of the margin's local Lipschitz constant.
    """

    margin: Tensor
    distance: Tensor
    lipschitz: Tensor


def geometry(
    model: Any, x: Tensor, y: Tensor, budget: Budget, *, draws: int = 4, effort: Effort | None = None, seed: int = 0
) -> Geometry:
    """Measure margins, distances to the boundary and local Lipschitz constants around samples.

    L(x) = max { |grad m(z)|_* : |z - x| <= eps }, the maximum over the sample and ``draws`` points uniform in the ball.

    Args:
        model: in evaluation mode.
        x: ``[n, *shape]``.
        y: ``[n]``.
        budget: norm, eps and box.
        draws: random points a sample, at least 0.
        effort: of the search for smallest perturbations; ``Effort.quick()`` by default.
        seed: of the draws, keyed by (seed, row, draw).

    Returns:
        A :class:`Geometry`.

    Raises:
        ValueError: if ``draws`` is negative, or for what :func:`maxslope.minimal` refuses.

    Source: arXiv:2406.05376, section 2 (the metric slope of the energy is the dual norm of its gradient).

    >>> import maxslope as ms
    >>> found = geometry(lambda z: z, torch.tensor([[0.9, 0.5]]), torch.tensor([0]), ms.L2(0.1))
    >>> found.margin, found.lipschitz
    (tensor([0.4000]), tensor([1.4142]))
    """
    if draws < 0:
        raise ValueError(f"The number of draws must not be negative, got {draws}.")
    found = minimal(model, x, y, budget.norm, box=budget.box, effort=effort or Effort.quick(), seed=seed)
    x = _checks.points(x)
    y = _checks.labels(y, x)
    eps, domain = per_row(budget.eps, x), budget.around(x)
    energy = Loss(Network(model), y, Margin())
    e = energy.evaluate(x)
    largest = budget.norm.dual_norm(e.gradient)
    rows = torch.arange(x.shape[0], device=x.device)
    for k in range(draws):
        noise = budget.norm.sample(_random.keys(seed, rows, k), torch.empty_like(x))
        points = domain.project(x + column(eps, x) * noise)
        largest = torch.maximum(largest, budget.norm.dual_norm(energy.evaluate(points).gradient))
    return Geometry(e.margin, found.norms, largest)
