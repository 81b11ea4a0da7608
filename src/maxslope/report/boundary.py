"""Experiments with decision boundaries: problems, the flow beside its references, and the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
    contour,
    evolve,
    first_rise,
    signed_distance,
    stopping_time,
)
from maxslope.boundary.limit import LimitLaw, WeightedPerimeter, limit_flow
from maxslope.boundary.neural import on_grid
from maxslope.boundary.neural_flow import Samples
from maxslope.curve import Curve
from maxslope.loop import Record

_SHARE = 0.03  # the default radius of the adversary, in longer sides of the box
_MARGIN = 0.25  # of empty space around samples, in sides
_STEPS = 24  # at least so many steps
_WIDEST = 50.0  # cells, the widest band in which exponentials of levels are safe


@dataclass(frozen=True, eq=False)
class Problem:
    """A boundary to follow.

    Attributes:
        title: in words.
        grid: where.
        densities: of the classes.
        start: positive where the first classifier says 1, ``[*shape]``.
        eps: radius of the adversary, in length units.
        until: the default time, or None for twice the stopping time.
        samples: points with labels, if the densities come from them.
    """

    title: str
    grid: Grid
    densities: Densities
    start: Tensor
    eps: float
    until: float | None = None
    samples: Samples | None = None


def disk(cells: int = 96, eps: float | None = None) -> Problem:
    """A disk of radius 0.6 in constant densities: r^2 = r0^2 - 2 t."""
    grid, even = _even(cells)
    return Problem("A disk", grid, even, 0.6 - grid.points().norm(dim=-1), _radius(grid, eps), until=0.14)


def dumbbell(cells: int = 96, eps: float | None = None) -> Problem:
    """Two disks with a neck, in constant densities: the neck opens, then all becomes round."""
    grid, even = _even(cells)
    x, y = grid.points().unbind(-1)
    balls = torch.maximum(0.36 - torch.hypot(x - 0.5, y), 0.36 - torch.hypot(x + 0.5, y))
    neck = torch.minimum(0.1 - y.abs(), 0.5 - x.abs())
    return Problem("A dumbbell", grid, even, torch.maximum(balls, neck), _radius(grid, eps), until=0.09)


def gaussians(cells: int = 96, eps: float | None = None) -> Problem:
    """Four Gaussians of each class, interlocked along a line; the Bayes classifier between them winds."""
    rows = round(cells / 1.5)
    grid = Grid((cells, rows), (-1.5, 0.1 - 1.5 * rows / cells), (1.5, 0.1 + 1.5 * rows / cells))
    below = [(-1.05, -0.45), (-0.35, 0.0), (0.35, -0.45), (1.05, 0.0)]
    above = [(-1.05, 0.2), (-0.35, 0.65), (0.35, 0.2), (1.05, 0.65)]
    densities = Densities.from_functions(grid, _mixture(below, 0.2), _mixture(above, 0.2))
    return Problem("Four Gaussians a class", grid, densities, densities.bayes, _radius(grid, eps))


def moons(cells: int = 96, eps: float | None = None) -> Problem:
    """Kernel densities of a thousand points of two noisy moons.

    Raises:
        ImportError: if scikit-learn is not installed.
    """
    from maxslope.report.moons import data

    x, y = data(1000)
    return samples(x, y.long(), cells, eps, title="Two moons")


def samples(x: Tensor, y: Tensor, cells: int = 96, eps: float | None = None, *, title: str = "Samples") -> Problem:
    """Kernel densities of samples in the plane; the flow starts from the Bayes classifier of the densities.

    Args:
        x: ``[n, 2]``.
        y: 0 or 1, ``[n]``.
        cells: along the longer side.
        eps: radius of the adversary; by default 3 % of the longer side.
        title: of the pictures.

    Raises:
        ValueError: if the samples do not lie in the plane, are all on a line, or miss a class.
    """
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"Boundaries are drawn in the plane: samples [n, 2], got {tuple(x.shape)}.")
    low, high = x.double().amin(0), x.double().amax(0)
    side = float((high - low).max())
    if not float((high - low).min()) > 1e-3 * side:
        raise ValueError(f"The samples lie on a line, {low.tolist()} to {high.tolist()}; two coordinates must vary.")
    known = sorted(set(y.tolist()))
    if known != [0, 1]:
        raise ValueError(f"A boundary lies between two classes, 0 and 1, got labels {known[:5]}.")
    h = side * (1 + 2 * _MARGIN) / cells
    shape = [math.ceil(float(width) / h + 2 * _MARGIN * side / h) for width in high - low]
    half = torch.tensor(shape, dtype=torch.float64) * h / 2
    middle = (low + high) / 2
    grid = Grid(shape, (middle - half).tolist(), (middle + half).tolist())
    densities = Densities.from_samples(grid, x, y)
    # Far from all samples no class is likelier by numbers: there the wider kernel decides.
    wide = Densities.from_samples(grid, x, y, bandwidth=max(0.15 * side, grid.h))
    start = densities.rho1 - densities.rho0 + 1e-2 * (wide.rho1 - wide.rho0)
    return Problem(title, grid, densities, start, _radius(grid, eps), samples=Samples(x.float(), y.long()))


def network(problem: Problem, model: Callable[[Tensor], Tensor], title: str) -> Problem:
    """The same densities, starting from the boundary of a trained network.

    Raises:
        ValueError: if the network gives the whole grid one label.
    """
    start = on_grid(model, problem.grid)
    if not bool((start > 0).any()) or bool((start > 0).all()):
        raise ValueError(
            "The network gives the whole box of the samples one label, so it has no boundary there; is it trained, and "
            "on these samples?"
        )
    return replace(problem, title=title, start=start)


@dataclass(frozen=True, eq=False)
class Study:
    """A flow, its references and its numbers.

    Attributes:
        problem: what was followed.
        curve: minimizing movements, one row; points are signed distances.
        reference: the law of the same eps by level sets.
        limit: the limit law by level sets.
        stop: where the robust risk first rises.
        expected: the stopping time to leading order; NaN where the Bayes classifier has no boundary.
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

    def records(self) -> list[dict[str, float]]:
        """Return the rows of the table of numbers: one per instant."""
        c = self.curve
        columns = {
            "time": c.time[:, 0],
            "nonlocal_perimeter": c.energy[:, 0],
            "weighted_perimeter": self.perimeter,
            "slope": c.slope[:, 0],
            "risk": self.stop.risk,
            "robust_risk": self.stop.robust_risk,
            "gap_to_reference": self.gap,
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def summary(self) -> dict[str, Any]:
        """Return the numbers that matter, for people and machines."""
        c, stop = self.curve, self.stop
        gap = self.gap[self.gap.isfinite()]
        return {
            "problem": self.problem.title,
            "cells": list(self.problem.grid.shape),
            "eps": self.problem.eps,
            "until": float(c.time[-1, 0]),
            "steps": c.time.shape[0] - 1,
            "status": c.reasons()[0],
            "weighted_perimeter": [float(self.perimeter[0]), float(self.perimeter[-1])],
            "robust_risk": [float(stop.robust_risk[0]), float(stop.robust_risk[-1])],
            "least_robust_risk": float(stop.robust_risk[stop.index]),
            "stopped_at": stop.time,
            "expected_stop": None if math.isnan(self.expected) else self.expected,
            "adversarial_training": None if math.isnan(self.trained) else self.trained,
            "gap_to_reference_in_cells": float(gap.max()) / self.problem.grid.h if len(gap) else None,
        }


def study(problem: Problem, *, until: float | None = None, tau: float | None = None) -> Study:
    """Follow the boundary of a problem by minimizing movements, beside both laws by level sets.

    Args:
        problem: such as :func:`gaussians` ().
        until: the time; by default the problem's, or twice the stopping time.
        tau: the time step; by default that of :func:`maxslope.boundary.evolve`, or less, for 24 steps.

    Raises:
        ValueError: if a time is out of range, or eps reaches less than 1.2 cells.
    """
    grid, densities, eps = problem.grid, problem.densities, problem.eps
    expected = _expected(problem)
    end = next(t for t in (until, problem.until, 2 * expected) if t is not None)
    usual = 0.075 * grid.h**2 * min(grid.shape)
    start = signed_distance(problem.start, grid)
    tau = min(usual, end / _STEPS) if tau is None else tau
    curve = evolve(start, grid, densities, until=end, tau=tau, solver=Soft.reaching(eps, grid))
    reference = limit_flow(LimitLaw(grid, densities, eps), start, end, record=Record())
    limit = reference if _constant(densities) else limit_flow(LimitLaw(grid, densities), start, end, record=Record())
    length = WeightedPerimeter(grid, densities.rho)
    along = zip(curve.time[:, 0].tolist(), curve.points[:, 0], strict=True)
    gaps = [apart(u, reference.at(t)[0], grid) for t, u in along]
    risk = Perimeter(grid, densities, eps)
    return Study(
        problem,
        curve,
        reference,
        limit,
        first_rise(curve, risk),
        expected,
        _trained(problem, expected, risk),
        length.look(curve.points[:, 0]).value,
        torch.tensor(gaps, dtype=torch.float64),
    )


def apart(u: Tensor, v: Tensor, grid: Grid, weight: Tensor | None = None) -> float:
    """Return the mean over the boundary of u of the distance |v|, leaving out a tenth of the box at its edge.

    With a weight ``[*shape]``, such as rho, a weighted mean. NaN where one of them has no boundary.
    """
    from scipy import ndimage

    lines = contour(u, grid)
    if not lines or not contour(v, grid):
        return math.nan
    points = torch.cat(lines)
    low, high = points.new_tensor(grid.low), points.new_tensor(grid.high)
    points = points[((points - low).minimum(high - points) > 0.1 * (high - low)).all(1)]
    if not len(points):
        return math.nan
    index = grid.to_index(points).T.numpy()
    away = abs(ndimage.map_coordinates(v.numpy(), index, order=1))
    share = 1 + 0 * away if weight is None else ndimage.map_coordinates(weight.numpy(), index, order=1)
    return float((away * share).sum() / share.sum())


def _trained(problem: Problem, expected: float, risk: Perimeter) -> float:
    """The robust risk after one step with tau = eps and 2 eta - 1 as the distance, which is adversarial training.

    In multiples c of 2 eta - 1, with c = 1 / (2 |grad eta|), so that slopes are near 1, the step is tau = c eps.
    """
    grid, solver = problem.grid, Soft.reaching(problem.eps, problem.grid)
    if math.isnan(expected) or solver.width(grid, expected) > _WIDEST * grid.h:
        return math.nan
    densities = problem.densities.floored()
    step = Step(grid, densities, expected / problem.eps * densities.bayes, expected)
    sd = signed_distance(solver.solve(step).u, grid)
    return float(risk.robust_risk(sd[None]))


def _expected(problem: Problem) -> float:
    try:
        return stopping_time(problem.grid, problem.densities, problem.eps)
    except ValueError:  # the Bayes classifier has no boundary
        if problem.until is None:
            raise
        return math.nan


def _constant(densities: Densities) -> bool:
    """Whether the law does not depend on eps."""
    first = densities.rho0.flatten()[0]
    return bool((densities.rho0 == first).all() & (densities.rho1 == first).all())


def _even(cells: int) -> tuple[Grid, Densities]:
    grid = Grid((cells, cells), -1, 1)
    even = torch.full(grid.shape, 0.125, dtype=torch.float64)  # mass 1 on the box
    return grid, Densities(even, even)


def _radius(grid: Grid, eps: float | None) -> float:
    """By default 3 % of the longer side, and two cells at least, so that the grid sees the adversary's ball."""
    side = max(b - a for a, b in zip(grid.low, grid.high, strict=True))
    return max(_SHARE * side, 2 * grid.h) if eps is None else eps


def _mixture(centers: Sequence[tuple[float, float]], sigma: float) -> Callable[[Tensor], Tensor]:
    """Half the mass of a class: Gaussians of equal weight."""

    def density(x: Tensor) -> Tensor:
        squares = [(x - x.new_tensor(c)).square().sum(-1) for c in centers]
        bells = torch.stack([torch.exp(-s / (2 * sigma**2)) for s in squares])
        return 0.5 * bells.mean(0) / (2 * math.pi * sigma**2)

    return density
