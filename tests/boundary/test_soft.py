"""Soft suprema: gradients by autograd, the comparison principle, calibration, one step against closed forms."""

import math

import pytest
import torch

from boundary._cases import box, disk, flat_densities, radial_densities
from maxslope.boundary import Cut, Densities, Isotropic, Soft, Step, Window
from maxslope.boundary.soft import Cells, LatticeVariation, SphereVariation, gibbs_width, sphere_points, stencils
from maxslope.spaces import Lp

INF = math.inf


def dense(u, cells, offsets, stencil, beta, weights):
    """Sum a (LSE u - u) + b (u - LSEmin u) from the definition; points that leave the cells are dropped."""
    index = torch.stack([cells.neighbors(o) for o in offsets], 1)
    near = torch.cat([u, u.new_zeros(1)])[index] @ stencil
    absent = ((index == cells.size).double() @ (stencil > 0).double()) > 0
    up = torch.where(absent, -INF, beta * near).logsumexp(1) / beta
    down = -torch.where(absent, -INF, -beta * near).logsumexp(1) / beta
    return (weights[0] * (up - u) + weights[1] * (u - down)).sum()


@pytest.mark.parametrize(
    ("radius", "p", "dim"), [(2.3, 2, 2), (4.3, 2, 2), (3, 1, 2), (3, INF, 2), (2.3, 2, 3), (2, 1, 3)]
)
def test_lattice_variations_are_gradients(radius, p, dim):
    g = torch.Generator().manual_seed(0)
    window = Window(radius, Lp(p), dim)
    cells = Cells(torch.ones((11,) * dim, dtype=torch.bool), window.reach)
    u = torch.rand(cells.size, generator=g, dtype=torch.float64).requires_grad_()
    weights = torch.rand(2, cells.size, generator=g, dtype=torch.float64)
    offsets = sorted(window.offsets)
    value = dense(u, cells, offsets, torch.eye(len(offsets), dtype=torch.float64), 4.0, weights)
    (exact,) = torch.autograd.grad(value, u)
    found = LatticeVariation(cells, window, 4.0, weights).at(u.detach())
    assert float((found - exact).abs().max()) < 1e-12
    assert abs(float(found.sum())) < 1e-10


@pytest.mark.parametrize(("p", "dim"), [(2, 2), (1, 2), (INF, 2), (2, 3)])
def test_sphere_variations_are_gradients(p, dim):
    g = torch.Generator().manual_seed(0)
    points = sphere_points(2.0, 8, Lp(p), dim)
    offsets, stencil = stencils(points)
    assert torch.allclose(stencil.sum(0), torch.ones(17, dtype=torch.float64))
    at = torch.tensor(offsets, dtype=torch.float64).T @ stencil
    assert torch.allclose(at.T, points, atol=1e-8)  # interpolation is exact for affine functions
    cells = Cells(torch.ones((9,) * dim, dtype=torch.bool), 2)
    u = torch.rand(cells.size, generator=g, dtype=torch.float64).requires_grad_()
    weights = torch.rand(2, cells.size, generator=g, dtype=torch.float64)
    (exact,) = torch.autograd.grad(dense(u, cells, offsets, stencil, 4.0, weights), u)
    found = SphereVariation(cells, points, 4.0, weights).at(u.detach())
    assert float((found - exact).abs().max()) < 1e-12
    assert abs(float(found.sum())) < 1e-10


def test_calibration_matches_the_table_of_the_prototype():
    table = {(2.3, 2): 1.78, (2.3, 4): 2.04, (4.3, 2): 3.66, (4.3, 1.5): 3.44, (5.1, 4): 4.86, (10.05, 1): 8.72}
    grid = box(64)
    for (radius, b), m in table.items():
        assert Soft(radius, b).eps(grid) / grid.h == pytest.approx(m, abs=0.006)


def test_a_sharp_soft_width_is_the_mean_width():
    for p, dim in [(2, 2), (1, 2), (INF, 3)]:
        w = Window(3, Lp(p), dim)
        points = torch.tensor(sorted(w.offsets), dtype=torch.float64)
        assert gibbs_width(points, 500.0, Lp(p)) == pytest.approx(w.scale, rel=5e-3)


