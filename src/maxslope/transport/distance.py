"""Exact transport distances between clouds whose labels never move."""

from __future__ import annotations

import math

import numpy as np

from maxslope._optional import optional
from maxslope.spaces import Space
from maxslope.transport.clouds import Cloud


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
    total = 0.0
    for label in sorted({*a.labels.tolist(), *b.labels.tolist()}):
        x, z = a.points[a.labels == label], b.points[b.labels == label]
        if x.shape[0] != z.shape[0]:
            return math.inf
        pairs = space.norm((z[None] - x[:, None]).flatten(0, 1)).reshape(x.shape[0], z.shape[0])
        cost = pairs.detach().double().cpu().numpy()
        total = max(total, _bottleneck(cost)) if math.isinf(r) else total + _power_cost(cost, r)
    return total if math.isinf(r) else (total / a.points.shape[0]) ** (1 / r)


def _power_cost(cost: np.ndarray, r: float) -> float:
    """The least sum over i of cost_(i, s(i))^r over permutations s, scaled against overflow."""
    top = max(float(cost.max()), 1e-300)
    return float((optimal_plan(cost, r) * (cost / top) ** r).sum() * len(cost) * top**r)


def optimal_plan(cost: np.ndarray, r: float) -> np.ndarray:
    """Return a permutation matrix over n that is least in cost^r, by the network simplex of POT.

    Raises:
        ImportError: if POT is not installed.
    """
    with optional("Exact transport distances need POT", "[transport]"):
        import ot
    n, top = len(cost), max(float(cost.max()), 1e-300)
    weight = np.full(n, 1.0 / n)
    return np.asarray(ot.emd(weight, weight, (cost / top) ** r, numItermax=10_000_000))


def _bottleneck(cost: np.ndarray) -> float:
    return bottleneck(cost, match=False)[0]


def bottleneck(cost: np.ndarray, *, match: bool = True) -> tuple[float, np.ndarray]:
    """Return the least threshold that admits a perfect matching, and of the matchings within it one of least squares.

    Raises:
        ImportError: if scipy is not installed.
    """
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
    if not match:
        return level, np.zeros(0, dtype=int)
    top = max(level, 1e-300)
    forbidden = 2.0 * len(cost) + 2  # more than all the others together
    _, to = linear_sum_assignment(np.where(cost <= level, (cost / top).clip(max=1.0) ** 2, forbidden))
    return level, np.asarray(to)
