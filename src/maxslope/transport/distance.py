"""Exact transport distances between clouds whose labels never move."""

from __future__ import annotations

import math

import numpy as np

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
    try:
        import ot
    except ImportError as error:
        raise ImportError('Exact transport distances need POT: pip install "maxslope[transport]".') from error
    n, top = len(cost), max(float(cost.max()), 1e-300)
    weight = np.full(n, 1.0 / n)
    plan = ot.emd(weight, weight, (cost / top) ** r, numItermax=10_000_000)
    return float((plan * (cost / top) ** r).sum() * n * top**r)


def _bottleneck(cost: np.ndarray) -> float:
    try:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_bipartite_matching
    except ImportError as error:
        raise ImportError('The distance W_inf needs scipy: pip install "maxslope[transport]".') from error
    levels = np.unique(cost)
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        matched = maximum_bipartite_matching(csr_array(cost <= levels[middle]), perm_type="column")
        low, high = (low, middle) if bool((matched >= 0).all()) else (middle + 1, high)
    return float(levels[low])
