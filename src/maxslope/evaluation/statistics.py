"""How far a share of samples may be from that of the population, however often one looks; whether two runs differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from statistics import NormalDist

import torch
from torch import Tensor

_HALVINGS = 53  # of [0, 1]: the bits of a double


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n), with p = successes / n.

    Args:
        successes: 0 to n; no whole number, where n is an effective number of samples.
        n: samples.
        confidence: of the two-sided interval.

    Returns:
        (lower, upper), within [0, 1]; (0, 1) for no samples.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212.

    >>> [round(v, 4) for v in wilson(80, 100)]
    [0.7112, 0.8666]
    """
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / n
    center = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (center - half) / scale), min(1.0, (center + half) / scale)


def stratified(strata: Sequence[tuple[int, int, int]]) -> tuple[float, float, float]:
    """Return a share, estimated from a few of each stratum of a sample, and its 95 % interval.

    p = sum W_h p_h with W_h = N_h / N, the strata's own shares, and p_h = s_h / n_h; its variance
    sum W_h^2 v_h / n_h + sum W_h (p_h - p)^2 / N has a part from within the strata, with v_h = p_h (1 - p_h), and one
    between them, from the sample of N itself. Where a stratum is neither seen whole nor alike at its ends, p_h in the
    variance is drawn to 1/2 as by one success and one failure more. The interval is Wilson's, with the number of
    samples for which the variance is p (1 - p) / n. With all strata seen whole it is that of the N samples.

    Args:
        strata: samples N_h, successes s_h and samples looked at n_h of each; n_h = 0 only where N_h = 0.

    Returns:
        (share, lower, upper), within [0, 1].

    Source: double sampling for stratification, W. G. Cochran, Sampling Techniques (1977), section 12.2.

    >>> stratified([(80, 8, 8), (20, 0, 2)])[0], stratified([(80, 80, 80), (20, 0, 20)])[1:] == wilson(80, 100)
    (0.8, True)
    """
    known = [(n, s / k, k) for n, s, k in strata if n]
    total = sum(n for n, _, _ in known)
    if not total:
        return 0.0, 0.0, 1.0
    value = sum(n * p for n, p, _ in known) / total
    careful = [(n / total, p if k == n else (p * k + 1) / (k + 2), k) for n, p, k in known]
    mean = sum(w * p for w, p, _ in careful)
    variance = sum(w * w * p * (1 - p) / k + w * (p - mean) ** 2 / total for w, p, k in careful)
    size = min(total, mean * (1 - mean) / variance) if variance > 0 else total
    return (value, *wilson(value * size, size))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test.

    p = min(1, 2 P(B <= min(b, c))), B binomial with b + c trials of probability 1/2.

    Args:
        only_first: pairs b in which the first alone succeeds.
        only_second: pairs c in which the second alone does.

    Raises:
        ValueError: if a count is negative.

    Source: Q. McNemar, Psychometrika 12 (1947), 153-157; the exact form conditions on b + c.

    >>> mcnemar(1, 8)
    0.0390625
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"Counts must not be negative, got {only_first} and {only_second}.")
    n = only_first + only_second
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, tail / 2 ** (n - 1)) if n else 1.0


def paired_interval(only_first: int, only_second: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the adjusted Wald interval of a difference of paired shares, first minus second.

    d -+ z sqrt((p + r - d^2) / (n + 2)) with p = (b + 1) / (n + 2), r = (c + 1) / (n + 2), d = p - r.

    Args:
        only_first: pairs in which the first alone succeeds.
        only_second: pairs in which the second alone does.
        n: all pairs.
        confidence: of the two-sided interval.

    Returns:
        (lower, upper), within [-1, 1].

    Source: D. G. Bonett and R. M. Price, J. Educ. Behav. Stat. 37 (2012), 479-488.

    >>> [round(v, 3) for v in paired_interval(10, 2, 100)]
    [0.008, 0.149]
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, r = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    half = z * math.sqrt((p + r - (p - r) ** 2) / (n + 2))
    return max(-1.0, p - r - half), min(1.0, p - r + half)


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, so that all of them together keep the level of one.

    In rising order p_(k) becomes max over j <= k of min(1, (m - j + 1) p_(j)).

    Source: S. Holm, Scand. J. Stat. 6 (1979), 65-70.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p)), key=p.__getitem__)
    worst = accumulate((min(1.0, (len(p) - place) * p[k]) for place, k in enumerate(order)), max)
    return [value for _, value in sorted(zip(order, worst, strict=True))]


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
        as_many = float(_log_binomial(n, middle)[k:].logsumexp(0).exp())  # P(B >= k)
        low, high = (middle, high) if as_many < 1 - confidence else (low, middle)
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
    above = float(_log_binomial(n + 1, share)[: k + 1].logsumexp(0))  # P(B <= k) of n + 1 trials
    log_e = mass + above - math.log1p(-share) - k * math.log(share) - (n - k) * math.log1p(-share)
    return math.exp(log_e) if log_e < 700 else math.inf


def _log_binomial(n: int, p: float) -> Tensor:
    """The logarithms of the binomial probabilities of 0..n, float64."""
    k = torch.arange(n + 1, dtype=torch.float64)
    ways = math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    return ways + k * math.log(p) + (n - k) * math.log1p(-p)
