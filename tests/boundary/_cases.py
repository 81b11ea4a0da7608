"""Problems whose flows are known: disks, weighted disks, two Gaussians, and how far apart two boundaries are."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from maxslope.boundary import Densities, Grid, contour


def box(n: int, dim: int = 2) -> Grid:
    return Grid((n,) * dim, -1, 1)


def flat_densities(grid: Grid, mass: float = 0.5) -> Densities:
    return Densities(torch.full(grid.shape, mass), torch.full(grid.shape, mass))


def symmetrized(densities: Densities) -> Densities:
    """Both classes with rho / 2: the perimeter keeps its limit and loses its error of first order in eps."""
    return Densities(densities.rho / 2, densities.rho / 2)


def radius(grid: Grid) -> Tensor:
    return grid.points().norm(dim=-1)


def disk(grid: Grid, r: float) -> Tensor:
    return r - radius(grid)


def euler_radius(r: float, tau: float, steps: int) -> float:
    """Implicit Euler for r' = -1/r: what minimizing movements make of a disk."""
    for _ in range(steps):
        r = (r + math.sqrt(r * r - 4 * tau)) / 2
    return r


def radii(u: Tensor, grid: Grid) -> Tensor:
    return torch.cat(contour(u, grid)).norm(dim=1)


def rho0(r: Tensor | float) -> Tensor:
    return 0.5 * torch.exp(-((torch.as_tensor(r, dtype=torch.float64) - 0.75) ** 2) / (2 * 0.25**2))


def rho1(r: Tensor | float) -> Tensor:
    return 0.5 * torch.exp(-(torch.as_tensor(r, dtype=torch.float64) ** 2) / (2 * 0.35**2))


def radial_densities(grid: Grid) -> Densities:
    r = radius(grid)
    return Densities(rho0(r), rho1(r))


def mean_curvature_speed(r: float) -> float:
    """r' = -1/r - (log rho)', by central differences of the closed form."""
    d = 1e-5
    drift = (torch.log(rho0(r + d) + rho1(r + d)) - torch.log(rho0(r - d) + rho1(r - d))) / (2 * d)
    return -1 / r - float(drift)


def finite_eps_speed(eps: float) -> Callable[[float], float]:
    """r' = -G_eps / rho of the radial problem, the tube formula with kappa = 1/r."""

    def speed(r: float) -> float:
        outer = rho0(r + eps) * (1 + eps / r) - rho0(r)
        inner = rho1(r) - rho1(r - eps) * (1 - eps / r)
        return -float((outer + inner) / eps / (rho0(r) + rho1(r)))

    return speed


def integrate(speed: Callable[[float], float], r: float, until: float, steps: int = 200) -> float:
    """Runge and Kutta's method."""
    h = until / steps
    for _ in range(steps):
        a = speed(r)
        b = speed(r + h * a / 2)
        c = speed(r + h * b / 2)
        r += h * (a + 2 * b + 2 * c + speed(r + h * c)) / 6
    return r


def gaussians(grid: Grid, centers: list[tuple[float, float]], sigma: float) -> Tensor:
    x = grid.points()
    parts = [torch.exp(-((x - x.new_tensor(c)) ** 2).sum(-1) / (2 * sigma**2)) for c in centers]
    return torch.stack(parts).mean(0) / (2 * math.pi * sigma**2)


def two_gaussians(grid: Grid) -> tuple[Densities, Tensor]:
    """Classes around (-.45, 0) and (.45, 0), and a wavy boundary to start from."""
    x = grid.points()
    d = Densities(gaussians(grid, [(-0.45, 0.0)], 0.35) / 2, gaussians(grid, [(0.45, 0.0)], 0.35) / 2)
    return d, x[..., 0] - 0.1 - 0.25 * torch.sin(3 * x[..., 1] + 0.5)


def eight_gaussians(grid: Grid) -> Densities:
    """Two classes of four Gaussians each, interlocked."""
    zero = [(-0.55, 0.5), (-0.2, -0.1), (-0.6, -0.55), (0.25, 0.55)]
    one = [(0.55, -0.5), (0.2, 0.15), (0.6, 0.45), (-0.2, -0.6)]
    return Densities(gaussians(grid, zero, 0.2) / 2, gaussians(grid, one, 0.2) / 2)


def apart(a: list[Tensor], b: list[Tensor], high: float = 0.8) -> tuple[float, float]:
    """Hausdorff and mean distance of two boundaries where |y| < high, from vertices to segments, both ways."""
    ways = [_to(p, q, high) for p, q in ((a, b), (b, a))]
    return max(float(w.max()) for w in ways), sum(float(w.mean()) for w in ways) / 2


def _to(a: list[Tensor], b: list[Tensor], high: float) -> Tensor:
    points = torch.cat(a)
    points = points[points[:, 1].abs() < high]
    start, end = torch.cat([line[:-1] for line in b]), torch.cat([line[1:] for line in b])
    way = end - start
    length = (way**2).sum(1).clamp_min(1e-30)
    share = (((points[:, None] - start) * way).sum(-1) / length).clamp(0, 1)
    return (points[:, None] - start - share[..., None] * way).norm(dim=-1).amin(1)
