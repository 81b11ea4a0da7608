"""Signed distances to the boundary of {u > 0}, and the boundary itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from maxslope._rows import flat
from maxslope.boundary._optional import load
from maxslope.boundary.grid import Grid

_ITERATIONS = 8
_PAD = 3  # cells of coefficients beyond the edge, mirrored
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
    guess = torch.where(near, start, sign * 2 * grid.h)  # the front starts from what is near: beyond, signs are enough
    far = torch.from_numpy(load("skfmm", "scikit-fmm").distance(guess.numpy(), dx=grid.h))
    return torch.where(near, start, far).to(device)


def gone(x: Tensor) -> Tensor:
    """Return of which rows {u > 0} or its complement is empty, ``[rows]``."""
    within = flat(x) > 0
    return within.all(1) | ~within.any(1)


def starts(u: Tensor, grid: Grid) -> Tensor:
    """Return the functions that flows of sets start from, ``[rows, *shape]``, of one or of several.

    Raises:
        ValueError: if one is not on the grid, or a set or its complement is empty.
    """
    rows = torch.stack([grid.function(row, "A set's function") for row in (u[None] if u.ndim == grid.dim else u)])
    if bool(gone(rows).any()):
        raise ValueError(
            "A set and its complement must not be empty: u is positive inside and negative outside, got a u of one "
            "sign; move the level, start from a signed distance, or enlarge the grid."
        )
    return rows


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
    neighbors of two signs on a lattice twice as fine, and again from a next one, on another branch perhaps.
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
    ndimage = load("scipy.ndimage", "scipy")
    low, high = (torch.from_numpy(of(u.numpy(), 3)) for of in (ndimage.minimum_filter, ndimage.maximum_filter))
    open_ = (torch.minimum(low.abs(), high.abs()) < high - low).double()
    near = interpolate(open_[None, None], shape, mode="nearest")[0, 0] > 0
    fine[near], _ = spline(points[near])
    every = (slice(None, None, 2),) * grid.dim
    fine[every] = u
    return fine, points


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
    """The points of the zero set closest to ``x``, from starts on (or near) it; where Newton fails, the start."""
    foot = start.clone()
    moving = torch.arange(x.shape[0])
    for _ in range(_ITERATIONS):
        here = foot[moving]
        value, gradient = spline(here)
        square = (gradient**2).sum(1, keepdim=True).clamp_min(1e-24)
        onto = (-value[:, None] * gradient / square).renorm(2, 0, h)
        way = x[moving] - here
        along = (way - (way * gradient).sum(1, keepdim=True) * gradient / square).renorm(2, 0, h)
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


@dataclass(frozen=True, eq=False)
class Spline:
    """The interpolating cubic spline of a function on a grid, mirrored at the outermost centers.

    >>> grid = Grid((8, 8), 0, 1)
    >>> value, gradient = Spline.of(grid.points()[..., 0], grid)(torch.tensor([[0.5, 0.5]], dtype=torch.float64))
    >>> bool((value - 0.5).abs() < 1e-3), bool((gradient[0, 0] - 1).abs() < 1e-2)
    (True, True)
    """

    grid: Grid
    coefficients: Tensor

    @staticmethod
    def of(u: Tensor, grid: Grid) -> Spline:
        """Return the spline of ``u``, ``[*shape]`` float64."""
        plain = load("scipy.ndimage", "scipy").spline_filter(u.cpu().numpy(), order=3, mode="mirror")
        return Spline(grid, torch.from_numpy(np.pad(plain, _PAD, mode="reflect")))

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return values ``[n]`` and gradients ``[n, d]`` at points ``[n, d]``; beyond the edge, those at the edge."""
        d = self.grid.dim
        size = torch.tensor(self.grid.shape, dtype=x.dtype)
        t = self.grid.to_index(x).clamp_min(-1.0).minimum(size)
        base = t.floor()
        weights, slopes = _weights(t - base)
        strides = torch.tensor(self.coefficients.stride())
        corner = ((base.long() + _PAD - 1) * strides).sum(1)
        steps = torch.cartesian_prod(*[torch.arange(4)] * d) @ strides
        near = self.coefficients.flatten()[corner[:, None] + steps].reshape(-1, *(4,) * d)
        value = _contract(near, [weights[:, k] for k in range(d)])
        gradient = [_contract(near, [(slopes if k == a else weights)[:, k] for k in range(d)]) for a in range(d)]
        return value, torch.stack(gradient, 1) / self.grid.h


def _contract(near: Tensor, weights: list[Tensor]) -> Tensor:
    """Sum over the 4^d cells with one weight an axis."""
    for w in reversed(weights):
        near = (near * w.reshape(w.shape[0], *(1,) * (near.ndim - 2), 4)).sum(-1)
    return near


def _weights(f: Tensor) -> tuple[Tensor, Tensor]:
    """The four cubic B-splines and their slopes at fractions ``[n, d]``, each ``[n, d, 4]``."""
    g = 1 - f
    value = torch.stack([g**3 / 6, (4 - 6 * f**2 + 3 * f**3) / 6, (4 - 6 * g**2 + 3 * g**3) / 6, f**3 / 6], -1)
    slope = torch.stack([-(g**2) / 2, -2 * f + 1.5 * f**2, 2 * g - 1.5 * g**2, f**2 / 2], -1)
    return value, slope
