"""What boundaries are followed of: built-in sets, samples, densities of one's own, networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from maxslope.boundary import Densities, Grid, Stopped
from maxslope.boundary.distance import vanished
from maxslope.boundary.neural import at_centers, on_grid
from maxslope.curve import Curve

_SHARE = 0.03  # the default radius of the adversary, in longer sides of the box
_MARGIN = 0.25  # of empty space around samples, in sides

Density = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Problem:
    """A boundary to follow.

    Attributes:
        start: positive where the first classifier says 1, ``[*shape]``.
        eps: radius of the adversary, in length units.
        until: the default time, or None for twice the stopping time.
        samples: points ``[n, d]`` and labels, if the densities come from them.
        given: whether the start is a classifier of its own, a network, and not that of the densities.
    """

    title: str
    grid: Grid
    densities: Densities
    start: Tensor
    eps: float
    until: float | None = None
    samples: tuple[Tensor, Tensor] | None = None
    given: bool = False

    @property
    def rho(self) -> Tensor:
        """Densities of both classes, ``[2, *shape]``."""
        return torch.stack([self.densities.rho0, self.densities.rho1])


@dataclass(frozen=True, eq=False)
class Classes:
    """Boundaries of several classes in the plane to follow.

    Attributes:
        rho: densities of the classes with their priors, ``[classes, *shape]``.
        start: the first classifier says k where ``start[k]`` is largest, ``[classes, *shape]``.
        eps: radius of the adversary whose risk is measured, in length units.
        samples: points ``[n, 2]`` and labels, if the densities come from them.
        given: whether the start is a classifier of its own.
    """

    title: str
    grid: Grid
    rho: Tensor
    start: Tensor
    eps: float
    names: tuple[str, ...]
    samples: tuple[Tensor, Tensor] | None = None
    given: bool = False


_Problem = TypeVar("_Problem", bound=Problem | Classes)


def summary(problem: Problem | Classes, curve: Curve, perimeter: Tensor, stop: Stopped) -> dict[str, Any]:
    """Return what there is to say of every flow of boundaries."""
    return {
        "problem": problem.title,
        "cells": list(problem.grid.shape),
        "eps": problem.eps,
        "until": float(curve.time[-1, 0]),
        "status": curve.reasons()[0],
        "weighted_perimeter": perimeter[[0, -1]].tolist(),
        "robust_risk": stop.robust_risk[[0, -1]].tolist(),
        "least_robust_risk": float(stop.robust_risk[stop.index]),
        "stopped_at": stop.time,
    }


def disk(cells: int = 96, eps: float | None = None, dim: int = 2) -> Problem:
    """A disk of radius 0.6 in constant densities, r^2 = r0^2 - 2 t; in space a ball, r^2 = r0^2 - 4 t."""
    grid, even = _even(cells, dim)
    title, until = ("A disk", 0.14) if dim == 2 else ("A ball", 0.07)
    return Problem(title, grid, even, 0.6 - grid.points().norm(dim=-1), radius(grid, eps), until=until)


def dumbbell(cells: int = 96, eps: float | None = None, dim: int = 2) -> Problem:
    """Two disks with a neck, in constant densities: the neck opens, then all becomes round.

    In space two balls, whose thin neck is bent around itself and shrinks faster than it opens: it tears.
    """
    grid, even = _even(cells, dim)
    p = grid.points()
    x, away = p[..., 0], p[..., 1:].norm(dim=-1)
    balls = torch.maximum(0.36 - torch.hypot(x - 0.5, away), 0.36 - torch.hypot(x + 0.5, away))
    neck = torch.minimum(0.1 - away, 0.5 - x.abs())
    until = 0.09 if dim == 2 else 0.012
    return Problem("A dumbbell", grid, even, torch.maximum(balls, neck), radius(grid, eps), until=until)


def own(
    rho0: Density, rho1: Density, low: Sequence[float], high: Sequence[float], cells: int = 96, eps: float | None = None
) -> Problem:
    """Densities of one's own, functions of points ``[..., d]`` with their priors; the flow starts from their Bayes set.

    The densities are in mass per length^d; the sides of the box from ``low`` to ``high`` are rounded up to whole cells.

    Raises:
        ValueError: if the box is none, or one class is more likely everywhere.
    """
    low, high = [float(a) for a in low], [float(b) for b in high]
    sides = [b - a for a, b in zip(low, high, strict=True)]
    if not min(sides) > 0:
        raise ValueError(f"The corners of a box are low < high on every axis, got {low} and {high}.")
    h = max(sides) / cells
    shape = [math.ceil(side / h * (1 - 1e-9)) for side in sides]
    grid = Grid(shape, low, [a + n * h for a, n in zip(low, shape, strict=True)])
    densities = Densities.from_functions(grid, rho0, rho1)
    if vanished(densities.bayes):
        raise ValueError("One class is more likely everywhere in the box, so there is no boundary; move the box.")
    return Problem("Densities of one's own", grid, densities, densities.bayes, radius(grid, eps))


def gaussians(cells: int = 96, eps: float | None = None) -> Problem:
    """Four Gaussians of each class, interlocked along a line; the Bayes classifier between them winds."""
    rows = round(cells / 1.5)
    grid = Grid((cells, rows), (-1.5, 0.1 - 1.5 * rows / cells), (1.5, 0.1 + 1.5 * rows / cells))
    below = [(-1.05, -0.45), (-0.35, 0.0), (0.35, -0.45), (1.05, 0.0)]
    above = [(-1.05, 0.2), (-0.35, 0.65), (0.35, 0.2), (1.05, 0.65)]
    densities = Densities.from_functions(grid, mixture(below, 0.2), mixture(above, 0.2))
    return Problem("Four Gaussians a class", grid, densities, densities.bayes, radius(grid, eps))


def moons(cells: int = 96, eps: float | None = None, seed: int = 0) -> Problem:
    """Kernel densities of a thousand points of two noisy moons."""
    from maxslope.studies.moons import data

    x, y = data(1000, seed)
    return samples(x, y.long(), cells, eps, title="Two moons")


def samples(x: Tensor, y: Tensor, cells: int = 96, eps: float | None = None, *, title: str = "Samples") -> Problem:
    """Kernel densities of samples ``[n, 2 or 3]``; the flow starts from the Bayes classifier of the densities.

    Raises:
        ValueError: if the samples do not lie in the plane or in space, are all on a line, or miss a class.
    """
    if x.ndim != 2 or x.shape[1] not in (2, 3):
        raise ValueError(
            f"Boundaries are drawn in the plane or in space: samples [n, 2] or [n, 3], got {tuple(x.shape)}."
        )
    known = sorted(set(y.tolist()))
    if known != [0, 1]:
        raise ValueError(f"A boundary lies between two classes, 0 and 1, got labels {known[:5]}.")
    grid = around(x, cells)
    side = float((x.double().amax(0) - x.double().amin(0)).max())
    densities = Densities.from_samples(grid, x, y)
    # Far from all samples no class is likelier by numbers: there the wider kernel decides.
    wide = Densities.from_samples(grid, x, y, bandwidth=max(0.15 * side, grid.h))
    start = densities.rho1 - densities.rho0 + 1e-2 * (wide.rho1 - wide.rho0)
    return Problem(title, grid, densities, start, radius(grid, eps), samples=(x.float(), y.long()))


def around(x: Tensor, cells: int) -> Grid:
    """Return a grid around samples ``[n, d]`` with a quarter of their longer side of empty space around them.

    Raises:
        ValueError: if the samples lie on a line.
    """
    low, high = x.double().amin(0), x.double().amax(0)
    side = float((high - low).max())
    if not float((high - low).min()) > 1e-3 * side:
        raise ValueError(f"The samples lie on a line, {low.tolist()} to {high.tolist()}; all coordinates must vary.")
    h = side * (1 + 2 * _MARGIN) / cells
    shape = [math.ceil(float(width) / h + 2 * _MARGIN * side / h) for width in high - low]
    half = torch.tensor(shape, dtype=torch.float64) * h / 2
    middle = (low + high) / 2
    return Grid(shape, (middle - half).tolist(), (middle + half).tolist())


def network(problem: _Problem, model: Callable[[Tensor], Tensor], title: str) -> _Problem:
    """The same densities, starting from the boundaries of a trained network.

    Raises:
        ValueError: if it does not answer with a logit for each of several classes, or says the same everywhere.
    """
    if isinstance(problem, Problem):
        start = on_grid(model, problem.grid)
        answers = (start > 0).long()
    else:
        start = _logits(problem, model)
        answers = start.argmax(0)
    if int(answers.amax()) == int(answers.amin()):
        raise ValueError(
            "The network gives the whole box of the samples one label, so it has no boundary there; is it trained, and "
            "on these samples?"
        )
    return replace(problem, title=title, start=start, given=True)


def _logits(problem: Classes, model: Callable[[Tensor], Tensor]) -> Tensor:
    """What a classifier says on a grid, ``[classes, *shape]``."""
    out = at_centers(model, problem.grid, model)
    if out.ndim != 2 or out.shape[1] != len(problem.names):
        raise ValueError(
            f"A classifier of {len(problem.names)} classes answers with as many logits a point, got outputs of shape "
            f"{tuple(out.shape)} for {problem.start[0].numel()} points."
        )
    return out.T.reshape(problem.rho.shape)


def _even(cells: int, dim: int) -> tuple[Grid, Densities]:
    grid = Grid((cells,) * dim, -1, 1)
    even = torch.full(grid.shape, 0.5 / 2**dim, dtype=torch.float64)  # mass 1 on the box
    return grid, Densities(even, even)


def radius(grid: Grid, eps: float | None) -> float:
    """Return the radius of the adversary: by default 3 % of the longer side, two cells at least."""
    return max(_SHARE * longer(grid), 2 * grid.h) if eps is None else eps


def longer(grid: Grid) -> float:
    """Return the longer side of a grid."""
    return max(b - a for a, b in zip(grid.low, grid.high, strict=True))


def mixture(centers: Sequence[tuple[float, float]], sigma: float) -> Density:
    """Return half the mass of a class: Gaussians of equal weight."""

    def density(x: Tensor) -> Tensor:
        squares = [(x - x.new_tensor(c)).square().sum(-1) for c in centers]
        bells = torch.stack([torch.exp(-s / (2 * sigma**2)) for s in squares])
        return 0.5 * bells.mean(0) / (2 * math.pi * sigma**2)

    return density
