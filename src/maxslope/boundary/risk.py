"""Risks of a classifier that says 1 on a set of cells, and its nonlocal perimeter, exactly on the grid."""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope.boundary.densities import Densities
from maxslope.boundary.grid import Grid
from maxslope.boundary.window import Window


class Lattice:
    """A grid, two densities on it and a window: the discrete problem of adversarial training.

    Args:
        grid: where.
        densities: on the grid.
        window: the adversary's reach from a cell.
        eps: what the perimeter is divided by, in length units. By default R h, with which robust risk is risk plus
            eps times perimeter; a flow divides by ``window.scale * h`` instead.

    Raises:
        ValueError: if shapes do not match or eps is not positive.

    >>> from maxslope.spaces import Lp
    >>> grid = Grid((16, 16), -1, 1)
    >>> problem = Lattice(grid, Densities(torch.ones(16, 16), torch.ones(16, 16)), Window(2, Lp(2), 2))
    >>> a = grid.points()[..., 0] > 0
    >>> problem.perimeter(a), problem.robust_risk(a) - problem.risk(a)
    (4.0, 1.0)
    """

    def __init__(self, grid: Grid, densities: Densities, window: Window, eps: float = 0.0) -> None:
        if tuple(densities.rho0.shape) != grid.shape or window.dim != grid.dim:
            raise ValueError(
                f"Grid, densities and window belong together, got shapes {grid.shape} and "
                f"{tuple(densities.rho0.shape)} and a window of {window.dim} axes."
            )
        if eps < 0:
            raise ValueError(f"The radius eps is positive (0: that of the window), got eps={eps!r}.")
        self.grid, self.densities, self.window = grid, densities, window
        self.eps = eps or window.radius * grid.h

    def risk(self, a: Tensor) -> float:
        """Return R(A) = int_A rho0 + int_{A^c} rho1, the mass that is misclassified.

        Args:
            a: the set where the classifier says 1, bool ``[*shape]`` or a signed function.
        """
        a = self._cells(a)
        return self._sum(torch.where(a, self.densities.rho0, self.densities.rho1))

    def robust_risk(self, a: Tensor) -> float:
        """Return sum over cells of rho_y sup_{o in W} 1[x + o is misclassified], the robust risk."""
        a = self._cells(a).double()
        wrong0, wrong1 = self.window.maximum(a), 1 - self.window.minimum(a)
        return self._sum(self.densities.rho0 * wrong0 + self.densities.rho1 * wrong1)

    def perimeter(self, a: Tensor) -> float:
        """Return Per_eps(A) = (1/eps) [int_{A^eps minus A} rho0 + int_{A minus A^(-eps)} rho1].

        Source: arXiv:2404.14402, the nonlocal perimeter; robust risk = risk + eps Per_eps.
        """
        return self.total_variation(self._cells(a).double())

    def total_variation(self, u: Tensor) -> float:
        """Return TV_eps(u) = (1/eps) sum h^d [rho0 (max_W u - u) + rho1 (u - min_W u)].

        By the coarea formula TV_eps(u) = int Per_eps({u > s}) ds.
        """
        up, down = self.window.maximum(u) - u, u - self.window.minimum(u)
        return self._sum(self.densities.rho0 * up + self.densities.rho1 * down) / self.eps

    def _sum(self, values: Tensor) -> float:
        return float(values.sum()) * self.grid.cell

    def _cells(self, a: Tensor) -> Tensor:
        return a if a.dtype == torch.bool else self.grid.function(a) > 0
