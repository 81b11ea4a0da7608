"""Clouds of labeled points, and exact transport distances between them: labels never move."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from maxslope._optional import optional
from maxslope.curve import Curve
from maxslope.spaces import Space


@dataclass(frozen=True, eq=False)
class Cloud:
    """The measure (1/n) sum_i delta_(x_i, y_i). Points move, labels and mass never do.

    Args:
        points: ``[n, *shape]``.
        labels: ``[n]``.

    Raises:
        ValueError: if the numbers of points and labels differ.

    >>> import torch
    >>> Cloud(torch.zeros(3, 2), torch.tensor([0, 1, 1])).row.shape
    torch.Size([1, 3, 2])
    """

    points: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.points.ndim < 2 or self.labels.shape != self.points.shape[:1]:
            raise ValueError(
                f"A cloud has points [n, *shape] and one label each, got shapes {tuple(self.points.shape)} and "
                f"{tuple(self.labels.shape)}."
            )

    @property
    def row(self) -> Tensor:
        """The cloud as one row of the house, ``[1, n, *shape]``."""
        return self.points[None]

    def moved(self, points: Tensor) -> Cloud:
        """Return the cloud whose i-th point is now ``points[i]``."""
        return Cloud(points, self.labels)


def clouds(curve: Curve, labels: Tensor) -> list[Cloud]:
    """Return the clouds at the instants of a curve of one row."""
    return [Cloud(points[0], labels) for points in curve.points]


def particle_speeds(curve: Curve, space: Space) -> Tensor:
    """Return the speeds of the particle curves that represent a curve of clouds, ``[K, n]``.

    The metric speed of the cloud is their L^r mean: a curve of measures is carried by curves of particles.

    Source: arXiv:2406.05376 (representation by a measure on curves; Lisini's theorem).
    """
    return speeds(curve.points[:, 0], curve.time[:, :1], space)


def speeds(points: Tensor, times: Tensor, space: Space) -> Tensor:
    """Return the speeds ``[K, n]`` of curves through ``points``, ``[K+1, n, *shape]``, at ``times``, ``[K+1, 1]``."""
    way = points.diff(dim=0)
    return space.norm(way.flatten(0, 1)).reshape(way.shape[:2]).to(times) / times.diff(dim=0)


def distance(a: Cloud, b: Cloud, r: float, space: Space) -> float:
    """Return W_r(a, b) with the cost |x - x'| if y = y' and +inf otherwise.

    Labels split the problem: each class is an assignment problem of its own, solved exactly (network simplex of POT
    for r < inf; for r = inf the least threshold that admits a perfect matching, by bisection over all distances).

    Args:
        a: a cloud of n points.
        b: another one of n points.
        r: in [1, inf].
        space: the norm of one particle's displacement.

    Returns:
        The distance; inf where the classes differ in size.

    Raises:
        ValueError: if the clouds differ in size, or r is below 1.
        ImportError: if POT (r < inf) or scipy (r = inf) is not installed.

    Source: Villani, Optimal Transport (2009), chapter 6; Flamary et al., POT (JMLR 2021).

    >>> import torch
    >>> from maxslope import Lp
    >>> one = Cloud(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 0]))
    >>> two = Cloud(torch.tensor([[1.5], [0.5]]), torch.tensor([0, 0]))
    >>> distance(one, two, 1, Lp(2))
    0.5
    """
    if a.points.shape != b.points.shape:
        raise ValueError(f"Clouds of equal size are compared, got {tuple(a.points.shape)} and {tuple(b.points.shape)}.")
    if not r >= 1:
        raise ValueError(f"W_r is a distance for r in [1, inf], got r={r!r}.")
    moved: list[np.ndarray] = []
    for _, here, there in by_label(a, b):
        if len(here) != len(there):
            return math.inf
        cost = distances(a.points[here], b.points[there], space)
        moved.append(np.take_along_axis(cost, optimal_assignment(cost, r)[:, None], 1))
    ways = np.concatenate(moved)
    top = float(ways.max())
    return top if math.isinf(r) or top == 0 else top * float(((ways / top) ** r).mean()) ** (1 / r)


def by_label(a: Cloud, b: Cloud) -> Iterator[tuple[Any, Tensor, Tensor]]:
    """Yield each label, and the particles of it in both clouds, as indices."""
    for label in sorted({*a.labels.tolist(), *b.labels.tolist()}):
        here, there = ((cloud.labels == label).nonzero().squeeze(1) for cloud in (a, b))
        yield label, here, there


def distances(x: Tensor, z: Tensor, space: Space) -> np.ndarray:
    """Return the distance of each point of ``x`` from each of ``z``, ``[n, m]`` float64."""
    pairs = space.norm((z[None] - x[:, None]).flatten(0, 1)).reshape(x.shape[0], z.shape[0])
    return np.asarray(pairs.detach().double().cpu().numpy())


def optimal_assignment(cost: np.ndarray, r: float) -> np.ndarray:
    """Return where each of n goes for the least sum of cost^r; for r = inf of least maximum, then least squares."""
    if math.isinf(r):
        return _narrowest(cost)
    with optional("Exact transport distances need POT", "[transport]"):
        import ot
    n, top = len(cost), max(float(cost.max()), 1e-300)
    weight = np.full(n, 1.0 / n)
    return np.asarray(ot.emd(weight, weight, (cost / top) ** r, numItermax=10_000_000).argmax(1))


def _narrowest(cost: np.ndarray) -> np.ndarray:
    """A perfect matching within the least threshold that admits one; of these one of least squares."""
    with optional("The distance W_inf needs scipy", "[transport]"):
        from scipy.optimize import linear_sum_assignment
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_bipartite_matching
    levels = np.unique(cost)
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        matched = maximum_bipartite_matching(csr_array(cost <= levels[middle]), perm_type="column")
        low, high = (low, middle) if bool((matched >= 0).all()) else (middle + 1, high)
    level = float(levels[low])
    forbidden = 2.0 * len(cost) + 2  # more than all the others together
    squares = (cost / max(level, 1e-300)).clip(max=1.0) ** 2
    return np.asarray(linear_sum_assignment(np.where(cost <= level, squares, forbidden))[1])
