"""Soft suprema (log-sum-exp) over balls, on the cells of a band."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maxslope.boundary.grid import shares
from maxslope.boundary.window import Offset, Window, directions, lines, mean_width, spiral
from maxslope.spaces import Lp

_CHUNK = 1024


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
