"""Grids, densities, splines and signed distances against closed forms."""

import math

import pytest
import torch
from scipy import ndimage
from skimage.measure import find_contours
from torch import Tensor

from boundary._cases import box, disk, gaussians, radii, radius
from maxslope.boundary import Densities, Grid, contour, signed_distance, surface
from maxslope.boundary._optional import load
from maxslope.boundary.distance import Spline


def test_points_are_centers_and_indices_invert_them():
    grid = Grid((8, 4, 4), (0, 1, 2), (2, 2, 3))
    assert grid.h == 0.25
    assert grid.points()[0, 0, 0].tolist() == [0.125, 1.125, 2.125]
    index = grid.to_index(grid.points())
    assert index[3, 2, 1].tolist() == [3, 2, 1]
    assert torch.allclose(grid.to_points(index), grid.points())
    assert grid.diameter == pytest.approx(math.sqrt(6))


def test_grids_of_equal_cells_are_equal_and_say_what_they_are():
    grid, same = Grid((8, 4), -1, (1, 0)), Grid(torch.tensor([8, 4]), (-1.0, -1.0), (1.0, 0.0))
    assert grid == same
    assert len({grid, same, Grid((8, 8), -1, 1)}) == 2
    assert eval(repr(grid)) == grid
    assert grid != ((8, 4), (-1.0, -1.0), (1.0, 0.0))


@pytest.mark.parametrize(
    ("shape", "low", "high"),
    [
        ((8,), 0, 1),
        ((8, 8, 8, 8), 0, 1),
        ((8, 2), 0, 1),
        ((8, 8), (0, 0), (1, 2)),
        ((8, 8), 1, 0),
        ((8, 8), (0, 0, 0), 1),
    ],
)
def test_grids_that_are_none_raise(shape, low, high):
    with pytest.raises(ValueError, match="grid"):
        Grid(shape, low, high)


def test_functions_are_checked():
    grid = box(8)
    with pytest.raises(TypeError, match="torch tensor"):
        grid.function([1.0])
    with pytest.raises(ValueError, match="shape of the grid"):
        grid.function(torch.zeros(8, 9))
    with pytest.raises(ValueError, match="finite"):
        grid.function(torch.full((8, 8), math.nan))


def test_measure_is_of_second_order():
    errors = [box(n).measure(disk(box(n), 0.6)) - math.pi * 0.36 for n in (16, 32, 64)]
    assert abs(errors[2]) < 1.1e-3
    assert math.log2(errors[0] / errors[1]) > 1.8
    weighted = box(64).measure(disk(box(64), 0.6), radius(box(64)))
    assert weighted == pytest.approx(2 * math.pi * 0.6**3 / 3, rel=3e-3)


def test_densities_from_functions():
    grid = box(16)
    d = Densities.from_functions(grid, lambda x: x[..., 0] ** 2, lambda x: 1 + 0 * x[..., 1])
    assert torch.equal(d.rho, grid.points()[..., 0] ** 2 + 1)
    assert float(Densities(d.rho, d.rho).bayes.abs().max()) == 0
    assert torch.allclose(d.bayes, (d.rho1 - d.rho0) / d.rho)


def test_eta_is_one_half_without_mass_and_the_floor_fills_it():
    rho = torch.zeros(4, 4)
    rho[0, 0] = 2.0
    d = Densities(rho, rho)
    assert float(d.eta[3, 3]) == 0.5
    floored = d.floored(0.1)
    assert float(floored.rho.min()) == pytest.approx(0.4)
    assert float(floored.rho[0, 0]) == 4.0
    assert floored.to(torch.zeros(1)).rho0.device.type == "cpu"


def test_one_sample_becomes_a_gaussian_of_the_bandwidth():
    grid = box(64)
    at = torch.tensor([[0.103, -0.21]])
    d = Densities.from_samples(grid, at, torch.tensor([1]), bandwidth=0.15)
    exact = gaussians(grid, [(0.103, -0.21)], 0.15)
    assert float(d.rho0.abs().max()) == 0
    assert float((d.rho1 - exact).abs().max()) < 3e-3 * float(exact.max())


