"""The limit law V = -(1/rho) div(rho nu), and the law of a positive eps, solved for a level-set function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from maxslope._rows import column
from maxslope._status import Status
from maxslope.boundary.densities import Densities
from maxslope.boundary.distance import gone, measures, signed_distance, starts, vanished
from maxslope.boundary.grid import Grid
from maxslope.curve import Curve
from maxslope.energies import Energy, Evaluation
from maxslope.energies.base import plain
from maxslope.loop import Record, Steps, Stop, flow
from maxslope.schemes import Constant, Here, Memory, Scheme, StepSize
from maxslope.spaces import Lp, Space

_MOST = 2.0  # the mobility (a + b) / rho beyond which a step would be unstable: where rho nearly vanishes


@dataclass(frozen=True, eq=False)
class LimitLaw:
    r"""The normal velocity of the boundary of A = { u > 0 }, for sets of a grid in two or three dimensions.

    With nu the outer normal, kappa its divergence and K the Gauss curvature,

        eps = 0     V = -(1/rho) div(rho nu) = -kappa - d_nu log rho
        eps > 0     V = -(1/(eps rho)) [rho0(x + eps nu) J(eps) - rho0(x) + rho1(x) - rho1(x - eps nu) J(-eps)],
                    J(s) = 1 + s kappa in the plane, 1 + s kappa + s^2 K in space

    The second is the first variation of the nonlocal perimeter at boundaries of reach above eps, by the tube formula.
    It tends to the first with order eps, and with order eps^2 where rho0 = rho1.

    Args:
        grid: the cells.
        densities: rho0 and rho1 on them; rho is their sum, held above ``floor`` times its maximum where it divides.
        eps: the radius of the adversary, at least 0.
        floor: relative, positive.

    Raises:
        ValueError: if eps or the floor is out of range, or the densities are not on the grid.

    Source: arXiv:2404.14402 (the limit law); the law of a positive eps is derived on the page on boundaries.

    >>> grid = Grid((32, 32), (-1.0, -1.0), (1.0, 1.0))
    >>> half = torch.full((32, 32), 0.5, dtype=torch.float64)
    >>> u = 0.5 - grid.points().norm(dim=-1)
    >>> round(float(LimitLaw(grid, Densities(half, half)).velocity(u[None])[0, 16, 24]), 1)  # -1 / r at r = 0.53
    -1.9
    """

    grid: Grid
    densities: Densities
    eps: float = 0.0
    floor: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 <= self.eps < math.inf:
            raise ValueError(f"The radius eps is finite and not negative, got eps={self.eps!r}.")
        if not 0 < self.floor < 1:
            raise ValueError(f"The floor of the density is a share of its maximum in (0, 1), got {self.floor!r}.")
        if tuple(self.densities.rho0.shape) != tuple(self.grid.shape):
            raise ValueError(
                f"Densities live on the grid {tuple(self.grid.shape)}, got {tuple(self.densities.rho0.shape)}; make "
                "them with Densities.from_functions(grid, ...) or from_samples(grid, ...)."
            )

    def velocity(self, u: Tensor) -> Tensor:
        """Return V, outward, of the level set through every cell, ``[rows, *shape]``."""
        gradient, _ = derivatives(u, self.grid.h)
        return self.change(u) / _norm(gradient)

    def change(self, u: Tensor) -> Tensor:
        r"""Return du/dt = V \|grad u\|, ``[rows, *shape]``.

        Args:
            u: positive inside the sets, ``[rows, *shape]``.
        """
        gradient, hessian = derivatives(u, self.grid.h)
        rho = self.densities.rho
        rho = rho.clamp_min(self.floor * float(rho.max())).to(u)
        if not self.eps:
            drift = (slopes(rho.log()[None], self.grid.h) * gradient).sum(1)
            return _bending(gradient, hessian) + drift
        return self._nonlocal(gradient, hessian, rho)

    def _nonlocal(self, gradient: Tensor, hessian: Tensor, rho: Tensor) -> Tensor:
        size, eps = _norm(gradient), self.eps
        way = -eps * (gradient / size[:, None]).movedim(1, -1)
        points = self.grid.points().to(gradient)
        rho0, rho1 = self.densities.rho0.to(gradient), self.densities.rho1.to(gradient)
        ahead, behind = (self._sample(density, points + shift) for density, shift in ((rho0, way), (rho1, -way)))
        mobility = ((ahead + behind) / rho).clamp_max(_MOST)
        change = mobility * _bending(gradient, hessian) - size * (ahead - rho0 + rho1 - behind) / (eps * rho)
        if gradient.shape[1] == 3:
            change = change - size * _gauss(gradient, hessian) * eps * ((ahead - behind) / rho).clamp(-_MOST, _MOST)
        return change

    def _sample(self, density: Tensor, points: Tensor) -> Tensor:
        """The density at ``[rows, *shape, d]``, multilinear; beyond the edge as at the edge."""
        low, high = points.new_tensor(self.grid.low), points.new_tensor(self.grid.high)
        inside = (2 * (points - low) / (high - low) - 1).flip(-1)
        image = density.expand(points.shape[0], 1, *density.shape)
        found = torch.nn.functional.grid_sample(image, inside, padding_mode="border", align_corners=False)
        return found[:, 0]


class Measured(Energy):
    """What is measured on a boundary, the same for every row: values alone, so that the slope of a curve is NaN."""

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`; the gradient has size zero."""
        return self.look(x)

    def take(self, index: Tensor) -> Self:
        return self


