"""Cubic splines of functions on a grid: values and gradients anywhere."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maxslope.boundary._optional import load
from maxslope.boundary.grid import Grid

_PAD = 3


@dataclass(frozen=True, eq=False)
class Spline:
    """The interpolating cubic spline of a function on a grid, mirrored at the outermost centers.

    Args:
        grid: where.
        coefficients: of B-splines, ``[*shape]`` padded by 3 cells a side.

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
        steps = torch.tensor(
            [
                sum(o * int(s) for o, s in zip(off, strides, strict=True))
                for off in itertools.product(range(4), repeat=d)
            ]
        )
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
