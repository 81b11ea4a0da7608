"""The nonlocal perimeter of a set given by its signed distance, as an energy of the house."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope._rows import flat
from maxslope.boundary.densities import Densities
from maxslope.boundary.distance import gone
from maxslope.boundary.grid import Grid, hat, inside
from maxslope.boundary.limit import LimitLaw, Measured
from maxslope.energies import Evaluation
from maxslope.energies.base import plain
from maxslope.spaces import Lp


@dataclass(frozen=True, eq=False)
class Perimeter(Measured):
    """Per_eps(A) = (1/eps) [int_{A^eps minus A} rho0 + int_{A minus A^(-eps)} rho1], A = {sd > 0}, to a fraction of h.

    A^eps = {sd > -eps |nu|_*}, exactly in l_2 and to first order in eps in other norms; indicators are smoothed over a
    cell. In l_2 the gradient is the first variation -rho V_eps of :class:`LimitLaw`, spread over the boundary; in other
    norms only values are known. The goal is reached where the set or its complement is empty.

    Args:
        grid: where.
        densities: on the grid.
        eps: the radius of the adversary, in length units.
        space: its norm.

    Raises:
        ValueError: if eps is not positive and finite.

    Source: arXiv:2404.14402 (the nonlocal perimeter); its first variation by the tube formula.

    >>> grid = Grid((64, 64), -1, 1)
    >>> half = torch.full((64, 64), 0.5)
    >>> disk = (0.5 - grid.points().norm(dim=-1))[None]
    >>> round(float(Perimeter(grid, Densities(half, half), 0.1).look(disk).value), 2)  # 2 pi r
    3.14
    """

    grid: Grid
    densities: Densities
    eps: float
    space: Lp = Lp(2)  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        if not 0 < self.eps < math.inf:
            raise ValueError(f"The radius of the adversary is positive and finite, got eps={self.eps!r}.")
        self.grid.function(self.densities.rho, "A density")

    def evaluate(self, x: Tensor) -> Evaluation:
        seen = self.look(x)
        if self.space.p != 2:
            return seen
        # What vanishes would have level sets without direction.
        velocity = torch.where(x.abs() < self.grid.h, LimitLaw(self.grid, self.densities, self.eps).velocity(x), 0.0)
        return seen._replace(gradient=-self.grid.cell * hat(x, self.grid.h) * self.densities.rho.to(x) * velocity)

    def look(self, x: Tensor) -> Evaluation:
        return plain((self.robust_risk(x) - self.risk(x)) / self.eps)._replace(reached=gone(x))

    def risk(self, x: Tensor) -> Tensor:
        """Return the mass misclassified by the sets with signed distances ``x``, ``[rows]``."""
        here = inside(x, self.grid.h)
        return self._mass(here, 1 - here)

    def robust_risk(self, x: Tensor) -> Tensor:
        """Return risk + eps Per_eps = int rho0 1[A^eps] + int rho1 1[not A^(-eps)], ``[rows]``."""
        up, down = self._layers(x)
        return self._mass(up, 1 - down)

    def _layers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Indicators of A^eps and A^(-eps)."""
        thick: Tensor | float = self.eps
        if self.space.p != 2:
            slopes = torch.stack(torch.gradient(x, spacing=self.grid.h, dim=list(range(1, x.ndim))), -1)
            nu = slopes / torch.linalg.vector_norm(slopes, dim=-1, keepdim=True).clamp_min(1e-12)
            thick = self.eps * self.space.dual_norm(nu.reshape(-1, self.grid.dim)).reshape(x.shape)
        return inside(x + thick, self.grid.h), inside(x - thick, self.grid.h)

    def _mass(self, w0: Tensor, w1: Tensor) -> Tensor:
        return self.grid.cell * flat(w0 * self.densities.rho0.to(w0) + w1 * self.densities.rho1.to(w1)).sum(1)