@dataclass(frozen=True, eq=False)
class WeightedPerimeter(Measured):
    r"""The perimeter int rho dH^(d-1) of the boundary of { u > 0 }, what the limit law dissipates.

    Measured on the lines or triangles of :func:`contour` and :func:`surface`, to second order in h: the zero set of u
    alone counts. Beyond the outermost centers u goes on as there, to the edge. The goal is reached where the set or its
    complement has vanished.

    Args:
        grid: the cells.
        rho: the weight, ``[*shape]``.

    >>> grid = Grid((64, 64), -1, 1)
    >>> disk = 0.5 - grid.points().norm(dim=-1)
    >>> round(float(WeightedPerimeter(grid, torch.ones(64, 64)).look(disk[None]).value / torch.pi), 3)
    1.0
    """

    grid: Grid
    rho: Tensor

    def look(self, x: Tensor) -> Evaluation:
        return plain(x.new_tensor([self._of(row) for row in x]))._replace(reached=gone(x))

    def _of(self, u: Tensor) -> float:
        grid = self.grid
        around = (1, 1) * grid.dim  # a layer of cells outside, of which the inner half of a cell is in the box
        wide = Grid([n + 2 for n in grid.shape], [a - grid.h for a in grid.low], [b + grid.h for b in grid.high])
        field, rho = (pad(v.detach().double()[None, None], around, mode="replicate")[0, 0] for v in (u, self.rho))
        middle, size = measures(field, wide)
        index = wide.to_index(middle)
        outer = (index < 1) | (index > index.new_tensor(grid.shape))
        return float((wide.at(rho, middle) * size * 0.5 ** outer.sum(1)).sum())


