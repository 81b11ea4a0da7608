"""One step of the flow of sets as a convex problem, and what solves it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from maxslope.boundary.cut import nested_cuts
from maxslope.boundary.densities import Densities
from maxslope.boundary.grid import Grid
from maxslope.boundary.risk import Lattice
from maxslope.boundary.window import Window
from maxslope.spaces import Lp


class Step(NamedTuple):
    """One step: u = argmin TV_eps(u) + (1/2 tau) int (u - g)^2 drho; {u > 0} is the next set.

    Attributes:
        grid: where.
        densities: rho0 and rho1, with rho = rho0 + rho1 > 0.
        g: ``[*shape]`` float64, the signed distance to the boundary of the set before.
        tau: in time, that is length^2.
    """

    grid: Grid
    densities: Densities
    g: Tensor
    tau: float


class Solution(NamedTuple):
    """What a solver found.

    Attributes:
        u: ``[*shape]``; right near its zero level, of the right sign elsewhere.
        solved: whether the criterion was met.
        iterations: gradients or cuts.
    """

    u: Tensor
    solved: bool
    iterations: int


class Solver(ABC):
    """A way to make a step; interchangeable objects.

    {u > s} minimizes Per_eps(A) + (1/tau) int_A (s - g) drho, because suprema commute with thresholds (coarea): for
    s = 0 the step of :class:`Movement`.

    Attributes:
        space: the adversary's norm.
        smooth: whether boundaries come out smooth enough for their curvature to be read off.

    Source: arXiv:2404.14402 (the minimizing movement scheme).
    """

    space: Lp
    smooth: ClassVar[bool] = True

    @abstractmethod
    def eps(self, grid: Grid) -> float:
        """Return the radius of the adversary in length units: what the solver's perimeter is divided by."""

    @abstractmethod
    def width(self, grid: Grid, tau: float) -> float:
        """Return how far from the boundary the solver wants exact distances, in length units."""

    @abstractmethod
    def solve(self, step: Step) -> Solution:
        """Make the step."""


def check_step(step: Step) -> Step:
    """Return the step with tau, g and rho checked, and all on the device of g."""
    if not 0 < step.tau < math.inf:
        raise ValueError(f"A time step is positive and finite, got tau={step.tau!r}.")
    g = step.grid.function(step.g, "A signed distance")
    least = float(step.grid.function(step.densities.rho, "A density").min())
    if not least > 0:
        raise ValueError(
            f"A step divides by rho, which must be positive everywhere, got a minimum of {least}; use "
            "densities.floored()."
        )
    return step._replace(g=g, densities=step.densities.to(g))


@dataclass(frozen=True)
class Cut(Solver):
    """The exact minimizer by nested minimum cuts, in narrow bands and to a fraction of a cell.

    Levels s in [-1.75 h, 1.75 h] are cut in the order of bisection, and u is put in the middle between the two levels
    around it. Level spacing must be a fraction of the motion tau |V| or the boundary is pinned to the grid; one level
    (``levels=1``) moves whole cells, frozen where tau |V| < h / 2. Balls of the lattice are polygons: with small R the
    flow is crystalline (facets) in l_2, by 10 % at R = 2.3, 3.6 % at 5.1, 2.5 % at 10.05; in l_inf and l_1 it is exact.

    Args:
        radius: R in cells. Good ones in l_2: 2.3, 4.3, 5.1, 7.3, 10.05, 12.1.
        levels: 2^m - 1 of them are cut: 1, 3, 7, ..., 63, 127.
        space: the adversary's norm.

    Raises:
        ValueError: if the radius is below 1 or ``levels`` not of the form 2^m - 1.

    Source: arXiv:2404.14402 (the scheme); cuts by OR-Tools.

    >>> round(Cut(5.1).eps(Grid((64, 64), -1, 1)) * 32, 2)  # in cells
    5.02
    """

    smooth: ClassVar[bool] = False
    radius: float = 5.1
    levels: int = 63
    space: Lp = Lp(2)  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        if self.levels < 1 or (self.levels + 1) & self.levels:
            raise ValueError(f"Bisection takes 2^m - 1 levels, such as 1, 31 or 63, got levels={self.levels!r}.")
        Window(self.radius, self.space, 2)  # checks the radius

    def eps(self, grid: Grid) -> float:
        """See :class:`Solver`; the mean width of the window."""
        return Window(self.radius, self.space, grid.dim).scale * grid.h

    def width(self, grid: Grid, tau: float) -> float:
        """See :class:`Solver`; a ball of radius 2 sqrt(tau) in the set survives the step, by comparison."""
        return 2 * math.sqrt(tau) + 4 * grid.h

    def solve(self, step: Step) -> Solution:
        grid, densities, g, tau = check_step(step)
        problem = Lattice(grid, densities.to(g.cpu()), Window(self.radius, self.space, grid.dim), self.eps(grid))
        size = 0.0 if self.levels == 1 else 1.75 * grid.h
        levels = torch.linspace(-size, size, self.levels, dtype=torch.float64)
        found = nested_cuts(problem, g.cpu(), tau, levels, self.width(grid, tau))
        if self.levels == 1:
            return Solution(torch.where(found > 0, 1.0, -1.0).to(g), True, 1)
        gap = float(levels[1] - levels[0])
        return Solution((levels[0] + (found - 0.5) * gap).to(g), True, self.levels)
