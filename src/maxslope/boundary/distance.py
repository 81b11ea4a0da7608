"""Signed distances to the boundary of {u > 0}, and the boundary itself."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from maxslope.boundary import _optional as optional
from maxslope.boundary._spline import Spline
from maxslope.boundary.grid import Grid

_ITERATIONS = 8


def signed_distance(u: Tensor, grid: Grid, width: float | None = None) -> Tensor:
    """Return the signed distance to the boundary of {u > 0}, positive inside.

    sd(x) = min { |x - y| : U(y) = 0 } sign u(x), U the interpolating cubic spline of u. Within ``width`` the closest
    point is found by Newton's method with a tangential correction, from the foot of the nearest cell at the boundary;
    farther away the distance is continued by the fast marching method of second order.

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


def vanished(u: Tensor) -> bool:
    """Whether {u > 0} or its complement is empty."""
    within = u > 0
    return bool(within.all()) or not bool(within.any())


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
    measure = optional.measure()
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
    points, triangles, _, _ = optional.measure().marching_cubes(u.numpy(), 0.0)
    return grid.to_points(torch.from_numpy(points.copy()).double()), torch.from_numpy(triangles.copy()).long()


def _near(u: Tensor, grid: Grid, width: float) -> tuple[Tensor, Tensor]:
    """Which cells are within ``width``, and their distances to the zero set of the spline."""
    ndimage = optional.ndimage()
    spline = Spline.of(u, grid)
    cells, crossing = _crossings(u, grid)
    points = grid.points()
    x = points[cells]
    foot = _closest(spline, x, crossing, grid.h)
    number = torch.full(grid.shape, -1)
    number[cells] = torch.arange(x.shape[0])
    gap, index = ndimage.distance_transform_edt(~cells.numpy(), return_indices=True)
    near = torch.from_numpy(gap) * grid.h <= width + grid.h
    owner = number[tuple(torch.from_numpy(k)[near].long() for k in index)]
    x, start = points[near], foot[owner]
    best = _closest(spline, x, start, grid.h)
    distance = torch.full(grid.shape, torch.inf, dtype=torch.float64)
    distance[near] = torch.linalg.vector_norm(x - best, dim=1)
    return near & (distance <= width), distance


def _crossings(u: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """The cells with a neighbor of the other sign, and the nearest zero of u along an axis for each, ``[n, d]``."""
    within = u > 0
    best = torch.full(grid.shape, torch.inf, dtype=torch.float64)
    shift = torch.zeros(*grid.shape, grid.dim, dtype=torch.float64)
    for axis, way in itertools.product(range(grid.dim), (0, 1)):
        n = grid.shape[axis]
        here, there = u.narrow(axis, 1 - way, n - 1), u.narrow(axis, way, n - 1)
        differ = within.narrow(axis, 1 - way, n - 1) != within.narrow(axis, way, n - 1)
        share = torch.where(differ, here / torch.where(differ, here - there, 1.0), torch.inf)
        closer = share < best.narrow(axis, 1 - way, n - 1)
        best.narrow(axis, 1 - way, n - 1)[closer] = share[closer]
        step = torch.zeros(*share.shape, grid.dim, dtype=torch.float64)
        step[..., axis] = share * (1 if way else -1) * grid.h
        shift.narrow(axis, 1 - way, n - 1)[closer] = step[closer]
    cells = best.isfinite()
    return cells, grid.points()[cells] + shift[cells]


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
    skfmm = optional.skfmm()
    # The front starts from the zero level of what is known, so what is unknown needs only a sign.
    guess = torch.where(near, start, sign * 2 * grid.h)
    far: Tensor = torch.from_numpy(skfmm.distance(guess.numpy(), dx=grid.h))
    return far
