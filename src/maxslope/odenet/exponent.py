"""How fast a flow converges: the exponent of its inequality of Lojasiewicz, from one trajectory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maxslope import _random
from maxslope.odenet.descent import DescentResult

Array = np.ndarray
_POINTS = 240
_DRAWS = 200
_BLOCK = 24
_SHORTEST = 1.0  # decades: less of J - J* shows no power law


@dataclass(frozen=True, eq=False)
class Exponent:
    """The exponent theta in |dJ| >= c (J - J*)^theta near the end of a trajectory.

    theta = 1/2 is exponential convergence; theta in (1/2, 1) decay of J - J* like t^(-1/(2 theta - 1)), still with
    finite length; theta >= 1 gives no bound. It is the exponent along this trajectory, a lower bound of the one at the
    limit: x^2 + y^4 from y = 0 shows 1/2.

    Attributes:
        theta: the fit of log |dJ| against log (J - J*).
        free: the estimate that needs no J*, from log r = const + (2 - 1/theta) log |dJ|.
        low: lower end of the interval.
        high: upper end.
        parts: the slopes of four parts of the window, ``[4]``.
        decades: decades of J - J* in the window.
        limit: J*.
        tail: the predicted remaining length, (J - J*)^(1-theta) / (c (1-theta)); inf for theta >= 1.
        rate: r at the end, -d log |dJ| / dt; for theta = 1/2 it tends to an eigenvalue of the Hessian.
        gap: J - J* where it was fitted, ``[n]``.
        slope: |dJ| there, ``[n]``.
    """

    theta: float
    free: float
    low: float
    high: float
    parts: Tensor
    decades: float
    limit: float
    tail: float
    rate: float
    gap: Tensor
    slope: Tensor

    @property
    def spread(self) -> float:
        """Largest minus smallest slope of the four parts."""
        return float(self.parts.max() - self.parts.min())

    @property
    def interval(self) -> tuple[float, float]:
        """From low to high."""
        return self.low, self.high


def exponent(run: DescentResult, *, decades: float = 4.0, seed: int = 0) -> Exponent | None:
    """Estimate the exponent of Lojasiewicz along the end of a flow, with an interval.

    With s = |dJ|, E = J - J* and r = -d log s / dt, a power law s = c E^theta gives r = theta s^2 / E. So E at the end
    is theta s^2 / r, and before it the sum of the drops: no J* is subtracted. log s is fitted to log E over the last
    ``decades`` of E, resampled uniformly, and theta is iterated.

    A trajectory is deterministic and its residuals are model bias, so a bootstrap alone covers nothing. The interval is
    the hull of a block bootstrap, the slopes of four parts and of the lower half of the window and the J*-free
    estimate, widened by |theta_half - theta| + 0.01.

    Args:
        run: with rates.
        decades: of E at the end to use.
        seed: of the bootstrap.

    Returns:
        An :class:`Exponent`, or None where the rate is not positive at the end, or fewer than five instants or less
        than one decade of J - J* remain: the flow has not come to a power law.

    Raises:
        ValueError: if ``decades`` is less than 1.

    Source: arXiv:2311.15365 (Lojasiewicz-Simon inequality of the risk); arXiv:1707.03129 (lengths and decay rates).

    >>> from maxslope.energies import Quadratic
    >>> from maxslope.odenet import Until, descend
    >>> (run,) = descend(Quadratic(torch.diag(torch.tensor([1.0, 3.0])).double()), torch.ones(1, 2).double(),
    ...                  until=Until(slope=1e-8))
    >>> round(exponent(run).theta, 3)
    0.5
    """
    if not decades >= _SHORTEST:
        raise ValueError(f"The window of a fit has {_SHORTEST:g} decades or more, got decades={decades!r}.")
    s, r = (v.numpy() for v in (run.slope, run.rate))
    drop = run.drop.numpy()
    last = len(s) - 1
    if last > 0 and math.isnan(r[last]):  # by-products are known one step late
        last -= 1
    bad = np.flatnonzero(~(r[: last + 1] > 0))
    first = int(bad[-1]) + 1 if len(bad) else 0
    s, r, drop = s[first : last + 1], r[first : last + 1], drop[first:last]
    if len(s) < 5 or not (np.all(drop > 0) and np.all(s > 0)):
        return None
    after = np.concatenate([np.cumsum(drop[::-1])[::-1], [0.0]])  # J - J(T)
    log_s, log_r = np.log(s), np.log(r)
    theta, rest = _fixed_point(log_s, log_r, after, s[-1] ** 2 / r[-1], decades)
    if not math.isfinite(theta):
        return None
    gap = np.log(after + theta * rest)
    if gap[0] - gap[-1] < _SHORTEST * math.log(10):
        return None
    return _gather(run, log_s, log_r, after + theta * rest, theta, decades, seed, last)


def _fixed_point(log_s: Array, log_r: Array, after: Array, rest: float, decades: float) -> tuple[float, float]:
    """Theta with E = after + theta s^2 / r at the end; the start is the J*-free estimate."""
    theta = _free(log_s, log_r, after + 0.5 * rest, decades)
    theta = theta if 0.3 < theta < 1.5 else 0.5
    for _ in range(100):
        at, y = _resample(np.log(after + theta * rest), log_s, decades)
        new = _fit(at, y)
        if not math.isfinite(new) or new <= 0:
            return math.nan, rest
        if abs(new - theta) < 1e-12:
            break
        theta = new
    return theta, rest


def _gather(
    run: DescentResult, log_s: Array, log_r: Array, gap: Array, theta: float, decades: float, seed: int, last: int
) -> Exponent:
    at, y = _resample(np.log(gap), log_s, decades)
    parts = [_fit(a, b) for a, b in zip(np.array_split(at, 4), np.array_split(y, 4), strict=True)]
    half = _fit(at[: len(at) // 2], y[: len(at) // 2])
    free = _free(log_s, log_r, gap, decades)
    many = [theta, half, free, *parts, *_bootstrap(at, y, seed)]
    wider = abs(half - theta) + 0.01
    end = float(gap[-1])
    s, r = math.exp(log_s[-1]), math.exp(log_r[-1])
    tail = end / (s * (1 - theta)) if theta < 1 else math.inf
    return Exponent(
        theta,
        free,
        min(many) - wider,
        max(many) + wider,
        torch.tensor(parts, dtype=torch.float64),
        float(at[-1] - at[0]) / math.log(10),
        float(run.energy[last]) - end,
        tail,
        r,
        torch.tensor(np.exp(at)),
        torch.tensor(np.exp(y)),
    )


def _resample(log_e: Array, log_s: Array, decades: float) -> tuple[Array, Array]:
    """The last decades of E on a uniform grid in log E, increasing."""
    low = log_e[-1]
    at = np.linspace(low, min(low + decades * math.log(10), log_e[0]), _POINTS)
    return at, np.interp(at, log_e[::-1], log_s[::-1])


def _fit(x: Array, y: Array) -> float:
    """The slope of least squares."""
    x = x - x.mean()
    square = float(x @ x)
    return float(x @ (y - y.mean())) / square if square > 0 else math.nan


def _free(log_s: Array, log_r: Array, gap: Array, decades: float) -> float:
    """Theta = 1 / (2 - q), q the slope of log r against log s over the same window."""
    _, s = _resample(np.log(gap), log_s, decades)
    _, r = _resample(np.log(gap), log_r, decades)
    q = _fit(s, r)
    return 1 / (2 - q) if q < 2 else math.inf


def _bootstrap(x: Array, y: Array, seed: int) -> list[float]:
    """The 2.5 % and 97.5 % quantiles of slopes fitted to blocks of residuals put together anew."""
    slope = _fit(x, y)
    line = y.mean() + slope * (x - x.mean())
    residual = y - line
    blocks = -(-len(x) // _BLOCK)
    draws = _random.uniform(_random.keys(seed, torch.arange(_DRAWS)), (blocks,)).numpy()
    starts = (draws * (len(x) - _BLOCK + 1)).astype(int)
    index = (starts[:, :, None] + np.arange(_BLOCK)).reshape(_DRAWS, -1)[:, : len(x)]
    slopes = [_fit(x, line + residual[i]) for i in index]
    low, high = np.quantile(slopes, [0.025, 0.975])
    return [float(low), float(high)]
