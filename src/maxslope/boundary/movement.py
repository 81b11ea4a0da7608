"""The flow of sets: minimizing movements of the nonlocal perimeter on the common loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from maxslope._status import Status
from maxslope.boundary.densities import Densities
from maxslope.boundary.distance import gone, signed_distance, starts, vanished
from maxslope.boundary.energy import Perimeter
from maxslope.boundary.grid import Grid
from maxslope.boundary.interfaces import Interfaces, Motion
from maxslope.boundary.soft import Soft
from maxslope.boundary.solver import Solution, Solver, Step
from maxslope.curve import Curve
from maxslope.energies import Blind
from maxslope.loop import Record, Stop, flow
from maxslope.schemes import Account, Accounting, Here, Memory, StepSize
from maxslope.schemes.steps import step_size


class Movement(Accounting):
    """A_{k+1} in argmin Per_eps(A) + (1/tau) int_{A symdiff A_k} |sd_k| drho; a row is the signed distance of its set.

    An implicit Euler step of V = -G_eps / rho, which tends to V = -(1/rho) div(rho nu). Boundaries merge, split and
    vanish as level sets do; a row without boundary stays as it is.

    Args:
        solver: how the step is made.
        grid: where.
        densities: rho0 and rho1, with positive sum.
        tau: step size in time, a number, one per row, or a :class:`StepSize`.
        tell: called with the number of each step before it is made.

    Source: arXiv:2404.14402, the minimizing movement scheme of adversarial training.

    >>> grid = Grid((32, 32), -1, 1)
    >>> half = torch.full((32, 32), 0.5)
    >>> Movement(Soft(), grid, Densities(half, half), 0.01).rate
    2.0
    """

    space: Motion
    rate = 2.0

    def __init__(
        self,
        solver: Solver,
        grid: Grid,
        densities: Densities,
        tau: float | Tensor | StepSize,
        tell: Callable[[int], object] | None = None,
    ) -> None:
        self.solver, self.grid, self.densities = solver, grid, densities
        self.tau, self.space, self.tell = step_size(tau), Motion(grid, densities.rho), tell

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; steps, iterations, failures, the last excess."""
        zero = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        return zero, zero.clone(), zero.clone(), zero.double()

    def account(self, memory: Memory) -> Account:
        """See :class:`Accounting`; an iteration is a forward and a backward pass over the band.

        The excess is Per(A_{k+1}) + d(A_k, A_{k+1})^2 / (2 tau) - Per(A_k), at most 0 but for the grid.
        """
        _, spent, failed, excess = memory
        return Account(spent, spent, failed, excess)

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        before, spent, failed, _ = memory
        made = before + 1
        if self.tell is not None:
            self.tell(int(made.max()))
        found = [self._row(u, tau) for u, tau in zip(here.x, here.tau.tolist(), strict=True)]
        x = torch.stack([row.u for row in found])
        iterations = torch.tensor([row.iterations for row in found], device=x.device)
        missed = torch.tensor([not row.solved for row in found], device=x.device)
        spent_now = self.space.distance(here.x, x) ** 2 / (2 * here.tau)
        excess = here.energy.look(x).value + spent_now - here.evaluation.value
        return x, (made, spent + iterations, failed + missed, excess.double())

    def _row(self, u: Tensor, tau: float) -> Solution:
        if vanished(u) or tau == 0:
            return Solution(u, True, 0)
        found = self.solver.solve(Step(self.grid, self.densities, u, tau))
        return found._replace(u=signed_distance(found.u, self.grid, self.solver.width(self.grid, tau)))


def evolve(
    u: Tensor,
    grid: Grid,
    densities: Densities,
    *,
    until: float,
    tau: float | None = None,
    solver: Solver | None = None,
    record: Record | None = None,
    tell: Callable[[int, int], object] | None = None,
) -> Curve:
    """Follow the decision boundary of {u > 0} along the mean curvature flow of adversarial training.

    V = -(1/rho) div(rho nu) in the limit of small eps, h and tau: a minimizing movement of the nonlocal perimeter with
    the adversary's radius eps = ``solver.eps(grid)``, of order one in each.

    Args:
        u: positive inside, ``[*shape]``, or ``[rows, *shape]`` for several sets.
        grid: where.
        densities: rho0 and rho1; rho is held above 1e-3 of its maximum.
        until: the time, in length^2.
        tau: the time step; shortened so that steps divide the time. By default 0.15 h times half the shortest side.
        solver: :class:`Soft` () by default; or :class:`Isotropic`, :class:`Cut`.
        record: which instants to keep; by default all.
        tell: called with the number of each step before it is made, and with that of all.

    Returns:
        A :class:`Curve` of signed distances, with the perimeter as energy, of rate 2. Slopes are NaN for :class:`Cut`
        and for norms other than l_2. The status of a row whose set or complement became empty is VANISHED, its time
        when that was seen; UNSOLVED tells that a solver missed its tolerance.

    Raises:
        ValueError: if ``u`` is not on the grid or has one sign, or the time or time step is not positive.

    Source: arXiv:2404.14402.

    >>> grid = Grid((32, 32), -1, 1)
    >>> half = torch.full((32, 32), 0.5)
    >>> curve = evolve(0.6 - grid.points().norm(dim=-1), grid, Densities(half, half), until=0.1)
    >>> round(float(curve.energy[-1, 0]) / (2 * torch.pi), 1)  # the radius, sqrt(0.36 - 0.2)
    0.4
    """
    start = starts(u, grid)
    if not 0 < until < math.inf or not (tau is None or 0 < tau < math.inf):
        raise ValueError(f"Times are positive and finite, got until={until!r} and tau={tau!r}.")
    solver = solver or Soft()
    step = tau or 0.15 * grid.h * min(grid.shape) * grid.h / 2
    count = math.ceil(until / step * (1 - 1e-12))
    told = None if tell is None else lambda number: tell(number, count)
    scheme = Movement(solver, grid, densities.floored(), until / count, told)
    perimeter = Perimeter(grid, scheme.densities, solver.eps(grid), solver.space)
    energy = perimeter if solver.smooth else Blind(perimeter)
    domain = Interfaces(grid, max(solver.width(grid, until / count), solver.eps(grid) + 2 * grid.h))
    curve = flow(energy.within(domain), start, scheme=scheme, until=until, stop=Stop(reached=True), record=record)
    return replace(curve, status=torch.where(gone(curve.end), int(Status.VANISHED), curve.status))
