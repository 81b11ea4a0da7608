"""Flows known in closed form. Each function returns the points at time ``t`` of the curves that start at ``x``."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor

from maxslope._rows import column, flat
from maxslope.sets import Box
from maxslope.spaces import Lp, Space

_ZERO = 1e-13  # of |A| |x|: what may be left of (A x)_i = 0, after thousands of roundings
_ROUNDING = 1e-12  # likewise of velocities, which are at most 1


def linear(c: Tensor, x: Tensor, t: float, space: Space, box: Box | None = None) -> Tensor:
    """E = <c, x>: u(t) = x + t v(c); in a box with the l_inf norm each coordinate stops at its face.

    Args:
        c: ``[rows, *shape]`` or ``[1, *shape]``.
        x: ``[rows, *shape]``.
        t: not negative.
        space: the norm of the motion.
        box: only for the l_inf norm, where coordinates do not see each other.

    Raises:
        ValueError: if a box is given with another norm.

    >>> linear(torch.ones(1, 2), torch.zeros(1, 2), 0.5, Lp(math.inf))
    tensor([[-0.5000, -0.5000]])
    """
    if box is not None and space != Lp(math.inf):
        raise ValueError(
            f"In a box this flow is known in closed form for Lp(inf) alone, got {space!r}; leave out the box."
        )
    end = x + t * space.steepest(c.expand_as(x))
    return end if box is None else box.project(end)


def sliding(x: Tensor, t: float) -> Tensor:
    """E = sum a_i x_i^2 / 2 with a_i > 0, l_inf: u_i(t) = sign(x_i) (|x_i| - t)^+, whatever the a_i.

    >>> sliding(torch.tensor([[1.0, -0.25]]), 0.5)
    tensor([[0.5000, -0.0000]])
    """
    return x.sign() * (x.abs() - t).clamp_min(0)


def euclidean_bowl(x: Tensor, t: float) -> Tensor:
    """E = |x|^2 / 2, l_2: u(t) = x (1 - t / |x|)^+.

    >>> euclidean_bowl(torch.tensor([[3.0, 4.0]]), 2.5)
    tensor([[1.5000, 2.0000]])
    """
    size = Lp(2).norm(x)
    return column((1 - t / torch.where(size > 0, size, 1.0)).clamp_min(0), x) * x


def water_filling(x: Tensor, t: float) -> Tensor:
    """E = |x|^2 / 2, l_1: u_i(t) = sign(x_i) min(|x_i|, lam) with sum_i (|x_i| - lam)^+ = t.

    The largest coordinates fall together. lam is exact: sorted sizes, and the one segment where the sum meets t.

    >>> water_filling(torch.tensor([[3.0, 2.0, 1.0]]), 2.0)
    tensor([[1.5000, 1.5000, 1.0000]])
    """
    size = flat(x).abs()
    order = size.sort(dim=1, descending=True).values
    k = torch.arange(1, order.shape[1] + 1, device=x.device)
    level = (order.cumsum(1) - t) / k  # lam if exactly the k largest are above it
    count = (level < order).sum(1).clamp_min(1)
    lam = level.gather(1, count[:, None] - 1).clamp_min(0)
    return (flat(x).sign() * torch.minimum(size, lam)).reshape(x.shape)


def rated_bowl(x: Tensor, t: float, rate: float) -> Tensor:
    """E = |x|^2 / 2, l_2, rate p: |u|' = -|u|^(q-1), so |u|^(2-q) = |x|^(2-q) - (2-q) t; for p = 2, u = x e^-t.

    For p > 2 the curve arrives at 0 in finite time and stays.

    >>> rated_bowl(torch.tensor([[1.0, 0.0]]), math.log(2.0), 2.0)
    tensor([[0.5000, 0.0000]])
    """
    if math.isinf(rate):
        return euclidean_bowl(x, t)
    if rate == 2:
        return x * math.exp(-t)
    power = 2 - rate / (rate - 1)
    size = Lp(2).norm(x)
    start = torch.where(size > 0, size, 1.0)
    now = (start**power - power * t).clamp_min(0) ** (1 / power)
    return column(torch.where(size > 0, now / start, 0.0), x) * x


def concave(x: Tensor, t: float, leave: float = math.inf, direction: float = 1.0) -> Tensor:
    """E = -x^2 / 2 per coordinate, l_inf: away from 0, and from 0 in either direction at any time: not unique.

    Args:
        x: ``[rows, *shape]``.
        t: not negative.
        leave: when a coordinate at 0 leaves; inf is the selection v(0) = 0 of the schemes of this project.
        direction: of those that leave, -1 or 1.

    >>> concave(torch.tensor([[0.0, -1.0]]), 1.0), concave(torch.zeros(1, 1), 1.0, leave=0.25)
    (tensor([[ 0., -2.]]), tensor([[0.7500]]))
    """
    return torch.where(x == 0, direction * max(t - leave, 0.0), x + t * x.sign())


def piecewise_linear(matrix: Tensor, x: Tensor, t: float) -> Tensor:
    """E = <x, A x> / 2, A positive definite, l_inf: straight pieces, with sliding along { (A x)_i = 0 }.

    On a piece the velocity is constant: -sign((A x)_i) off the sliding set S, A_SS v_S = -A_SI v_I on it. A piece ends
    where (A x)_i meets 0; a new velocity is the one choice of active bounds, out of all 3^|Z| for the coordinates Z
    with (A x)_i = 0, for which v_i in (-1, 1) keeps (A x)_i at 0 and v_i = 1 or -1 sends it to the side of -v_i.

    Args:
        matrix: ``[d, d]``.
        x: ``[rows, d]``.
        t: not negative.

    >>> A = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    >>> piecewise_linear(A, torch.tensor([[1.0, 0.0]], dtype=torch.float64), 0.5)
    tensor([[ 0.5000, -0.2500]], dtype=torch.float64)
    """
    A = matrix.double().numpy()
    ends = [_follow(A, row, t) for row in x.double().numpy()]
    return torch.from_numpy(np.stack(ends)).to(x)


def _follow(A: np.ndarray, x: np.ndarray, left: float) -> np.ndarray:
    x = x.copy()
    scale = np.abs(A).sum() * max(np.abs(x).max(), 1e-300)
    for _ in range(1000):
        g = A @ x
        v = _velocity(A, g, np.abs(g) <= _ZERO * scale)
        rate = A @ v
        closing = (np.abs(g) > _ZERO * scale) & (g * rate < 0)
        times = np.where(closing, -g / np.where(rate == 0, 1, rate), np.inf)
        step = min(left, times.min())
        x += step * v
        left -= step
        if left <= 0 or not v.any():
            break
    return x


def _velocity(A: np.ndarray, g: np.ndarray, zero: np.ndarray) -> np.ndarray:
    v = np.where(zero, 0.0, -np.sign(g))
    Z = np.flatnonzero(zero)
    for face in itertools.product((0, -1, 1), repeat=len(Z)):
        held = np.array(face, dtype=int)
        v[Z] = held
        S = Z[held == 0]
        if len(S):
            v[S] = 0.0
            v[S] = np.linalg.solve(A[np.ix_(S, S)], -(A @ v)[S])
        turned = (A @ v)[Z]
        if np.abs(v).max(initial=0.0) <= 1 + _ROUNDING and bool((held * turned <= _ROUNDING).all()):
            return v
    raise ValueError("piecewise_linear needs a positive definite matrix; this one admits no velocity at some point.")
