"""Several classes: von Neumann and Mullins, the traveling wave, threshold dynamics, linear programs, two classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from boundary._cases import apart
from boundary._partitions import all_labelings, least_robust_risk, threshold_dynamics, wave
from maxslope._status import Status
from maxslope.boundary import (
    Densities,
    Grid,
    Lattice,
    LimitLaw,
    Window,
    contour,
    limit_flow,
    partition_flow,
    robust_classifier,
)
from maxslope.boundary.partition import shared
from maxslope.loop import Record
from maxslope.spaces import Lp
from maxslope.studies.partition import three


def bubble(grid: Grid, sides: int, r: float) -> Tensor:
    """A disk among sectors: a cell with so many neighbors."""
    p = grid.points()
    angle = torch.atan2(p[..., 1], p[..., 0])
    around = torch.stack([torch.cos(angle - 2 * math.pi * (k + 0.5) / sides) for k in range(sides)])
    return torch.cat([(r - p.norm(dim=-1))[None] + 1, around - around.amax(0) + 1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sides", "r"),
    [pytest.param(2, 0.5, marks=pytest.mark.slow), (3, 0.5), pytest.param(4, 0.5, marks=pytest.mark.slow)],
)
def test_areas_change_by_the_law_of_von_neumann_and_mullins(sides: int, r: float) -> None:
    """dA/dt = (pi / 3) (n - 6), whatever the shape, once the angles are there."""
    grid = Grid((48, 48), -1, 1)
    u = bubble(grid, sides, r)
    curve = partition_flow(grid, torch.ones_like(u), u, 0.05, record=Record(10))
    time = curve.time[:, 0]
    area = torch.tensor([enclosed(v, grid) for v in curve.points[:, 0, 0]])
    late = time > 0.012
    slope = (area[late][-1] - area[late][0]) / (time[late][-1] - time[late][0])
    assert float(slope) == pytest.approx(math.pi / 3 * (sides - 6), abs=0.25)
    assert float(curve.energy.diff(dim=0).max()) < 0


def enclosed(u: Tensor, grid: Grid) -> float:
    """The area inside the boundary, of polygons."""
    return sum(abs(float((a[:-1, 0] * a[1:, 1] - a[1:, 0] * a[:-1, 1]).sum())) / 2 for a in contour(u, grid))


def test_every_boundary_moves_by_its_own_pair() -> None:
    """Between planes in exponential densities: V = -d log (rho_i + rho_j), here -1 and -tanh x."""
    grid = Grid((40, 10), (-1, -0.25), (1, 0.25))
    x = grid.points()[..., 0]
    rho = torch.stack([x.exp(), x.exp(), (-x).exp()])
    u = torch.stack([-0.3 - x, 0.3 - (x).abs(), x - 0.3])
    until = 0.1
    curve = partition_flow(grid, rho, u, until)
    first, _, last = (grid.measure(v) / 0.5 for v in curve.end[0])
    assert first - 1 == pytest.approx(-0.3 - until, abs=0.004)
    # x' = -tanh x, so that sinh x = sinh x0 e^-t
    assert 1 - last == pytest.approx(math.asinh(math.sinh(0.3) * math.exp(-until)), abs=0.004)


@pytest.mark.parametrize(
    "rho", [pytest.param((1.0, 1.0, 1.0), marks=pytest.mark.slow), (1.0, 1.0, 3.0), (3.0, 3.0, 1.0)]
)
def test_junctions_travel_by_the_law_of_herring(rho: tuple[float, float, float]) -> None:
    """Speeds 1.047, 0.505 and 1.696: angles of 120 degrees would give 1.047 for all."""
    grid = Grid((32, 16), (-1, 0), (1, 1))
    speed, start = wave(rho, *grid.points().numpy().transpose(2, 0, 1))
    densities = torch.tensor(rho)[:, None, None].expand(start.shape)
    ends = partition_flow(grid, densities, torch.from_numpy(start), 0.08).points[:, 0, 2]
    assert (grid.measure(ends[1]) - grid.measure(ends[0])) / 0.08 == pytest.approx(speed, rel=0.15)


def test_cells_of_voronoi_move_as_by_threshold_dynamics() -> None:
    """Five cells with tensions of their own; the two methods share nothing but the law."""
    rho = torch.tensor([1.0, 1.0, 2.0, 1.0, 3.0], dtype=torch.float64)
    seeds = torch.tensor([[-0.55, -0.5], [0.6, -0.45], [-0.05, 0.1], [-0.6, 0.6], [0.5, 0.65]], dtype=torch.float64)
    grid, fine = Grid((24, 24), -1, 1), Grid((256, 256), -1, 1)
    near, labels = (-torch.cdist(g.points().reshape(-1, 2), seeds).T.reshape(5, *g.shape) for g in (grid, fine))
    end = partition_flow(grid, rho[:, None, None].expand_as(near), near, 0.04).end[0]
    tensions = (rho[:, None] + rho).numpy()
    _, by = threshold_dynamics(labels.argmax(0).numpy(), tensions, (2.0, 2.0), 0.005, 8)
    for before, here, there in zip(shared(near), end, by, strict=True):
        moved, gap = (apart(contour(u, grid), contour(torch.from_numpy(there), fine), 1.0)[1] for u in (before, here))
        assert gap < 0.25 * grid.h
        assert gap < 0.4 * moved


@pytest.mark.slow
def test_the_least_robust_risk_by_linear_programs() -> None:
    """The programs are right (all labelings, the minimum cut), and the flow of three classes comes near them."""
    window = Window(1, Lp(1), 2)
    offsets = sorted(window.offsets)
    few = np.random.default_rng(0).random((3, 3, 3)) ** 3
    assert least_robust_risk(few, offsets)[0] == pytest.approx(all_labelings(few, offsets), abs=1e-6)

    problem, window = three(48, 2.3 * 2.4 / 48), Window(2.3, Lp(2), 2)
    grid, rho, offsets = problem.grid, problem.rho, sorted(window.offsets)
    lattice = Lattice(grid, Densities(rho[0], rho[1] + rho[2]), window)
    two = least_robust_risk((torch.stack([rho[0], rho[1] + rho[2]]) * grid.cell).numpy(), offsets)[0]
    assert lattice.robust_risk(robust_classifier(lattice)) == pytest.approx(two, abs=1e-6)

    least, _ = least_robust_risk((rho * grid.cell).numpy(), offsets)
    parts = [Lattice(grid, Densities(0 * own, own), window) for own in rho]
    curve = partition_flow(grid, rho, rho, 0.006, record=Record(5), redistance=5)
    risks = [sum(p.robust_risk(u) for p, u in zip(parts, fields, strict=True)) for fields in curve.points[:, 0]]
    assert least < min(risks) < risks[0]
    assert risks[0] - min(risks) > 0.5 * (risks[0] - least)


def test_two_classes_are_the_limit_flow() -> None:
    grid = Grid((32, 32), -1, 1)
    x, y = grid.points().unbind(-1)
    d = Densities((-x).exp(), (x + 0.3 * y).exp())
    u = 0.5 - torch.hypot(x, 1.3 * y)
    one = limit_flow(LimitLaw(grid, d), u, 0.03)
    two = partition_flow(grid, torch.stack([d.rho0, d.rho1]), torch.stack([-u, u]), 0.03, redistance=5)
    near = one.end[0].abs() < 2 * grid.h
    assert float((one.end[0] - two.end[0, 1])[near].abs().max()) < 0.15 * grid.h
    assert float(two.energy[-1]) == pytest.approx(float(one.energy[-1]), rel=1e-2)


def test_a_class_that_has_all_ends_the_flow_and_misuse_is_explained() -> None:
    grid = Grid((16, 16), -1, 1)
    p = grid.points()
    small = torch.stack([0.2 - p.norm(dim=-1), p.norm(dim=-1) - 0.2])
    gone = partition_flow(grid, torch.ones(2, 16, 16), small, 0.1)
    assert gone.status.tolist() == [Status.VANISHED]
    with pytest.raises(ValueError, match=r"are \[classes, 16, 16\], got"):
        partition_flow(grid, torch.ones(1, 16, 16), small[:1], 0.1)
    with pytest.raises(ValueError, match="got one that has all"):
        partition_flow(grid, torch.ones(2, 16, 16), torch.stack([torch.ones(16, 16), torch.zeros(16, 16)]), 0.1)
    with pytest.raises(ValueError, match="until=-1"):
        partition_flow(grid, torch.ones(2, 16, 16), small, -1)
