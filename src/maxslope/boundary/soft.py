"""Soft solvers: log-sum-exp in place of the supremum over balls, and an accelerated gradient method."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.boundary._optional import load
from maxslope.boundary.grid import Grid, shares
from maxslope.boundary.solver import Solution, Solver, Step, check_step
from maxslope.boundary.window import Offset, Window, directions, lines, mean_width, spiral
from maxslope.spaces import Lp

_MOST = 2000  # iterations; 15 to 55 are usual
_LARGEST = 600.0  # exponents beyond which exp overflows, with a margin
_CHUNK = 1024  # cells whose tables fit into the cache of a CPU


class Cells:
    """Some cells of a grid in one list; ``reach`` is the largest coordinate of an offset that will be asked for."""

    def __init__(self, mask: Tensor, reach: int) -> None:
        self.size = int(mask.sum())
        padded = torch.nn.functional.pad(mask, (reach, reach) * mask.ndim)
        self.where = padded.flatten().nonzero()[:, 0]
        self.number = torch.full((padded.numel(),), self.size, device=mask.device)
        self.number[self.where] = torch.arange(self.size, device=mask.device)
        self.strides = padded.stride()

    def neighbors(self, offset: Offset) -> Tensor:
        """Return the numbers of the cells at ``offset`` from each, ``[size]``; the size itself where absent."""
        return self.number[self.where + sum(o * s for o, s in zip(offset, self.strides, strict=True))]


class LatticeVariation:
    """The first variation of  sum_i a_i (LSE u - u)_i + b_i (u - LSEmin u)_i  on a band, over the lattice ball.

    LSE u = (1/beta) log sum_o exp(beta u(. + o)) and LSEmin u = -LSE(-u). With e = exp(beta u), S = W * e and
    S' = W * (1/e) it is e (W * (a/S)) - a + b - (W * (b/S')) / e, by running sums along lines.
    """

    def __init__(self, cells: Cells, window: Window, beta: float, weights: Tensor) -> None:
        self.beta, self.weights = beta, weights
        ends = lines(window.offsets)
        home = (0,) * (window.dim - 1)
        self.along = [
            (cells.neighbors((*home, k)), cells.neighbors((*home, -k))) for k in range(1, max(ends.values()) + 1)
        ]
        self.lines = [(None if o == home else cells.neighbors((*o, 0)), end) for o, end in ends.items()]

    def total(self, v: Tensor) -> Tensor:
        """Return the sums of ``v``, ``[k, size]``, over the window of every cell."""
        nothing = v.new_zeros(v.shape[0], 1)
        runs, padded = [v], torch.cat([v, nothing], 1)
        for after, before in self.along:
            runs.append(runs[-1] + padded.index_select(1, after) + padded.index_select(1, before))
        spare = [torch.cat([run, nothing], 1) for run in runs]
        out = torch.zeros_like(v)
        for index, end in self.lines:
            out = out + (runs[end] if index is None else spare[end].index_select(1, index))
        return out

    def at(self, u: Tensor) -> Tensor:
        """Return the gradient at ``u``, ``[size]``; wrong within two reaches of where the band ends inside the grid."""
        e = (self.beta * u).exp()
        both = torch.stack([e, 1 / e])
        pull = both * self.total(self.weights / self.total(both)) - self.weights
        return pull[0] - pull[1]


class SphereVariation:
    """The same over points of the continuous ball, where u is interpolated linearly between cells."""

    def __init__(self, cells: Cells, points: Tensor, beta: float, weights: Tensor) -> None:
        self.beta, self.weights = beta, weights
        offsets, stencil = stencils(points)
        self.index = torch.stack([cells.neighbors(o) for o in offsets], 1)
        self.stencil = stencil.to(weights)
        absent = (self.index == cells.size).to(weights) @ (self.stencil > 0).to(weights)
        self.present = (absent == 0).to(weights)

    def at(self, u: Tensor) -> Tensor:
        """Return the gradient at ``u``; on a CPU a thousand cells at a time, so that their tables stay in the cache."""
        chunk = _CHUNK if u.device.type == "cpu" else max(u.shape[0], 1)
        spare, out = torch.cat([u, u.new_zeros(1)]), u.new_zeros(u.shape[0] + 1)
        tables = zip(*(torch.split(t, chunk) for t in (self.index, self.present, self.weights.T)), strict=True)
        for index, present, weights in tables:
            e = (self.beta * (spare[index] @ self.stencil)).exp()
            up, down = e * present, present / e
            pull = (weights[:, :1] / up.sum(1, keepdim=True)) * up
            pull -= (weights[:, 1:] / down.sum(1, keepdim=True)) * down
            out.index_add_(0, index.flatten(), (pull @ self.stencil.T).flatten())
        gradient: Tensor = out[:-1] - self.weights[0] + self.weights[1]
        return gradient


Variation = LatticeVariation | SphereVariation


def stencils(points: Tensor) -> tuple[list[Offset], Tensor]:
    """Return lattice offsets and the weights ``[offsets, points]`` of multilinear interpolation at ``points``."""
    cells, weights = shares(points.round(decimals=9))
    corner, point = (weights > 1e-8).nonzero(as_tuple=True)
    offsets, row = cells[corner, point].unique(dim=0, return_inverse=True)  # type: ignore[no-untyped-call]
    table = torch.zeros(len(offsets), len(points), dtype=torch.float64)
    table[row, point] = weights[corner, point]
    return [tuple(o) for o in offsets.tolist()], table


def sphere_points(radius: float, count: int, space: Lp, dim: int) -> Tensor:
    """Return the center, ``count`` points of the sphere of a norm and as many of half the radius, ``[n, dim]``.

    The points come in opposite pairs, so that infima are suprema of the complement.
    """
    if dim == 2:
        angle = 2 * math.pi * torch.arange(count, dtype=torch.float64) / count
        nu = torch.stack([angle.cos(), angle.sin()], 1)
    else:
        upper = spiral((torch.arange(count // 2, dtype=torch.float64) + 0.5) / (count // 2))
        nu = torch.cat([upper, -upper])
    outer = radius * nu / space.norm(nu)[:, None]
    return torch.cat([torch.zeros(1, dim, dtype=torch.float64), outer, outer / 2])


def gibbs_width(points: Tensor, sharpness: float, space: Lp) -> float:
    """Return what a soft perimeter of functions with |grad u| = 1 is to be divided by, in cells.

    m / h = mean_nu <o, nu>_b / mean_nu |nu|_*, <.>_b the mean under weights exp(b <o, nu>): the first variation of LSE.
    """
    nu = directions(points.shape[1])
    thickness = nu @ points.T
    mean = (thickness * (sharpness * thickness).softmax(1)).sum(1).mean()
    return float(mean) / mean_width(space, points.shape[1])


class _Smooth(Solver):
    """What the two soft solvers share: bands, the calibration, the iteration.

    u <- y - (1/L) [(y - g) + (tau / rho) grad TV(y)],  L = 1 + (2 tau beta / m) sqrt(max local ratio of rho),
    with Nesterov's momentum (1 - q) / (1 + q), q = L^(-1/2), until max |du| < tolerance h / sqrt(L).
    """

    radius: float
    sharpness: float
    space: Lp
    tolerance: float

    def __post_init__(self) -> None:
        if not 0 < self.sharpness < math.inf or not 0 < self.tolerance < math.inf:
            raise ValueError(
                f"Sharpness and tolerance are positive and finite, got sharpness={self.sharpness!r} and "
                f"tolerance={self.tolerance!r}."
            )
        Window(self.radius, self.space, 2)  # checks the radius

    @abstractmethod
    def _points(self, dim: int) -> Tensor:
        """The points of the ball, in cells."""

    @abstractmethod
    def _variation(self, cells: Cells, dim: int, beta: float, weights: Tensor) -> Variation:
        """The first variation on a band."""

    def eps(self, grid: Grid) -> float:
        """See :class:`Solver`; the calibrated m, less than R h."""
        return gibbs_width(self._points(grid.dim), self.sharpness, self.space) * grid.h

    def width(self, grid: Grid, tau: float) -> float:
        """See :class:`Solver`; levels are not independent as for cuts, so the band is wider."""
        return max(4.5 * math.sqrt(tau), (self.radius + 2) * grid.h)

    def solve(self, step: Step) -> Solution:
        grid, densities, g, tau = check_step(step)
        beta, m, band = self.sharpness / grid.h, self.eps(grid), self.width(grid, tau)
        reach = math.ceil(float(self._points(grid.dim).abs().max()) - 1e-9)
        size = band + 2 * (reach + 1) * math.sqrt(grid.dim) * grid.h
        if beta * size > _LARGEST:
            raise ValueError(
                f"The time step is too long for the grid: it moves levels {band / grid.h:.0f} cells away, and exp "
                f"overflows; got tau={tau!r} with h={grid.h!r}. Take tau below {(_LARGEST / beta / 9) ** 2:.2g}."
            )
        mask = g.abs() < size
        if not bool((g.abs() < band).any()):
            return Solution(g, True, 0)
        cells = Cells(mask, reach)
        weights = torch.stack([densities.rho0[mask], densities.rho1[mask]]) / m
        variation = self._variation(cells, grid.dim, beta, weights)
        rho = densities.rho
        ratio = float((Window(max(self.radius, 1.0), self.space, grid.dim).maximum(rho) / rho)[mask].max())
        lipschitz = 1 + 2 * tau * beta / m * math.sqrt(ratio)
        limit = self.tolerance * grid.h / math.sqrt(lipschitz)
        start = g[mask]
        found = _descend(variation, start, start.abs() < band, tau / rho[mask], lipschitz, limit)
        return found._replace(u=g.masked_scatter(mask, found.u))


@dataclass(frozen=True)
class Soft(_Smooth):
    """The default: soft suprema over the lattice ball. Fast, and round although the lattice is not (to 0.5 %).

    LSE is submodular on the lattice, so that the comparison principle holds exactly.

    Args:
        radius: R in cells.
        sharpness: b = beta h; larger is closer to the supremum and less round.
        space: the adversary's norm.
        tolerance: of the iteration, in cells over sqrt(L).

    Raises:
        ValueError: if the radius is below 1, or sharpness or tolerance are not positive and finite.

    Source: arXiv:2404.14402 (the scheme); the smoothing and its calibration are derived on the page on boundaries.

    >>> round(Soft().eps(Grid((64, 64), -1, 1)) * 32, 2)  # in cells
    1.78
    """

    radius: float = 2.3
    sharpness: float = 2.0
    space: Lp = Lp(2)  # noqa: RUF009  # frozen
    tolerance: float = 5e-4

    @staticmethod
    def reaching(eps: float, grid: Grid, space: Lp | None = None) -> Soft:
        """Return the solver whose adversary has radius ``eps`` on this grid, R and b to match.

        Raises:
            ValueError: if eps is less than 1.2 h.

        >>> grid = Grid((64, 64), -1, 1)
        >>> round(Soft.reaching(0.1, grid).eps(grid), 6)
        0.1
        """
        cells, norm = eps / grid.h, space or Lp(2)
        if not 1.2 <= cells < math.inf:
            raise ValueError(f"An adversary on a grid reaches at least 1.2 cells, got eps={eps!r} with h={grid.h!r}.")
        square = math.ceil((cells / 0.8) ** 2)
        # A soft supremum reaches less far than the ball, and a small ball less far than its radius.
        while Window(math.sqrt(square), norm, grid.dim).scale < 1.05 * cells:
            square += 1
        radius = math.sqrt(square)

        def excess(log: float) -> float:
            return Soft(radius, math.exp(log), norm).eps(grid) / eps - 1

        return Soft(radius, math.exp(load("scipy.optimize", "scipy").brentq(excess, -5, 4)), norm)

    def _points(self, dim: int) -> Tensor:
        return torch.tensor(sorted(Window(self.radius, self.space, dim).offsets), dtype=torch.float64)

    def _variation(self, cells: Cells, dim: int, beta: float, weights: Tensor) -> Variation:
        return LatticeVariation(cells, Window(self.radius, self.space, dim), beta, weights)


@dataclass(frozen=True)
class Isotropic(_Smooth):
    """Soft suprema over points of the sphere, of half its radius and the center, interpolated between cells.

    Round to 0.1 % from R = 1.5 on and for any norm, at 6 to 9 times the cost of :class:`Soft`; the comparison
    principle is not guaranteed.

    Args:
        radius: R in cells.
        sharpness: b = beta h.
        space: the adversary's norm.
        points: on each of the two spheres, even; by default 24 in the plane and 72 in space.
        tolerance: of the iteration, in cells over sqrt(L).

    Raises:
        ValueError: if the radius is below 1, there are fewer than 4 points or an odd number, or sharpness or tolerance
            are not positive and finite.

    Source: arXiv:2404.14402 (the scheme); the points are chosen on the page on boundaries.

    >>> Isotropic().eps(Grid((64, 64), -1, 1)) * 32 < 2
    True
    """

    radius: float = 2.0
    sharpness: float = 4.0
    space: Lp = Lp(2)  # noqa: RUF009  # frozen
    points: int | None = None
    tolerance: float = 5e-4

    def __post_init__(self) -> None:
        _Smooth.__post_init__(self)
        if self.points is not None and (self.points < 4 or self.points % 2):
            raise ValueError(f"The points of a sphere come in at least 2 opposite pairs, got points={self.points!r}.")

    def _points(self, dim: int) -> Tensor:
        count = self.points or {2: 24, 3: 72}[dim]
        return sphere_points(self.radius, count, self.space, dim)

    def _variation(self, cells: Cells, dim: int, beta: float, weights: Tensor) -> Variation:
        return SphereVariation(cells, self._points(dim), beta, weights)


def _descend(variation: Variation, g: Tensor, free: Tensor, pace: Tensor, lipschitz: float, limit: float) -> Solution:
    """Minimize; cells that are not free keep g."""
    q = lipschitz**-0.5
    momentum = (1 - q) / (1 + q)
    u = y = g
    for count in range(1, _MOST + 1):
        new = torch.where(free, y - ((y - g) + pace * variation.at(y)) / lipschitz, g)
        change = new - u
        u, y = new, new + momentum * change
        if float(change.abs().max()) < limit:
            return Solution(u, True, count)
    return Solution(u, False, _MOST)
