"""The limit law: closed forms, ordinary differential equations for balls, self-convergence, misuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from scipy import ndimage
from scipy.integrate import solve_ivp
from torch import Tensor

from boundary._cases import symmetrized
from maxslope._status import Status
from maxslope.boundary import Densities, Grid, contour, signed_distance
from maxslope.boundary.limit import LevelSet, LimitLaw, WeightedPerimeter, limit_flow, redistanced
from maxslope.loop import Record, Steps, Stop, flow
from maxslope.schemes import Constant

Profile = Callable[[Tensor], Tensor]


def square(n: int, half_side: float = 1.0) -> Grid:
    return Grid((n, n), -half_side, half_side)


def flat_density(grid: Grid) -> Densities:
    half = torch.full(grid.shape, 0.5, dtype=torch.float64)
    return Densities(half, half)


def length(grid: Grid) -> Tensor:
    return grid.points().norm(dim=-1)


def radius(u: Tensor, grid: Grid) -> float:
    """Of the ball with the measure of the set."""
    volume = grid.measure(u)
    return math.sqrt(volume / math.pi) if grid.dim == 2 else (volume / (4 / 3 * math.pi)) ** (1 / 3)


def apart(u: Tensor, v: Tensor, grid: Grid) -> float:
    """The mean distance from the boundary of u to that of v, in |y| < 0.8."""
    points = torch.cat(contour(u, grid))
    points = points[points[:, 1].abs() < 0.8]
    return float(abs(ndimage.map_coordinates(v.numpy(), grid.to_index(points).T.numpy(), order=3)).mean())


# --- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.0, 0.15])
def test_the_disk_shrinks_as_its_closed_form_and_eps_does_not_matter(eps: float) -> None:
    """r^2 = r0^2 - 2 t; with constant densities the law of a positive eps is the limit law."""
    error = []
    for n in (32, 64):
        grid = square(n)
        curve = limit_flow(LimitLaw(grid, flat_density(grid), eps), 0.6 - length(grid), 0.1, record=Record(20))
        exact = (0.36 - 2 * curve.time[:, 0]).sqrt()
        measured = torch.tensor([radius(u, grid) for u in curve.points[:, 0]])
        error.append(float((measured - exact).abs().max()))
        torch.testing.assert_close(curve.energy[:, 0], 2 * math.pi * exact, rtol=0.01, atol=0)
    assert error[0] < 0.0025
    assert error[1] < error[0] / 2.5


@pytest.mark.slow
def test_the_sphere_shrinks_as_its_closed_form() -> None:
    """r^2 = r0^2 - 4 t in space, with or without eps; Per = 4 pi r^2."""
    grid = Grid((24, 24, 24), -1, 1)
    for eps in (0.0, 0.15):
        curve = limit_flow(LimitLaw(grid, flat_density(grid), eps), 0.7 - length(grid), 0.06)
        assert radius(curve.end[0], grid) == pytest.approx(0.5, abs=0.006)
    assert float(curve.energy[-1, 0]) == pytest.approx(math.pi, rel=0.05)


def test_a_straight_line_stands_still_in_a_constant_density_and_drifts_in_an_exponential_one() -> None:
    """V = -a for rho = exp(a x) and A = { x < 0 }; for eps > 0 and rho0 = rho1, V = -sinh(a eps) / eps."""
    grid = square(48)
    x, y = grid.points().unbind(-1)
    line = -x - 0.2 * y
    still = limit_flow(LimitLaw(grid, flat_density(grid)), line, 0.01).end[0]
    middle = (x.abs() < 0.2) & (y.abs() < 0.3)  # away from the edge, which the line does not meet at a right angle
    assert float((still - signed_distance(line, grid))[middle].abs().max()) < 5e-4
    a, t = 3.0, 0.1
    half = (a * x).exp() / 2
    for eps in (0.0, 0.2):
        speed = a if eps == 0 else math.sinh(a * eps) / eps
        end = limit_flow(LimitLaw(grid, Densities(half, half), eps), -x, t).end[0]
        assert float(-end[24:26, 24].mean() - x[24:26, 24].mean()) == pytest.approx(speed * t, rel=0.02)


def rho0(r: Tensor) -> Tensor:
    return 0.5 * torch.exp(-((r - 0.75) ** 2) / 2 / 0.25**2)


def rho1(r: Tensor) -> Tensor:
    return 0.5 * torch.exp(-(r**2) / 2 / 0.35**2)


def radial_end(eps: float, r0: float, until: float, dim: int = 2) -> float:
    """The radius of a ball that follows V = -G_eps / rho in radial densities."""

    def value(f: Profile, r: float) -> float:
        return float(f(torch.tensor(r, dtype=torch.float64)))

    def speed(_: float, state: list[float]) -> list[float]:
        r = float(state[0])
        if not eps:
            step = 1e-5
            up, down = (value(rho0, r + s) + value(rho1, r + s) for s in (step, -step))
            return [-(dim - 1) / r - math.log(up / down) / (2 * step)]
        grow, shrink = (1 + eps / r) ** (dim - 1), (1 - eps / r) ** (dim - 1)
        first = value(rho0, r + eps) * grow - value(rho0, r) + value(rho1, r) - value(rho1, r - eps) * shrink
        return [-first / eps / (value(rho0, r) + value(rho1, r))]

    return float(solve_ivp(speed, (0, until), [r0], rtol=1e-9, atol=1e-11).y[0, -1])


@pytest.mark.parametrize("eps", [0.0, 0.056, 0.114])
def test_radial_densities_against_the_ordinary_differential_equation(eps: float) -> None:
    exact = radial_end(eps, 0.45, 0.02)
    error = []
    for n in (32, 64):
        grid = square(n)
        both = Densities(rho0(length(grid)), rho1(length(grid)))
        end = limit_flow(LimitLaw(grid, both, eps), 0.45 - length(grid), 0.02).end[0]
        error.append(abs(radius(end, grid) - exact))
    assert error[1] < 5e-4  # the motion is 0.06 to 0.09
    assert error[1] < error[0] / 1.9


def test_the_law_in_space_with_eps_uses_both_curvatures() -> None:
    """At r = 0.5 and eps = 0.2 the term eps K (a - b) / rho matters: -1.6 of a velocity near -6."""
    grid = Grid((40, 40, 40), -1, 1)
    both = Densities(rho0(length(grid)), rho1(length(grid)))
    law = LimitLaw(grid, both, 0.2)
    shell = (length(grid) - 0.5).abs() < 0.03
    measured = float(law.velocity((0.5 - length(grid))[None])[0][shell].mean())
    r = length(grid)[shell]
    first = rho0(r + 0.2) * (1 + 0.2 / r) ** 2 - rho0(r) + rho1(r) - rho1(r - 0.2) * (1 - 0.2 / r) ** 2
    exact = float((-first / 0.2 / (rho0(r) + rho1(r))).mean())
    assert measured == pytest.approx(exact, rel=0.03)


def test_the_law_of_eps_tends_to_the_limit_law_with_order_one_or_two() -> None:
    """First order for two classes, second for symmetrized ones."""
    orders = []
    grid = square(96)
    both = Densities(rho0(length(grid)), rho1(length(grid)))
    shell = (length(grid) - 0.5).abs() < 0.05
    for densities in (both, symmetrized(both)):
        u = (0.5 - length(grid))[None]
        limit = LimitLaw(grid, densities).velocity(u)[0][shell]
        gap = [float((LimitLaw(grid, densities, e).velocity(u)[0][shell] - limit).abs().mean()) for e in (0.04, 0.08)]
        orders.append(math.log2(gap[1] / gap[0]))
    assert orders[0] == pytest.approx(1, abs=0.3)
    assert orders[1] == pytest.approx(2, abs=0.3)


# --- convergence, dissipation, topology ------------------------------------------------------------------------------


def wavy(n: int) -> tuple[Grid, Densities, Tensor]:
    """Two Gaussians and a wavy interface, the reference problem."""
    grid = square(n)
    x, y = grid.points().unbind(-1)
    classes = [torch.exp(-((x - m) ** 2 + y**2) / 2 / 0.35**2) for m in (-0.45, 0.45)]
    return grid, Densities(*classes), x - 0.1 - 0.25 * torch.sin(3 * y + 0.5)


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_self_convergence_is_of_second_order_in_h(eps: float) -> None:
    ends = {}
    for n in (24, 48, 96):
        grid, densities, u = wavy(n)
        ends[n] = grid, limit_flow(LimitLaw(grid, densities, eps), u, 0.015).end[0]

    def on_finest(n: int) -> Tensor:
        fine = ends[96][0]
        index = ends[n][0].to_index(fine.points()).reshape(-1, 2).T.numpy()
        return torch.from_numpy(ndimage.map_coordinates(ends[n][1].numpy(), index, order=3, mode="nearest")).reshape(
            fine.shape
        )

    gaps = [apart(on_finest(n), ends[96][1], ends[96][0]) for n in (24, 48)]
    assert gaps[1] < 0.0015
    assert math.log2(gaps[0] / gaps[1]) > 1.7


def test_the_weighted_perimeter_falls_and_the_gap_to_the_limit_is_of_first_order_in_eps() -> None:
    grid, densities, u = wavy(48)
    curve = limit_flow(LimitLaw(grid, densities), u, 0.06, record=Record(5))
    assert float(curve.energy.diff(dim=0).max()) < 0
    assert curve.status.tolist() == [Status.FINISHED]
    assert curve.slope.isnan().all()
    ends = [limit_flow(LimitLaw(grid, densities, eps), u, 0.06).end[0] for eps in (0.04, 0.08)]
    gaps = [apart(end, curve.end[0], grid) for end in ends]
    assert 1.6 < gaps[1] / gaps[0] < 2.6


def test_a_vanished_set_ends_its_row_alone() -> None:
    grid = square(32)
    discs = torch.stack([0.25 - length(grid), 0.6 - length(grid)])
    curve = limit_flow(LimitLaw(grid, flat_density(grid)), discs, 0.06)
    assert curve.status.tolist() == [Status.VANISHED, Status.FINISHED]
    assert float(curve.time[-1, 0]) == pytest.approx(0.25**2 / 2, rel=0.2)
    assert not bool((curve.end[0] > 0).any())
    assert radius(curve.end[1], grid) == pytest.approx(math.sqrt(0.36 - 0.12), abs=0.003)


def test_rows_are_strangers() -> None:
    grid, densities, u = wavy(24)
    law = LimitLaw(grid, densities)
    both = limit_flow(law, torch.stack([u, 0.5 - length(grid)]), 0.02).end
    assert torch.equal(both[0], limit_flow(law, u, 0.02).end[0])
    assert torch.equal(both[1], limit_flow(law, 0.5 - length(grid), 0.02).end[0])


def test_two_disks_merge_where_the_density_pulls_them_together() -> None:
    """The topology is free: one component at the end."""
    grid = square(48)
    x, y = grid.points().unbind(-1)
    start = torch.maximum(0.33 - torch.hypot(x - 0.4, y), 0.33 - torch.hypot(x + 0.4, y))  # 0.14 apart
    assert ndimage.label((start > 0).numpy())[1] == 2
    half = (20 * (x**2 + 0.0025).sqrt() - 20).exp()  # -grad log rho drives boundaries towards x = 0: into the gap
    curve = limit_flow(LimitLaw(grid, Densities(half, half), floor=1e-12), start, 0.01)
    assert ndimage.label((curve.end[0] > 0).numpy())[1] == 1


# --- misuse ----------------------------------------------------------------------------------------------------------


def test_misuse_is_explained() -> None:
    grid = square(16)
    law = LimitLaw(grid, flat_density(grid))
    with pytest.raises(ValueError, match="eps is finite and not negative, got eps=-1"):
        LimitLaw(grid, flat_density(grid), -1)
    with pytest.raises(ValueError, match=r"share of its maximum in \(0, 1\), got 0"):
        LimitLaw(grid, flat_density(grid), floor=0)
    with pytest.raises(ValueError, match=r"Densities live on the grid \(16, 16\), got \(8, 8\)"):
        LimitLaw(grid, flat_density(square(8)))
    with pytest.raises(ValueError, match="redistance=0"):
        limit_flow(law, 0.5 - length(grid), 0.1, redistance=0)
    with pytest.raises(ValueError, match=r"the shape of the grid, \(16, 16\), got \(8, 8\)"):
        limit_flow(law, torch.zeros(8, 8), 0.1)
    with pytest.raises(ValueError, match="u of one sign"):
        limit_flow(law, torch.ones(16, 16), 0.1)
    with pytest.raises(ValueError, match="until is a finite time >= 0, got until=nan"):
        limit_flow(law, 0.5 - length(grid), math.nan)


def test_the_parts_work_in_the_common_loop() -> None:
    """The scheme and the energy are parts like any other: steps of its own length, no goal asked for."""
    grid = square(24)
    law = LimitLaw(grid, flat_density(grid))
    energy = WeightedPerimeter(grid, law.densities.rho)
    assert energy.passes == 1
    assert energy.take(torch.tensor([0])) is energy
    start = (0.5 - length(grid))[None]
    curve = flow(
        energy,
        start,
        scheme=LevelSet(law.change, partial(redistanced, grid=grid), Constant(5e-4), 7),
        until=Steps(20),
        stop=Stop(),
    )
    assert float(curve.time[-1, 0]) == pytest.approx(0.01)
    assert radius(curve.end[0], grid) == pytest.approx(math.sqrt(0.25 - 0.02), abs=0.003)


def test_the_perimeter_does_not_depend_on_the_function_that_carries_the_set() -> None:
    """Twice the distance, or a steep and crooked one: between redistancings the level-set function is any function."""
    for dim, truth in ((2, 2 * math.pi * 0.6), (3, 4 * math.pi * 0.36)):
        grid = Grid((40,) * dim, -1, 1)
        p = grid.points()
        disk = 0.6 - p.norm(dim=-1)
        energy = WeightedPerimeter(grid, torch.ones(grid.shape))
        crooked = disk * (1.5 + torch.sin(5 * p[..., 0]) * torch.cos(3 * p[..., 1]))
        for u in (disk, 2 * disk, crooked):
            assert float(energy.look(u[None]).value) == pytest.approx(truth, rel=3e-3)
    grid = Grid((16, 24), (-1, -1.5), (1, 1.5))
    half = grid.points()[..., 0] - 0.03
    rho = 1 + grid.points()[..., 1] ** 2  # a line through the whole box, edge to edge
    assert float(WeightedPerimeter(grid, rho).look(half[None]).value) == pytest.approx(3 + 2 * 1.5**3 / 3, rel=2e-3)


def test_the_energy_of_a_flow_falls_in_every_step() -> None:
    """It rose by .014 of .031, and fell back, with every redistancing."""
    grid = Grid((48, 32), (-1.5, -1), (1.5, 1))
    x, y = grid.points().unbind(-1)
    eta = torch.sigmoid(6 * (y - 0.25 * torch.sin(4 * x)))
    rho = torch.exp(-(x**2) - 2 * y**2)
    law = LimitLaw(grid, Densities(rho * (1 - eta), rho * eta))
    curve = limit_flow(law, eta - 0.5, 0.04, record=Record())
    assert float(curve.energy[0] - curve.energy[-1]) > 0.02
    assert float(curve.energy.diff(dim=0).max()) <= 0