def test_kernel_densities_converge_to_the_densities():
    grid = box(48)
    g = torch.Generator().manual_seed(0)
    y = (torch.rand(20000, generator=g) < 0.25).long()
    x = torch.randn(20000, 2, generator=g) * 0.2 + torch.where(y[:, None] == 1, 0.3, -0.3)
    keep = (x.abs() < 1).all(1)
    d = Densities.from_samples(grid, x[keep], y[keep])
    assert float(d.rho.sum()) * grid.cell == pytest.approx(1, abs=1e-9)
    assert float(d.rho1.sum()) * grid.cell == pytest.approx(float(y[keep].double().mean()), abs=1e-9)
    exact0, exact1 = 0.75 * gaussians(grid, [(-0.3, -0.3)], 0.2), 0.25 * gaussians(grid, [(0.3, 0.3)], 0.2)
    wrong = float((d.rho0 - exact0).abs().sum() + (d.rho1 - exact1).abs().sum()) * grid.cell
    assert wrong < 0.1
    assert float(((d.bayes > 0) != (exact1 > exact0))[d.rho > 0.1].double().mean()) < 0.02


def misuse_of_densities():
    grid, one = box(8), torch.ones(8, 8)
    x, y = torch.zeros(3, 2), torch.tensor([0, 1, 1])
    return {
        "share one grid": lambda: Densities(one, torch.ones(8, 9)),
        "not negative": lambda: Densities(-one, one),
        "positive somewhere": lambda: Densities(0 * one, 0 * one),
        "share of the largest": lambda: Densities(one, one).floored(1.5),
        "one label each": lambda: Densities.from_samples(grid, x, y[:2]),
        "Labels are 0 and 1": lambda: Densities.from_samples(grid, x, y + 1),
        "in the box": lambda: Densities.from_samples(grid, x + 2, y),
        "bandwidth": lambda: Densities.from_samples(grid, x, y, bandwidth=0.01),
    }


@pytest.mark.parametrize("rule", misuse_of_densities())
def test_misuse_of_densities(rule):
    with pytest.raises(ValueError, match=rule):
        misuse_of_densities()[rule]()


@pytest.mark.parametrize("dim", [2, 3])
def test_splines_interpolate_and_are_of_fourth_order(dim):
    errors, slopes = [], []
    g = torch.Generator().manual_seed(0)
    x = torch.rand(200, dim, generator=g, dtype=torch.float64) - 0.5
    a = torch.tensor([2.0, 1.0, -1.5], dtype=torch.float64)[:dim]
    for n in (16, 32):
        grid = box(n, dim)
        spline = Spline.of((grid.points() @ a).sin(), grid)
        value, gradient = spline(x)
        errors.append(float((value - (x @ a).sin()).abs().max()))
        slopes.append(float((gradient - (x @ a).cos()[:, None] * a).abs().max()))
        at_centers, _ = spline(grid.points().reshape(-1, dim))
        assert torch.allclose(at_centers, (grid.points() @ a).sin().flatten(), atol=1e-12)
    assert math.log2(errors[0] / errors[1]) > 3.5
    assert math.log2(slopes[0] / slopes[1]) > 2.5


@pytest.mark.parametrize("dim", [2, 3])
def test_distances_of_balls_are_exact_near_the_boundary(dim):
    grid = box(48 if dim == 2 else 28, dim)
    exact = disk(grid, 0.6)
    # Any function with the right zero set; its size is not a distance.
    sd = signed_distance((3 * exact).sinh() * (1.5 + grid.points()[..., 0]), grid, width=0.3)
    near = exact.abs() < 0.3
    assert float((sd - exact)[near].abs().max()) < (2e-3 if dim == 2 else 8e-3) * grid.h
    assert float((sd - exact).abs().max()) < 0.35 * grid.h
    assert bool(((sd > 0) == (exact > 0)).all())


def test_redistancing_many_times_does_not_move_the_boundary():
    grid = box(64)
    sd = disk(grid, 0.6)
    for _ in range(50):
        sd = signed_distance(sd, grid)
    error = (sd - disk(grid, 0.6))[radius(grid).sub(0.6).abs() < grid.h]
    assert float(error.mean().abs()) < 0.001 * grid.h
    assert float(error.abs().max()) < 0.01 * grid.h


