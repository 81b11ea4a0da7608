"""How fast a flow converges: the exponent of its inequality of Lojasiewicz, from one trajectory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

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
    end = _End(np.log(s), np.log(r), after, s[-1] ** 2 / r[-1], decades)
    theta = end.fixed_point()
    if not math.isfinite(theta):
        return None
    gap = end.gap(theta)
    if np.log(gap[0]) - np.log(gap[-1]) < _SHORTEST * math.log(10):
        return None
    at, y = end.window(gap, end.log_s)
    parts = [_fit(a, b) for a, b in zip(np.array_split(at, 4), np.array_split(y, 4), strict=True)]
    half, free = _fit(at[: len(at) // 2], y[: len(at) // 2]), end.free(gap)
    many = [theta, half, free, *parts, *_bootstrap(at, y, seed)]
    wider = abs(half - theta) + 0.01
    return Exponent(
        theta=theta,
        free=free,
        low=min(many) - wider,
        high=max(many) + wider,
        parts=torch.tensor(parts, dtype=torch.float64),
        decades=float(at[-1] - at[0]) / math.log(10),
        limit=float(run.energy[last]) - float(gap[-1]),
        tail=float(gap[-1]) / (math.exp(end.log_s[-1]) * (1 - theta)) if theta < 1 else math.inf,
        rate=math.exp(end.log_r[-1]),
        gap=torch.tensor(np.exp(at)),
        slope=torch.tensor(np.exp(y)),
    )


class _End(NamedTuple):
    """The instants that are fitted."""

    log_s: Array  # log |dJ|
    log_r: Array
    after: Array  # J - J(T)
    left: float  # s^2 / r at the last: theta times it is J(T) - J*
    decades: float  # of J - J* to use

    def gap(self, theta: float) -> Array:
        """J - J*."""
        return np.asarray(self.after + theta * self.left)

    def window(self, gap: Array, column: Array) -> tuple[Array, Array]:
        """The last decades of log (J - J*) as a uniform grid, increasing, and a column on it."""
        log_e = np.log(gap)
        at = np.linspace(log_e[-1], min(log_e[-1] + self.decades * math.log(10), log_e[0]), _POINTS)
        return at, np.interp(at, log_e[::-1], column[::-1])

    def free(self, gap: Array) -> float:
        """Theta = 1 / (2 - q), q the slope of log r against log s over the window."""
        (_, log_s), (_, log_r) = self.window(gap, self.log_s), self.window(gap, self.log_r)
        q = _fit(log_s, log_r)
        return 1 / (2 - q) if q < 2 else math.inf

    def fixed_point(self) -> float:
        """The theta that the fit over its own J - J* gives again, from the J*-free one on; NaN if there is none."""
        theta = self.free(self.gap(0.5))
        theta = theta if 0.3 < theta < 1.5 else 0.5
        for _ in range(100):
            new = _fit(*self.window(self.gap(theta), self.log_s))
            if not math.isfinite(new) or new <= 0:
                return math.nan
            if abs(new - theta) < 1e-12:
                break
            theta = new
        return theta


def _fit(x: Array, y: Array) -> float:
    """The slope of least squares."""
    x = x - x.mean()
    square = float(x @ x)
    return float(x @ (y - y.mean())) / square if square > 0 else math.nan


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
