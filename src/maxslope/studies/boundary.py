"""Experiments with decision boundaries: problems, the flow beside its references, and the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from maxslope.boundary import (
    Densities,
    Grid,
    Perimeter,
    Soft,
    Step,
    Stopped,
    evolve,
    first_rise,
    signed_distance,
    stopping_time,
)
from maxslope.boundary.distance import measures, vanished
from maxslope.boundary.limit import LimitLaw, WeightedPerimeter, limit_flow, steps
from maxslope.curve import Curve
from maxslope.loop import Record
from maxslope.studies.problems import Problem, summary
from maxslope.studies.tables import records

_STEPS = 24  # at least so many steps
_FINEST = 192  # cells a side on which level sets are solved
_WIDEST = 50.0  # cells, the widest band in which exponentials of levels are safe


@dataclass(frozen=True, eq=False)
class Study:
    """A flow, its references and its numbers.

    Attributes:
        curve: minimizing movements, one row; points are signed distances.
        reference: the law of the same eps by level sets.
        limit: the limit law by level sets.
        stop: where the robust risk first rises.
        expected: the stopping time from this start to leading order; NaN where the Bayes classifier has no boundary.
        trained: the robust risk after adversarial training, which is one step of the flow; NaN likewise, and where
            that step is too long for the grid.
        perimeter: the weighted perimeter along the curve, ``[K+1]``.
        gap: the mean distance of its boundary to the reference's, in length units, ``[K+1]``; NaN once one is gone.
    """

    problem: Problem
    curve: Curve
    reference: Curve
    limit: Curve
    stop: Stopped
    expected: float
    trained: float
    perimeter: Tensor
    gap: Tensor

    def boundaries(self, instant: int) -> Tensor:
        """Return functions whose levels are the boundaries."""
        return self.curve.points[instant]

    def beside(self, instant: int) -> Tensor:
        """Return the same of the limit law."""
        return self.limit.at(float(self.curve.time[instant, 0]))

    def records(self) -> list[dict[str, float]]:
        """Return the rows of the table of numbers: one per instant."""
        c = self.curve
        return records({
            "time": c.time[:, 0],
            "nonlocal_perimeter": c.energy[:, 0],
            "weighted_perimeter": self.perimeter,
            "slope": c.slope[:, 0],
            "risk": self.stop.risk,
            "robust_risk": self.stop.robust_risk,
            "gap_to_reference": self.gap,
        })  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """Return the numbers that matter, for people and machines."""
        gap = self.gap[self.gap.isfinite()]
        return summary(self.problem, self.curve, self.perimeter, self.stop) | {
            "start": "the classifier given" if self.problem.given else "the set of the problem",
            "steps": self.curve.time.shape[0] - 1,
            "expected_stop": self.expected if math.isfinite(self.expected) else None,
            "adversarial_training": None if math.isnan(self.trained) else self.trained,
            "gap_to_reference_in_cells": float(gap.max()) / self.problem.grid.h if len(gap) else None,
        }


def study(
    problem: Problem, *, until: float | None = None, tau: float | None = None, tell: Callable[[str], None] | None = None
) -> Study:
    """Follow the boundary of a problem by minimizing movements, beside both laws by level sets.

    The time is by default the problem's, or twice the stopping time; the time step that of
    :func:`maxslope.boundary.evolve`, or less, for 24 steps. ``tell`` is called with what is being done.

    Raises:
        ValueError: if a time is out of range, or eps reaches less than 1.2 cells.
    """
    grid, densities, eps = problem.grid, problem.densities, problem.eps
    tell, bayes = tell or (lambda words: None), _stopping(problem)
    expected = _stopping(problem, problem.start) if problem.given else bayes
    end = until or problem.until
    if not end:  # twice the stopping time; that of the Bayes classifier, or why it has none, where the start has none
        end = 2 * (expected if 0 < expected < math.inf else stopping_time(grid, densities, eps))
    usual = 0.075 * grid.h**2 * min(grid.shape)
    start = signed_distance(problem.start, grid)
    tau = min(usual, end / _STEPS) if tau is None else tau
    curve = evolve(
        start, grid, densities, until=end, tau=tau, solver=Soft.reaching(eps, grid),
        tell=lambda step, count: tell(f"the boundary, step {step} of {count}"),
    )  # fmt: skip
    tell("the law of the same eps by level sets")
    reference = level_sets(LimitLaw(grid, densities, eps), start, end)
    tell("the limit law by level sets")
    even = bool((problem.rho == problem.rho.flatten()[0]).all())  # then the law does not depend on eps
    limit = reference if even else level_sets(LimitLaw(grid, densities), start, end)
    length = WeightedPerimeter(grid, densities.rho)
    along = zip(curve.time[:, 0].tolist(), curve.points[:, 0], strict=True)
    gaps = [apart(u, reference.at(t)[0], grid) for t, u in along]
    risk = Perimeter(grid, densities, eps)
    stop, trained = first_rise(curve, risk), _trained(problem, risk, bayes)
    perimeter, gap = length.look(curve.points[:, 0]).value, torch.tensor(gaps, dtype=torch.float64)
    return Study(problem, curve, reference, limit, stop, expected, trained, perimeter, gap)


def level_sets(law: LimitLaw, start: Tensor, until: float) -> Curve:
    """Follow a law by level sets, the reference: on at most 192 cells a side, whose errors of order h^2 are small.

    Steps are h^2 / 5 long, so that a thousand cells a side would take 30 times the cells and 30 times the steps. The
    curve is on the grid of the law, by cubic splines, at 64 instants.
    """
    grid, d = law.grid, law.densities
    coarser = math.ceil(max(grid.shape) / _FINEST)
    if coarser == 1:
        return limit_flow(law, start, until, record=Record())
    shape = [math.ceil(n / coarser) for n in grid.shape]
    wide = Grid(shape, grid.low, [a + n * coarser * grid.h for a, n in zip(grid.low, shape, strict=True)])
    few = Densities(*(grid.at(rho, wide.points()) for rho in (d.rho0, d.rho1)))
    record = Record(every=math.ceil(steps(until, wide) / 64))
    curve = limit_flow(LimitLaw(wide, few, law.eps), grid.at(start, wide.points()), until, record=record)
    points = torch.stack([wide.at(u[0], grid.points(), order=3)[None] for u in curve.points])
    return replace(curve, points=points)


def apart(u: Tensor, v: Tensor, grid: Grid, weight: Tensor | None = None) -> float:
    """Return the mean over the boundary of u of the distance |v|, leaving out a tenth of the box at its edge.

    With a weight ``[*shape]``, such as rho, a weighted mean. NaN where one of them has no boundary.
    """
    if vanished(u) or vanished(v):
        return math.nan
    points, _ = measures(u, grid)
    low, high = points.new_tensor(grid.low), points.new_tensor(grid.high)
    points = points[((points - low).minimum(high - points) > 0.1 * (high - low)).all(1)]
    if not len(points):
        return math.nan
    away = grid.at(v, points).abs()
    share = torch.ones_like(away) if weight is None else grid.at(weight, points)
    return float((away * share).sum() / share.sum())


def _stopping(problem: Problem, start: Tensor | None = None) -> float:
    """When the robust risk stops falling from a start, by default the Bayes classifier; NaN where nothing says so."""
    try:
        return stopping_time(problem.grid, problem.densities, problem.eps, start)
    except ValueError:  # no boundary, or no mass at it
        return math.nan


def _trained(problem: Problem, risk: Perimeter, bayes: float) -> float:
    """The robust risk after one step with tau = eps and 2 eta - 1 as the distance, which is adversarial training.

    In multiples c of 2 eta - 1, with c = 1 / (2 |grad eta|), so that slopes are near 1, the step is tau = c eps, the
    stopping time of the Bayes classifier.
    """
    grid, solver = problem.grid, Soft.reaching(problem.eps, problem.grid)
    if math.isnan(bayes) or solver.width(grid, bayes) > _WIDEST * grid.h:
        return math.nan
    densities = problem.densities.floored()
    step = Step(grid, densities, bayes / problem.eps * densities.bayes, bayes)
    sd = signed_distance(solver.solve(step).u, grid)
    return float(risk.robust_risk(sd[None]))