def test_distances_of_indicators_and_corners():
    grid = box(32)
    x = grid.points()
    indicator = torch.where(radius(grid) < 0.6, 1.0, -1.0)
    assert float((signed_distance(indicator, grid) - disk(grid, 0.6)).abs().max()) < 0.8 * grid.h
    square = 0.5 - x.abs().amax(-1)
    outside = (x.abs() - 0.5).clamp_min(0).norm(dim=-1)
    exact = torch.where(square > 0, square, -outside)
    assert float((signed_distance(square, grid, 0.3) - exact).abs().max()) < 0.5 * grid.h


def test_without_a_boundary_the_distance_is_the_diameter():
    grid = box(8)
    full = signed_distance(torch.ones(8, 8), grid)
    assert float(full.min()) == float(full.max()) == grid.diameter
    assert float(signed_distance(-torch.ones(8, 8), grid).max()) == -grid.diameter
    assert contour(torch.ones(8, 8), grid) == []
    assert surface(torch.ones(8, 8, 8), box(8, 3))[0].shape == (0, 3)


def test_contours_and_surfaces_lie_on_the_boundary():
    grid = box(64)
    r = radii(disk(grid, 0.6), grid)
    assert float((r - 0.6).abs().max()) < 0.02 * grid.h
    lines = contour(torch.maximum(disk(grid, 0.2), radius(grid) - 0.7), grid)
    assert len(lines) == 2
    closed = min(lines, key=lambda line: float(line.norm(dim=1).mean()))
    assert torch.equal(closed[0], closed[-1])
    solid = box(24, 3)
    points, triangles = surface(disk(solid, 0.6), solid)
    assert float((points.norm(dim=1) - 0.6).abs().max()) < 0.1 * solid.h
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = float(torch.linalg.cross(b - a, c - a).norm(dim=1).sum()) / 2
    assert area == pytest.approx(4 * math.pi * 0.36, rel=0.01)
    with pytest.raises(ValueError, match="use surface"):
        contour(disk(solid, 0.6), solid)
    with pytest.raises(ValueError, match="use contour"):
        surface(disk(grid, 0.6), grid)


def test_missing_packages_name_the_extra():
    with pytest.raises(ImportError, match=r"maxslope\[boundary\]"):
        load("no_such_module_anywhere", "no-such-package")


def rough(n: int, seed: int) -> Tensor:
    """Noise smoothed over three cells: thin layers, islands, and branches a cell apart."""
    g = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, n, generator=g, dtype=torch.float64)
    return torch.from_numpy(ndimage.gaussian_filter(noise.numpy(), 3.0))


@pytest.mark.parametrize("seed", [0, 1])
def test_distances_of_rough_fields_are_those_to_the_nearest_branch(seed: int) -> None:
    """Against all zeros of the spline on a lattice eight times as fine; errors were up to .8 cell, at 6 to 11 %."""
    grid, u = Grid((48, 48), -1, 1), rough(48, seed)
    fine = torch.arange(47 * 8 + 1, dtype=torch.float64) / 8
    points = grid.to_points(torch.stack(torch.meshgrid(fine, fine, indexing="ij"), -1).reshape(-1, 2))
    values = Spline.of(u, grid)(points)[0].reshape(len(fine), len(fine))
    lines = [torch.from_numpy(line.copy()) for line in find_contours(values.numpy(), 0.0)]
    zeros = grid.to_points(torch.cat([line[:-1] * (1 - s) + line[1:] * s for line in lines for s in (0, 0.5)]) / 8)
    truth = torch.cdist(grid.points().reshape(-1, 2), zeros).amin(1).reshape(48, 48)
    near = truth < 4 * grid.h
    near[:5], near[-5:], near[:, :5], near[:, -5:] = (
        False,
        False,
        False,
        False,
    )  # beyond the edge the spline is mirrored
    error = (signed_distance(u, grid).abs() - truth)[near].abs() / grid.h
    assert float(error.max()) < 0.15
    assert float((error > 0.05).double().mean()) < 0.03
