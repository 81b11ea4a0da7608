"""Exact minimizers over boxes of the models that Newton's method trusts: a quadratic, the larger of two planes."""

from __future__ import annotations

import itertools
from functools import cache

import torch
from torch import Tensor


def minimize_model(g: Tensor, H: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
    """Return the global minimizer of <g, s> + <s, H s> / 2 over lo <= s <= hi, for any symmetric H.

    Some minimizer lies in the relative interior of a face on which H is positive definite, or at a vertex: all 3^d
    faces of all rows are tried, those of one dimension in one batch of linear systems.

    Args:
        g: ``[rows, d]``.
        H: ``[rows, d, d]``.
        lo: at most 0, ``[rows, d]``.
        hi: at least 0, ``[rows, d]``.

    >>> minimize_model(torch.ones(1, 1), torch.full((1, 1, 1), 4.0), -torch.ones(1, 1), torch.ones(1, 1))
    tensor([[-0.2500]])
    """
    best, least = torch.zeros_like(g), torch.zeros_like(g[:, 0])
    row = torch.arange(g.shape[0], device=g.device)
    for held, free in _faces(g.shape[1]):
        at = held.to(g.device)  # [faces, d]
        s = torch.where(at < 0, lo[:, None], torch.where(at > 0, hi[:, None], 0.0))
        if free.shape[1]:
            s = _stationary(g, H, s, free.to(g.device).long())
        inside = ((s >= lo[:, None]) & (s <= hi[:, None])).all(2)
        value = ((g[:, None] + (s @ H) / 2) * s).sum(2)
        value, which = torch.where(inside, value, torch.inf).min(1)
        better = value < least
        best = torch.where(better[:, None], s[row, which], best)
        least = torch.where(better, value, least)
    return best


@cache
def _faces(d: int) -> list[tuple[Tensor, Tensor]]:
    """Faces of the cube by dimension k: bounds held, ``[faces, d]`` in -1, 0, 1, and what is free, ``[faces, k]``."""
    groups: dict[int, list[tuple[int, ...]]] = {}
    for face in itertools.product((-1, 0, 1), repeat=d):
        groups.setdefault(face.count(0), []).append(face)
    return [
        (
            torch.tensor(faces),
            torch.tensor([[i for i in range(d) if not face[i]] for face in faces]).reshape(len(faces), k),
        )
        for k, faces in sorted(groups.items())
    ]


def _stationary(g: Tensor, H: Tensor, s: Tensor, free: Tensor) -> Tensor:
    """Fill in the free coordinates of every face, ``[rows, faces, d]``; NaN where its system is singular."""
    rows, (faces, k) = g.shape[0], free.shape
    index = free.expand(rows, faces, k)
    rhs = -(g[:, None] + s @ H).gather(2, index)
    if k == 1:
        diagonal = H.diagonal(dim1=1, dim2=2)[:, free[:, 0]]
        solution = rhs / torch.where(diagonal == 0, torch.nan, diagonal)[:, :, None]
    else:
        systems = H[:, free[:, :, None], free[:, None, :]]
        solution, info = torch.linalg.solve_ex(systems, rhs[:, :, :, None])
        solution = torch.where((info == 0)[:, :, None], solution.squeeze(3), torch.nan)
    return s.scatter(2, index, solution)


def minimize_planes(a: Tensor, b: Tensor, ahead: Tensor, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
    """Return argmin max { <a, s>, <b, s> - ahead } over lo <= s <= hi, and which coordinate balances the planes.

    With some weight w the point minimizes the linear form w a + (1 - w) b. Either w is 0 or 1, or the two planes meet
    at the point and one coordinate of the form vanishes: its value there makes them meet. So d + 2 points are tried.

    Args:
        a: ``[rows, d]``.
        b: ``[rows, d]``.
        ahead: by how much the second plane is lower at 0, ``[rows]``.
        lo: at most 0, ``[rows, d]``.
        hi: at least 0, ``[rows, d]``.

    Returns:
        The points ``[rows, d]``, and ``[rows, d]`` with a 1 at the balancing coordinate, all 0 at a vertex.

    >>> a, b, one = torch.tensor([[1.0, 1.0]]), torch.tensor([[-1.0, 0.5]]), torch.ones(1, 2)
    >>> minimize_planes(a, b, torch.tensor([1.0]), -one, one)
    (tensor([[-0.2500, -1.0000]]), tensor([[1., 0.]]))
    """
    rows, d = a.shape
    gap = a - b
    forms = mixtures(a, b)  # [rows, d + 2, d]
    s = torch.where(forms > 0, lo[:, None], torch.where(forms < 0, hi[:, None], 0.0))
    free = torch.cat([torch.eye(d, dtype=a.dtype, device=a.device), a.new_zeros(2, d)])
    rest = (s * gap[:, None] * (1 - free)).sum(2)
    balance = -(rest + ahead[:, None])[:, :d] / torch.where(gap == 0, torch.nan, gap)
    s[:, :d] = torch.where(free[:d] > 0, balance[:, :, None], s[:, :d])
    inside = ((s >= lo[:, None]) & (s <= hi[:, None])).all(2)
    level = torch.maximum((s * a[:, None]).sum(2), (s * b[:, None]).sum(2) - ahead[:, None])
    which = torch.where(inside, level, torch.inf).argmin(1)
    row = torch.arange(rows, device=a.device)
    return s[row, which], free[which]


def mixtures(a: Tensor, b: Tensor) -> Tensor:
    """The forms w a + (1 - w) b, 0 <= w <= 1, with a vanishing coordinate, then b and a: ``[rows, d + 2, d]``.

    A convex, piecewise linear function of w whose pieces depend on the signs of the form is least at one of them.
    """
    gap = a - b
    w = torch.where(gap == 0, 0.0, -b / gap).clamp(0, 1)[:, :, None]
    mixed = w * a[:, None] + (1 - w) * b[:, None]
    crosses = (a * b < 0)[:, :, None]  # there the coordinate vanishes but for rounding
    own = torch.eye(a.shape[1], dtype=torch.bool, device=a.device)
    mixed = torch.where(own & crosses, 0.0, mixed)
    return torch.cat([mixed, b[:, None], a[:, None]], 1)
