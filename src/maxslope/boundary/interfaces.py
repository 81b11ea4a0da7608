"""The metric space of sets: signed distance functions, and how far two boundaries are apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope._rows import flat
from maxslope.boundary.distance import signed_distance
from maxslope.boundary.grid import Grid, hat, inside
from maxslope.sets import Set
from maxslope.spaces import Lp, Space, Weighted


class Motion(Space):
    """Sets with the distance of Almgren, Taylor and Wang; fields with the norm of L^2(rho).

    d(A, B)^2 = 2 int_{A symdiff B} |sd_A| drho, which is int_{dA} V^2 rho dH^(d-1) for small normal displacements V:
    the step of the flow minimizes Per(B) + d(A_k, B)^2 / (2 tau), a minimizing movement of rate 2. Cells are split by
    the levels of a hat function of half width h, so that motions of a fraction of h count in full.

    Args:
        grid: where.
        rho: positive, ``[*shape]``.

    Raises:
        ValueError: if rho is not positive, or not on the grid.

    Source: F. Almgren, J. E. Taylor, L. Wang, SIAM J. Control Optim. 31 (1993) 387-438; weighted: arXiv:2404.14402.

    >>> grid = Grid((64, 64), -1, 1)
    >>> r = grid.points().norm(dim=-1)[None]
    >>> d = Motion(grid, torch.ones(64, 64)).distance(0.5 - r, 0.51 - r)
    >>> round(float(d**2) / (2 * torch.pi * 0.5 * 0.01**2), 1)  # circumference times the square of the displacement
    1.0
    """

    def __init__(self, grid: Grid, rho: Tensor) -> None:
        rho = grid.function(rho, "A density")
        if not bool((rho > 0).all()):
            raise ValueError(
                f"The distance of sets divides by rho, which must be positive, got a minimum of {float(rho.min())}; "
                "use densities.floored()."
            )
        self.grid, self.rho = grid, rho
        self._fields = Weighted(Lp(2), (rho * grid.cell).sqrt())

    def norm(self, v: Tensor) -> Tensor:
        return self._fields.norm(v)

    def dual_norm(self, xi: Tensor) -> Tensor:
        return self._fields.dual_norm(xi)

    def steepest(self, xi: Tensor) -> Tensor:
        return self._fields.steepest(xi)

    def sample(self, key: Tensor, like: Tensor) -> Tensor:
        return self._fields.sample(key, like)

    def distance(self, x: Tensor, z: Tensor) -> Tensor:
        """Return d(A, B), ``[rows]``, of the sets with signed distances ``x`` and ``z``."""
        h = self.grid.h
        # int over the levels t between x and z of hat(t) |x - t| dt
        swept = _moment(z, h) - _moment(x, h) - x * (inside(z, h) - inside(x, h))
        return (2 * self.grid.cell * flat(swept * self.rho.to(x)).sum(1)).clamp_min(0).sqrt()


@dataclass(frozen=True, eq=False)
class Interfaces(Set):
    """The signed distance functions of a grid: where a flow of sets goes. Not convex; projecting is redistancing.

    Args:
        grid: where.
        width: how far from the boundary distances are exact, in length units.

    >>> grid = Grid((16, 16), -1, 1)
    >>> Interfaces(grid, 0.5).project(8 * grid.points()[None, :, :, 0]).amax()
    tensor(0.9375, dtype=torch.float64)
    """

    grid: Grid
    width: float

    def project(self, x: Tensor) -> Tensor:
        """See :class:`Set`; the signed distance to the boundary of {x > 0} (not the nearest function in L^2)."""
        return torch.stack([signed_distance(row, self.grid, self.width) for row in x]).to(x)

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; sup { <xi, v> } over displacements v of the boundary with int v^2 rho dH^(d-1) <= 1.

        Raises:
            ValueError: if the space is not a :class:`Motion`.
        """
        if not isinstance(space, Motion):
            raise ValueError(f"The slope at a set is taken in the space Motion(grid, rho), got {space!r}.")
        mass = hat(x, self.grid.h) * space.rho.to(x) * self.grid.cell
        part = torch.where(mass > 0, xi**2 / torch.where(mass > 0, mass, 1.0), 0.0)
        return flat(part).sum(1).sqrt()

    def violation(self, x: Tensor) -> Tensor:
        """See :class:`Set`; the largest error of the distance within two cells of the boundary."""
        exact = self.project(x)
        return flat(torch.where(exact.abs() < 2 * self.grid.h, (x - exact).abs(), 0.0)).amax(1)

    def minimize_linear(self, xi: Tensor) -> Tensor:
        raise ValueError("A linear form has no minimizer over signed distance functions; use the scheme Movement.")

    def minimize_linear_near(self, xi: Tensor, x: Tensor, tau: Tensor, space: Space) -> Tensor:
        raise ValueError("There is no semi-implicit step for sets; use the scheme Movement, which minimizes exactly.")

    def take(self, index: Tensor) -> Interfaces:
        """See :class:`Set`; one set stands for every row."""
        return self


def _moment(t: Tensor, width: float) -> Tensor:
    """The integral of s hat(s) from -inf to t."""
    a = t.abs().clamp_max(width)
    return a**2 / (2 * width) - a**3 / (3 * width**2) - width / 6
