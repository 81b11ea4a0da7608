"""How far a share of samples may be from the share of the population, and whether two runs can be told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from statistics import NormalDist


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