@dataclass(frozen=True, eq=False)
class LevelSet(Scheme):
    r"""x+ = x + tau V \|grad x\|, an explicit step; every few steps a row becomes its distances ``anew``.

    At most 0.4 h^2 / d is stable. ``tell`` is called with the number of each step before it is made.
    """

    change: Callable[[Tensor], Tensor]
    anew: Callable[[Tensor], Tensor]
    tau: StepSize
    redistance: int = 10
    tell: Callable[[int], object] | None = None
    space: Space = Lp(math.inf)  # noqa: RUF009  # of distance functions: how far the boundary moved
    rate: float = math.inf

    def __post_init__(self) -> None:
        if self.redistance < 1:
            raise ValueError(f"At least one step lies between two redistancings, got redistance={self.redistance!r}.")

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; the steps made."""
        return (torch.zeros(x.shape[0], dtype=torch.int64, device=x.device),)

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        made = memory[0] + 1
        if self.tell is not None:
            self.tell(int(made.max()))
        x = here.x + column(here.tau, here.x) * self.change(here.x)
        due = (made % self.redistance == 0).tolist()
        return torch.stack([self.anew(u) if now else u for u, now in zip(x, due, strict=True)]), (made,)


def redistanced(u: Tensor, grid: Grid) -> Tensor:
    """The signed distance to the boundary of { u > 0 }; u itself where there is none."""
    return u if vanished(u) else signed_distance(u, grid).to(u)


def steps(until: float, grid: Grid) -> int:
    """Return how many explicit steps of 0.4 h^2 / d at most make the time."""
    if not 0 <= until < math.inf:
        raise ValueError(f"until is a finite time >= 0, got until={until!r}.")
    return max(math.ceil(until / (0.4 * grid.h**2 / grid.dim)), 1)


def ending(curve: Curve) -> Curve:
    """Return the curve with the status VANISHED where the goal of a perimeter was reached: no boundary is left."""
    return replace(curve, status=torch.where(curve.status == Status.REACHED, int(Status.VANISHED), curve.status))


def limit_flow(law: LimitLaw, u: Tensor, until: float, *, record: Record | None = None, redistance: int = 10) -> Curve:
    """Follow the limit law from the boundary of { u > 0 } by a level-set method, the reference for schemes of sets.

    Explicit Euler steps of 0.4 h^2 / d (the time divided evenly), second order in space: errors of order h^2.

    Args:
        law: which V; ``LimitLaw(grid, densities, eps)``.
        u: positive inside, ``[*shape]``, or ``[rows, *shape]`` for several.
        until: the time.
        record: which instants to keep; by default the first and the last.
        redistance: steps between two redistancings.

    Returns:
        A :class:`Curve` of level-set functions, signed distances at the end, with the weighted perimeter as energy. A
        row ends early, with status VANISHED, when its set or its complement has vanished.

    Raises:
        ValueError: if u is not on the grid or does not change its sign.

    Source: arXiv:2404.14402 (the law); level sets as by Osher and Sethian, J. Comput. Phys. 79 (1988).

    >>> grid = Grid((32, 32), (-1.0, -1.0), (1.0, 1.0))
    >>> half = torch.full((32, 32), 0.5, dtype=torch.float64)
    >>> disk = 0.6 - grid.points().norm(dim=-1)
    >>> curve = limit_flow(LimitLaw(grid, Densities(half, half)), disk, 0.1)
    >>> round(float(curve.energy[-1, 0] / (2 * torch.pi)), 1)  # the radius, sqrt(0.36 - 0.2)
    0.4
    """
    rows, count = starts(u, law.grid), steps(until, law.grid)
    anew = partial(redistanced, grid=law.grid)
    start = torch.stack([anew(row) for row in rows])
    scheme = LevelSet(law.change, anew, Constant(until / count), redistance)
    energy = WeightedPerimeter(law.grid, law.densities.rho)
    curve = flow(energy, start, scheme=scheme, until=Steps(count), stop=Stop(reached=True), record=record or Record(0))
    end = torch.stack([anew(row) for row in curve.end])
    return replace(ending(curve), points=torch.cat([curve.points[:-1], end[None]]))


def derivatives(u: Tensor, h: float) -> tuple[Tensor, Tensor]:
    """Gradient ``[rows, d, *shape]`` and Hessian ``[rows, d, d, *shape]`` by central differences."""
    gradient = slopes(u, h)
    hessian = u.new_empty(u.shape[0], u.ndim - 1, u.ndim - 1, *u.shape[1:])
    for i in range(u.ndim - 1):
        hessian[:, i, i] = (sum(_sides(u, i + 1)) - 2 * u) / h**2
        for j in range(i + 1, u.ndim - 1):
            hessian[:, i, j] = hessian[:, j, i] = _central(gradient[:, i], h, j + 1)
    return gradient, hessian


def slopes(u: Tensor, h: float) -> Tensor:
    """Gradient ``[rows, d, *shape]`` by central differences, a cell at the edge being its own neighbor."""
    return torch.stack([_central(u, h, axis) for axis in range(1, u.ndim)], 1)


def _sides(u: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The neighbors before and after along an axis; a cell at the edge is its own neighbor (Neumann)."""
    n = u.shape[axis]
    first, last = u.narrow(axis, 0, 1), u.narrow(axis, n - 1, 1)
    return torch.cat([first, u.narrow(axis, 0, n - 1)], axis), torch.cat([u.narrow(axis, 1, n - 1), last], axis)


def _central(u: Tensor, h: float, axis: int) -> Tensor:
    before, after = _sides(u, axis)
    return (after - before) / (2 * h)


def _norm(gradient: Tensor) -> Tensor:
    """The length of the gradient, kept off zero, ``[rows, *shape]``."""
    return (gradient.square().sum(1) + 1e-12).sqrt()


def _bending(gradient: Tensor, hessian: Tensor) -> Tensor:
    """The gradient's length times its unit field's divergence, -kappa |grad u|."""
    trace = hessian.diagonal(dim1=1, dim2=2).sum(-1)
    along = torch.einsum("ri...,rij...,rj...->r...", gradient, hessian, gradient)
    return trace - along / _norm(gradient).square()


def _gauss(gradient: Tensor, hessian: Tensor) -> Tensor:
    """The Gauss curvature in space, <g, adj(H) g> / |g|^4."""
    a, b, c = hessian[:, 0], hessian[:, 1], hessian[:, 2]
    cofactors = torch.stack(
        [torch.linalg.cross(b, c, dim=1), torch.linalg.cross(c, a, dim=1), torch.linalg.cross(a, b, dim=1)], 1
    )
    total = torch.einsum("ri...,rij...,rj...->r...", gradient, cofactors, gradient)
    return total / _norm(gradient) ** 4
