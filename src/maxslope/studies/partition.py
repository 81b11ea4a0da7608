"""Boundaries between several classes: what they are followed of, the flow, and the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope.boundary import Densities, Grid, Perimeter, Soft, Stopped, partition_flow, stopping_time
from maxslope.boundary.distance import vanished
from maxslope.boundary.limit import steps
from maxslope.curve import Curve
from maxslope.loop import Record
from maxslope.studies.problems import Classes, around, longer, mixture, radius, summary
from maxslope.studies.tables import records

_MOST = 10  # classes, of whose table of colors nobody would ask more
_INSTANTS = 48
_SHARING = 10  # steps between two sharings
_BELLS = ((0.35, 0.0), (0.65, 0.75), (1.0, -0.05))  # radius and turn of the Gaussians of a class: its boundaries wind


@dataclass(frozen=True, eq=False)
class PartitionStudy:
    """A flow of several classes and its numbers.

    Attributes:
        curve: one row; points are ``[classes, *shape]``, positive where a class is.
        stop: where the robust risk for the adversary of radius eps is least; its ``sd`` are distances of all classes.
        areas: shares of the box, ``[K+1, classes]``.
    """

    problem: Classes
    curve: Curve
    stop: Stopped
    areas: Tensor

    def boundaries(self, instant: int) -> Tensor:
        """Return functions whose levels are the boundaries: of all classes but the last, whose are others' too."""
        return self.curve.points[instant, 0, :-1]

    def beside(self, instant: int) -> Sequence[Tensor]:
        """Return nothing: no second computation stands beside this one."""
        return ()

    def records(self) -> list[dict[str, float]]:
        """Return the rows of the table of numbers: one per instant."""
        areas = {f"area_{name}": area for name, area in zip(self.problem.names, self.areas.unbind(1), strict=True)}
        perimeter = {"time": self.curve.time[:, 0], "weighted_perimeter": self.curve.energy[:, 0]}
        return records(perimeter | {"risk": self.stop.risk, "robust_risk": self.stop.robust_risk} | areas)

    def summary(self) -> dict[str, Any]:
        """Return the numbers that matter, for people and machines."""
        said = summary(self.problem, self.curve, self.curve.energy[:, 0], self.stop)
        return said | {
            "classes": list(self.problem.names),
            "start": "the classifier given" if self.problem.given else "the likeliest class",
            "instants": len(self.curve.time),
            "risk": self.stop.risk[[0, -1]].tolist(),
            "areas": {name: self.areas[[0, -1], k].tolist() for k, name in enumerate(self.problem.names)},
        }


def three(cells: int = 96, eps: float | None = None) -> Classes:
    """Three classes of three Gaussians each, around a point where all meet."""
    grid, rho = Grid((cells, cells), -1.2, 1.2), []
    for k in range(3):
        turn = torch.pi * (0.5 + 2 * k / 3)
        ends = [(r * math.cos(turn + aside), r * math.sin(turn + aside)) for r, aside in _BELLS]
        rho.append(2 / 3 * grid.function(mixture(ends, 0.2)(grid.points())))
    densities = torch.stack(rho)
    return Classes("Three classes", grid, densities, densities, radius(grid, eps), ("0", "1", "2"))


def several(
    x: Tensor, y: Tensor, names: Sequence[str], cells: int = 96, eps: float | None = None, *, title: str = "Samples"
) -> Classes:
    """Kernel densities of samples ``[n, 2]`` of several classes; the flow starts from the likeliest class.

    Raises:
        ValueError: if the samples do not lie in the plane, or there are more classes.
    """
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"Several classes are followed in the plane: points [n, 2], got {tuple(x.shape)}.")
    if not 2 <= len(names) <= _MOST:
        raise ValueError(
            f"Boundaries are drawn of 2 to {_MOST} classes, got {len(names)} labels, {', '.join(names[:4])}, ...; is "
            "the last column a class?"
        )
    grid = around(x, cells)
    wide = max(0.1 * longer(grid), grid.h)
    owns = [(y == k).long() for k in range(len(names))]
    rho = torch.stack([Densities.from_samples(grid, x, own).rho1 for own in owns])
    far = torch.stack([Densities.from_samples(grid, x, own, bandwidth=wide).rho1 for own in owns])
    start = rho + 1e-2 * far  # where no class is likelier by numbers, the wider kernel decides
    return Classes(title, grid, rho, start, radius(grid, eps), tuple(names), (x.float(), y.long()))


def study(problem: Classes, *, until: float | None = None, tell: Callable[[str], None] | None = None) -> PartitionStudy:
    """Follow the boundaries of several classes, by default for twice the mean of the stopping times of each class.

    Raises:
        ValueError: if the time is out of range, no class has a boundary with the others, or eps reaches less than 1.2
            cells.
    """
    grid, rho = problem.grid, problem.rho
    Soft.reaching(problem.eps, grid)  # checks the radius against the cells, as for two classes
    end = until or _horizon(problem)
    every, say = _SHARING * max(1, math.ceil(steps(end, grid) / (_SHARING * _INSTANTS))), tell or (lambda words: None)
    curve = partition_flow(
        grid, rho, problem.start, end, record=Record(every, 0), redistance=_SHARING,
        tell=lambda step, count: say(f"the boundaries, step {step} of {count}"),
    )  # fmt: skip
    fields = curve.points[:, 0]  # [K+1, classes, *shape]
    risk, robust = torch.zeros(len(fields)).double(), torch.zeros(len(fields)).double()
    for own, field in zip(rho, fields.unbind(1), strict=True):
        one = Perimeter(grid, Densities(torch.zeros_like(own), own), problem.eps)
        risk += torch.cat([one.risk(u[None]) for u in field])
        robust += torch.cat([one.robust_risk(u[None]) for u in field])
    best = int(robust.argmin())
    stop = Stopped(best, float(curve.time[best, 0]), fields[best], risk, robust)
    return PartitionStudy(problem, curve, stop, (fields > 0).double().mean((2, 3)))


def _horizon(problem: Classes) -> float:
    """Twice the mean of the times at which each class alone, against all others, would be stopped."""
    found = []
    for own in problem.rho:
        one = Densities(problem.rho.sum(0) - own, own)
        if not vanished(one.bayes):
            found.append(stopping_time(problem.grid, one, problem.eps))
    known = [t for t in found if 0 < t < math.inf]
    if not known:
        raise ValueError("No class has a boundary with the others by their densities; give the time, --until.")
    return 2 * sum(known) / len(known)
