"""Signed distances to the boundary of {u > 0}, and the boundary itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d, max_pool3d

from maxslope._rows import flat
from maxslope.boundary._optional import load
from maxslope.boundary._spline import Spline
from maxslope.boundary.grid import Grid

_ITERATIONS = 8
_STARTS = (1, 6)  # which of the nearest known zeros the nearest is looked for from; they lie half a cell apart


def signed_distance(u: Tensor, grid: Grid, width: float | None = None) -> Tensor:
    """Return the signed distance to the boundary of {u > 0}, positive inside.

    sd(x) = min { |x - y| : U(y) = 0 } sign u(x), U the interpolating cubic spline of u. Within ``width`` the closest
    point is found by Newton's method with a tangential correction, from near ones among known zeros; farther away the
    distance is continued by the fast marching method of second order.

    Args:
        u: ``[*shape]``; what is zero counts as outside.
        grid: where.
        width: in length units; 4 h by default.

    Returns:
        ``[*shape]`` float64; plus or minus the diameter of the box everywhere if the set or its complement is empty.

    Raises:
        TypeError: if ``u`` is no tensor.
        ValueError: if it is not a finite function on the grid.

    Source: D. L. Chopp, SIAM J. Sci. Comput. 23 (2001) 230-244 (closest points on splines); J. A. Sethian, PNAS 93
    (1996) 1591-1595 (fast marching).

    >>> grid = Grid((32, 32), -1, 1)
    >>> r = grid.points().norm(dim=-1)
    >>> float((signed_distance(0.25 - r**2, grid) - (0.5 - r)).abs().max()) < 0.02
    True
    """
    u = grid.function(u)
    device, u = u.device, u.cpu()
    within = u > 0
    if vanished(u):
        return torch.full_like(u, grid.diameter if bool(within.any()) else -grid.diameter).to(device)
    sign = torch.where(within, 1.0, -1.0).double()
    near, distance = _near(u, grid, max(4 * grid.h if width is None else width, 2 * grid.h))
    start = torch.where(near, distance, grid.diameter) * sign
    if bool(near.all()):
        return start.to(device)
    return torch.where(near, start, _march(start, near, sign, grid)).to(device)


def gone(x: Tensor) -> Tensor:
    """Return of which rows {u > 0} or its complement is empty, ``[rows]``."""
    within = flat(x) > 0
    return within.all(1) | ~within.any(1)


def vanished(u: Tensor) -> bool:
    """Whether {u > 0} or its complement is empty."""
    return bool(gone(u[None]))


def contour(u: Tensor, grid: Grid) -> list[Tensor]:
    """Return the boundary of {u > 0} in the plane as polylines, one ``[n, 2]`` tensor of points per component.

    Closed curves end where they begin; a set without boundary gives an empty list.

    Raises:
        ValueError: if the grid has 3 axes (see :func:`surface`), or ``u`` is not a finite function on it.

    Source: the marching squares of scikit-image.

    >>> grid = Grid((32, 32), -1, 1)
    >>> [line.shape[1] for line in contour(0.5 - grid.points().norm(dim=-1), grid)]
    [2]
    """
    if grid.dim != 2:
        raise ValueError(f"contour draws sets in the plane, got a grid of {grid.dim} axes; use surface.")
    measure = load("skimage.measure", "scikit-image")
    lines = measure.find_contours(grid.function(u).cpu().numpy(), 0.0)
    return [grid.to_points(torch.from_numpy(line.copy())) for line in lines]


def surface(u: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Return the boundary of {u > 0} in space as (points ``[n, 3]``, triangles ``[m, 3]`` int64), empty without one.

    Raises:
        ValueError: if the grid has 2 axes (see :func:`contour`), or ``u`` is not a finite function on it.

    Source: the marching cubes of scikit-image.

    >>> grid = Grid((12, 12, 12), -1, 1)
    >>> surface(grid.points()[..., 0], grid)[0].shape[1]
    3
    """
    if grid.dim != 3:
        raise ValueError(f"surface draws sets in space, got a grid of {grid.dim} axes; use contour.")
    u = grid.function(u).cpu()
    if vanished(u):
        return torch.zeros(0, 3, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.int64)
    points, triangles, _, _ = load("skimage.measure", "scikit-image").marching_cubes(u.numpy(), 0.0)
    return grid.to_points(torch.from_numpy(points.copy()).double()), torch.from_numpy(triangles.copy()).long()