@pytest.mark.parametrize("space", [Lp(2), Lp(1), Lp(INF)])
@pytest.mark.parametrize("cells", [1.3, 2.0, 4.7, 9.0])
def test_a_solver_can_be_chosen_by_its_eps(space, cells):
    grid = box(32)
    assert Soft.reaching(cells * grid.h, grid, space).eps(grid) == pytest.approx(cells * grid.h, rel=1e-6)


@pytest.mark.parametrize("solver", [Soft(), Soft(3, 2, Lp(INF)), Soft(3, 2, Lp(1))])
def test_soft_steps_compare(solver):
    """g <= g' gives u <= u' exactly: log-sum-exp is submodular on the lattice."""
    grid = box(48)
    d = radial_densities(grid).floored()
    g = disk(grid, 0.5)
    other = g + 0.01 + 0.01 * torch.sin(7 * grid.points()[..., 0])
    strict = type(solver)(solver.radius, solver.sharpness, solver.space, 1e-9)
    less, more = (strict.solve(Step(grid, d, f, 0.004)).u for f in (g, other))
    assert float((less - more).max()) <= 1e-6 * grid.h


@pytest.mark.parametrize("solver", [Soft(), Isotropic(), Cut(5.1)])
def test_the_complement_moves_as_the_set(solver):
    grid = box(32)
    d = radial_densities(grid).floored()
    g = disk(grid, 0.55) + 0.05 * torch.sin(5 * grid.points()[..., 0])
    one = solver.solve(Step(grid, d, g, 0.004))
    other = solver.solve(Step(grid, Densities(d.rho1, d.rho0), -g, 0.004))
    near = g.abs() < grid.h
    assert one.solved
    assert one.iterations > 1
    assert float((one.u + other.u)[near].abs().max()) < 0.13 * grid.h if isinstance(solver, Cut) else 1e-9 * grid.h


def test_a_step_moves_a_disk_by_implicit_euler():
    grid = box(64)
    tau = 0.15 * grid.h
    u = Soft().solve(Step(grid, flat_densities(grid), disk(grid, 0.6), tau)).u
    after = (0.6 + math.sqrt(0.36 - 4 * tau)) / 2
    area = grid.measure(u * 1.0)
    assert math.sqrt(area / math.pi) == pytest.approx(after, abs=0.02 * grid.h)


def test_the_band_does_not_show():
    """Cells outside the band, held at g, do not change the zero level: a wider band gives the same."""
    grid = box(48)
    d, g, tau = radial_densities(grid).floored(), disk(grid, 0.5), 0.15 * box(48).h
    small = Soft(tolerance=1e-7).solve(Step(grid, d, g, tau)).u
    clipped = Soft(tolerance=1e-7).solve(Step(grid, d, g.clamp(-0.5, 0.5), tau)).u
    near = small.abs() < grid.h
    assert float((small - clipped)[near].abs().max()) < 0.02 * grid.h


def test_far_from_any_boundary_nothing_happens():
    grid = box(16)
    g = torch.full((16, 16), 2.0)
    found = Soft().solve(Step(grid, flat_densities(grid), g, 1e-3))
    assert torch.equal(found.u, g.double())
    assert found.iterations == 0


def misuse():
    grid = box(16)
    return {
        "Sharpness": lambda: Soft(2.3, 0.0),
        "tolerance": lambda: Isotropic(2.0, tolerance=-1.0),
        "at least one cell": lambda: Soft(0.5),
        "opposite pairs": lambda: Isotropic(points=7),
        "at least 1.2 cells": lambda: Soft.reaching(grid.h, grid),
        "too long for the grid": lambda: Soft(2.3, 40.0).solve(Step(grid, flat_densities(grid), disk(grid, 0.5), 1.0)),
    }


@pytest.mark.parametrize("rule", misuse())
def test_misuse(rule):
    with pytest.raises(ValueError, match=rule):
        misuse()[rule]()
