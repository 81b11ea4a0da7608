"""Exact one-sided bounds on a share of samples, at a fixed number of them or whenever one cares to look."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_HALVINGS = 60


def _weights(n: int, p: float) -> Tensor:
    """The logarithms of the binomial probabilities of 0..n, float64."""
    k = torch.arange(n + 1, dtype=torch.float64)
    ways = math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    return ways + k * math.log(p) + (n - k) * math.log1p(-p)


def tail(k: int, n: int, p: float) -> float:
    """Return P(B >= k) of a binomial B with n trials of probability p.

    >>> round(tail(2, 3, 0.5), 12)
    0.5
    """
    if k <= 0 or p >= 1:
        return 1.0 if k <= n else 0.0
    if k > n or p <= 0:
        return 0.0
    return min(1.0, float(_weights(n, p)[k:].logsumexp(0).exp()))


def lower_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """Return the one-sided lower bound of Clopper and Pearson of a share: k of n samples.

    The p with P(B >= k) = 1 - confidence: whatever the true share, this is above it with probability at most
    1 - confidence.

    Raises:
        ValueError: unless 0 <= k <= n and 0 < confidence < 1.

    Source: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934), 404-413.

    >>> round(lower_bound(100, 100), 4)
    0.9705
    """
    if not 0 <= k <= n or not 0 < confidence < 1:
        raise ValueError(f"A bound needs 0 <= k <= n and 0 < confidence < 1, got {k}, {n} and {confidence!r}.")
    low, high = 0.0, 1.0
    if k == 0:
        return 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(k, n, middle) < 1 - confidence else (low, middle)
    return low


def upper_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper bound of Clopper and Pearson: see :func:`lower_bound`.

    >>> upper_bound(3, 3)
    1.0
    """
    return 1.0 - lower_bound(n - k, n, confidence)


def evidence(k: int, n: int, share: float) -> float:
    """Return the e-value of k of n samples against "the true share is at most ``share``".

    e = int_share^1 q^k (1 - q)^(n-k) dq / ((1 - share) share^k (1 - share)^(n-k)): the likelihood ratio of larger
    shares, mixed evenly. As samples come in one by one it is a nonnegative supermartingale that starts at 1 if the true
    share is at most ``share``; by Ville's inequality it then ever reaches 1 / alpha with probability at most alpha. So
    one may look after every sample and stop at will. Infinite where it is too large for a float.

    Raises:
        ValueError: unless 0 <= k <= n and 0 < share < 1.

    Source: J. Ville, Étude critique de la notion de collectif (1939); the mixture of H. Robbins, Ann. Math. Stat. 41
    (1970), 1397-1409.

    >>> round(evidence(1, 1, 0.5), 12)
    1.5
    """
    if not 0 <= k <= n or not 0 < share < 1:
        raise ValueError(f"Evidence needs 0 <= k <= n and 0 < share < 1, got {k}, {n} and {share!r}.")
    mass = math.lgamma(k + 1) + math.lgamma(n - k + 1) - math.lgamma(n + 2)
    above = float(_weights(n + 1, share)[: k + 1].logsumexp(0))  # P(B <= k) of n + 1 trials
    log_e = mass + above - math.log1p(-share) - k * math.log(share) - (n - k) * math.log1p(-share)
    return math.exp(log_e) if log_e < 700 else math.inf