def measures(u: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Return the middles ``[n, d]`` and the lengths or areas ``[n]`` of what the boundary of {u > 0} is drawn with."""
    if grid.dim == 2:
        lines = contour(u, grid)
        if not lines:
            return torch.zeros(0, 2, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
        start, end = torch.cat([line[:-1] for line in lines]), torch.cat([line[1:] for line in lines])
        return (start + end) / 2, torch.linalg.vector_norm(end - start, dim=1)
    points, triangles = surface(u, grid)
    corners = points[triangles]
    sides = corners[:, 1:] - corners[:, :1]
    return corners.mean(1), torch.linalg.vector_norm(torch.linalg.cross(sides[:, 0], sides[:, 1]), dim=1) / 2


def _near(u: Tensor, grid: Grid, width: float) -> tuple[Tensor, Tensor]:
    """Which cells are within ``width``, and their distances to the zero set of the spline.

    Newton's method finds a local minimizer, so it starts from the nearest of known zeros, one for each pair of
    neighbors of two signs on a lattice twice as fine, and again from the next ones: of two branches the second may be
    the nearer one.
    """
    spline = Spline.of(u, grid)
    crossing = _crossings(*_refined(u, spline, grid), grid.h / 2)
    zeros = _closest(spline, crossing, crossing, grid.h)
    points = grid.points()
    within = load("scipy.spatial", "scipy").cKDTree(crossing.numpy())
    gap, _ = within.query(points.reshape(-1, grid.dim).numpy(), distance_upper_bound=width + grid.h)
    near = torch.from_numpy(gap).isfinite().reshape(grid.shape)
    x = points[near]
    _, owner = load("scipy.spatial", "scipy").cKDTree(zeros.numpy()).query(x.numpy(), k=list(_STARTS))
    best = torch.full((x.shape[0],), torch.inf, dtype=torch.float64)
    for column in torch.from_numpy(owner).T:
        foot = _closest(spline, x, zeros[column.clamp_max(len(zeros) - 1)], grid.h)  # there may be fewer zeros
        best = best.minimum(torch.linalg.vector_norm(x - foot, dim=1))
    distance = torch.full(grid.shape, torch.inf, dtype=torch.float64)
    distance[near] = best
    return near & (distance <= width), distance


def _refined(u: Tensor, spline: Spline, grid: Grid) -> tuple[Tensor, Tensor]:
    """The spline on a lattice twice as fine, and its points; linear interpolation where no sign can change.

    Between cells of one sign the spline may have zeros, and a thin layer or a small island lies there.
    """
    shape = [2 * n - 1 for n in grid.shape]
    mode = "bilinear" if grid.dim == 2 else "trilinear"
    fine = interpolate(u[None, None], shape, mode=mode, align_corners=True)[0, 0]
    lines = [torch.arange(n, dtype=torch.float64) / 2 for n in shape]
    points = grid.to_points(torch.stack(torch.meshgrid(*lines, indexing="ij"), -1))
    low, high = (-_pooled(-u, grid.dim), _pooled(u, grid.dim))
    open_ = (torch.minimum(low.abs(), high.abs()) < high - low).double()
    near = interpolate(open_[None, None], shape, mode="nearest")[0, 0] > 0
    fine[near], _ = spline(points[near])
    every = (slice(None, None, 2),) * grid.dim
    fine[every] = u
    return fine, points


def _pooled(u: Tensor, dim: int) -> Tensor:
    """The maximum over a cell and its neighbors."""
    pool = max_pool2d if dim == 2 else max_pool3d
    return pool(u[None, None], 3, stride=1, padding=1)[0, 0]


def _crossings(u: Tensor, points: Tensor, h: float) -> Tensor:
    """Zeros of u between neighbors of two signs, by linear interpolation, ``[n, d]``."""
    within, found = u > 0, []
    for axis in range(u.ndim):
        n = u.shape[axis]
        here, there = u.narrow(axis, 0, n - 1), u.narrow(axis, 1, n - 1)
        differ = within.narrow(axis, 0, n - 1) != within.narrow(axis, 1, n - 1)
        x = points.narrow(axis, 0, n - 1)[differ]
        x[:, axis] += h * here[differ] / (here - there)[differ]
        found.append(x)
    return torch.cat(found)


def _closest(spline: Spline, x: Tensor, start: Tensor, h: float) -> Tensor:
    """The points of the zero set closest to ``x``, from starts on (or near) it; where Newton fails, the start.

    Every iteration steps onto the zero set along the gradient, and along the tangent towards x.
    """
    foot = start.clone()
    moving = torch.arange(x.shape[0])
    for _ in range(_ITERATIONS):
        here = foot[moving]
        value, gradient = spline(here)
        square = (gradient**2).sum(1, keepdim=True).clamp_min(1e-24)
        onto = _at_most(-value[:, None] * gradient / square, h)
        way = x[moving] - here
        along = _at_most(way - (way * gradient).sum(1, keepdim=True) * gradient / square, h)
        foot[moving] = here + onto + along
        # What is left after a small step along the tangent changes the distance by its square.
        small = (onto.abs().amax(1) < 1e-6 * h) & (along.abs().amax(1) < 1e-3 * h)
        moving = moving[~small]
        if not moving.numel():
            break
    value, gradient = spline(foot)
    size = torch.linalg.vector_norm(gradient, dim=1)
    onto = torch.linalg.vector_norm(x - foot, dim=1)
    reach = torch.linalg.vector_norm(x - start, dim=1)
    good = (value.abs() <= 1e-3 * h * size) & (onto <= reach + 0.05 * h)
    return torch.where(good[:, None], foot, start)


def _at_most(v: Tensor, length: float) -> Tensor:
    size = torch.linalg.vector_norm(v, dim=1, keepdim=True)
    shorter: Tensor = v * (length / size.clamp_min(length))
    return shorter


def _march(start: Tensor, near: Tensor, sign: Tensor, grid: Grid) -> Tensor:
    """Continue signed distances from the cells ``near`` outwards."""
    skfmm = load("skfmm", "scikit-fmm")
    # The front starts from the zero level of what is known, so what is unknown needs only a sign.
    guess = torch.where(near, start, sign * 2 * grid.h)
    far: Tensor = torch.from_numpy(skfmm.distance(guess.numpy(), dx=grid.h))
    return far
