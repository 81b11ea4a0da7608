"""The step that lowers several linear forms at once, and the mixture of them that no step lowers more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

_MOST = 60  # steps
_OFF = 0.2  # of its radius, or its p-th power: how far a step may miss a cap
_HALVINGS = 12
_NEAR = 0.95  # of the way to the next constraint or multiplier: how far a step goes
_ACCURACY = 1e-4  # of the largest decrease that one form alone could promise
_SHARE = 0.05  # of the decrease that is left: likewise
_INSIDE = 0.02  # of its width: how far from a bound the search starts


@dataclass(frozen=True, eq=False)
class Cap:
    """The constraint |w (offset + d)|_p <= radius, p < inf, for l_p of norm weights ``w``.

    Off p = 2 the modulus is rounded off, within a fiftieth of what a coordinate has on average.
    """

    p: float
    weights: Array | float
    offset: Array
    radius: float

    def of(self, d: Array) -> tuple[float, Array, Array]:
        """The p-th power of the norm over that of the radius, less 1, with derivatives and second derivatives."""
        p, scale = self.p, self.weights / self.radius
        u = scale * (self.offset + d)
        delta = 2e-2 * len(u) ** (-1 / p)
        square = u * u + delta * delta
        power = square ** (p / 2 - 1)
        value = float((power * square).sum()) - len(u) * delta**p - 1
        return value, p * u * power * scale, p * power * (p - 1 - (p - 2) * delta * delta / square) * scale**2


def mixture(forms: Array, low: Array, high: Array, caps: Sequence[Cap]) -> tuple[Array, Array]:
    """Return a step d that minimizes max_i <g_i, d> and the weights of the forms there, to a few digits.

    Barriers for the bounds and the caps, Newton's method, and a growing weight of the forms; systems have as many
    unknowns as there are forms and caps.

    Args:
        forms: g_i, ``[m, n]``.
        low: ``[n]``, not positive, -inf for no bound.
        high: ``[n]``, not negative.
        caps: further constraints that hold at 0.

    Returns:
        d, ``[n]``, within the bounds, and weights, ``[m]``, of the unit simplex.

    Source: Boyd and Vandenberghe, Convex optimization (2004), 11.3.

    >>> d, w = mixture(np.array([[1.0, 0.0], [-1.0, 1.0]]), -np.ones(2), np.ones(2), ())
    >>> np.round(d, 1), np.round(w, 2)
    (array([-0.5, -1. ]), array([0.5, 0.5]))
    """
    free = high - low > 1e-12 * max(1e-300, float(np.abs(np.where(np.isfinite(high), high, 0)).max(initial=0.0)))
    m = len(forms)
    step, even = np.zeros(forms.shape[1]), np.full(m, 1 / m)
    if not free.any():
        return step, even
    G, a, b = forms[:, free], low[free], high[free]
    inner = [Cap(c.p, c.weights if np.isscalar(c.weights) else c.weights[free], c.offset[free], c.radius) for c in caps]
    d = _start(a, b, inner)
    scale = float(np.abs(G @ d).max())
    scale = max(scale, max((_promise(g, a, b, inner) for g in G), default=0.0))
    if not 0 < scale < np.inf:
        return step, even
    d, weights = _central(G / scale, a, b, inner, d)
    step[free] = d
    return step, weights


def _promise(g: Array, a: Array, b: Array, caps: Sequence[Cap]) -> float:
    """An upper bound of the decrease of one form: by its bounds, or by a ball around 0."""
    reach = np.where(np.isfinite(a) & np.isfinite(b), np.maximum(-a, b), np.inf)
    best = float((np.abs(g) * reach).sum()) if np.isfinite(reach[g != 0]).all() else np.inf
    for cap in caps:
        if not cap.offset.any():
            scaled = np.abs(g / cap.weights)
            q = np.inf if cap.p == 1 else cap.p / (cap.p - 1)
            best = min(best, cap.radius * float(np.linalg.norm(scaled, q)))
    return best


def _start(a: Array, b: Array, caps: Sequence[Cap]) -> Array:
    """A step strictly within all constraints: a little towards the centers of caps, and a little off the bounds."""
    base = np.zeros_like(a)
    for cap in caps:
        if cap.offset.any():
            size = max((c.of(-cap.offset)[0] + 1) ** (1 / c.p) for c in caps)  # of the way to the center, in radii
            wide = np.abs(cap.offset) / np.maximum(np.where(cap.offset > 0, -a, b), 1e-300)
            base = -cap.offset * min(0.25, 0.25 / max(size, float(wide.max(initial=0.0)), 1e-300))
    width = np.minimum(b - a, 2 * np.abs(base).max(initial=0.0) + np.where(np.isfinite(b - a), b - a, 1.0))
    off = np.clip(base, a + _INSIDE * width, b - _INSIDE * width) - base
    for _ in range(80):
        d = base + off
        if all(cap.of(d)[0] < 0 for cap in caps):
            return d
        off = off / 2
    return base


def _central(G: Array, a: Array, b: Array, caps: Sequence[Cap], d: Array) -> tuple[Array, Array]:
    """Follow the central path, steps and multipliers together, to the accuracy wanted; see :func:`mixture`."""
    m, k = len(G), len(G) + len(caps)
    t = float((G @ d).max()) + 1.0
    bounded, below = np.isfinite(b), np.isfinite(a)
    slack = _slack(G, a, b, caps, d, t)
    force = 1 / slack  # the multipliers: of forms, caps, lower and upper bounds; 0 where there is no bound
    force[:m] /= force[:m].sum()
    live = np.concatenate([np.ones(k, dtype=bool), below, bounded])
    force[~live] = 0.0
    count = int(live.sum())
    for _ in range(_MOST):
        gap = float((force * np.where(live, slack, 0)).sum())
        derivatives = [cap.of(d) for cap in caps]
        U = np.concatenate([G, *(first[None] for _, first, _ in derivatives)])
        u = np.concatenate([-np.ones(m), np.zeros(len(caps))])  # derivatives in t
        pull, lows, highs = force[:k], force[k : k + len(d)], force[k + len(d) :]
        dual = np.append(U.T @ pull - lows + highs, 1 + float(u @ pull))
        settled = max(float(np.abs(dual[:-1] * d).sum()), abs(float(dual[-1]))) <= 0.1 * _ACCURACY
        if settled and gap < max(_ACCURACY, -_SHARE * float((G @ d).max())):
            break
        center = 0.1 * gap / count
        ratio = force / slack
        wanted = np.where(live, center / slack, 0.0)
        missed = np.array([value for value, _, _ in derivatives]) + slack[m:k]  # caps are met in the end, not on the way
        wanted[m:k] += ratio[m:k] * missed
        curve = ratio[k : k + len(d)] + ratio[k + len(d) :]
        for (_, _, second), one in zip(derivatives, pull[m:], strict=True):
            curve = curve + one * second
        rest = U.T @ wanted[:k] - wanted[k : k + len(d)] + wanted[k + len(d) :]
        solved = _newton(U, u, ratio[:k], curve, rest, 1 + float(u @ wanted[:k]))
        if solved is None:
            break
        move, move_t = solved
        along = np.concatenate([U @ move + u * move_t, -move, move])
        change = np.where(live, wanted - force + ratio * along, 0.0)
        fall = -along
        fall[m:k] -= missed
        far = min(1.0, _NEAR * _reach(force, change), _NEAR * _reach(slack[live], fall[live]))
        for _ in range(_HALVINGS):  # where a cap is far from what its linear form says, steps are short
            off = [abs(cap.of(d + far * move)[0] + s + far * ds) for cap, s, ds in zip(caps, slack[m:k], fall[m:k])]
            if max(off, default=0.0) <= max(_OFF, float(np.abs(missed).max(initial=0.0))):
                break
            far /= 2
        d, t, slack, force = d + far * move, t + far * move_t, slack + far * fall, force + far * change
    weights = np.maximum(force[:m], 0)
    return d, weights / weights.sum()


def _slack(G: Array, a: Array, b: Array, caps: Sequence[Cap], d: Array, t: float) -> Array:
    """How far each constraint is from binding: forms, caps, lower and upper bounds."""
    return np.concatenate([t - G @ d, [-cap.of(d)[0] for cap in caps], d - a, b - d])


def _newton(
    U: Array, u: Array, ratio: Array, curve: Array, rest: Array, rest_t: float
) -> tuple[Array, float] | None:
    """Solve (diag(curve) + sum ratio (U, u) (U, u)^T) (move, move_t) = -(rest, rest_t), by its few dense rows."""
    k = len(ratio)
    root = np.sqrt(ratio)
    rows, column = root[:, None] * U, root * u
    scaled = rows / curve
    system = np.zeros((k + 1, k + 1))
    system[:k, :k] = scaled @ rows.T
    system[range(k), range(k)] += 1
    system[:k, k] = system[k, :k] = -column
    try:
        y = np.linalg.solve(system, np.append(-scaled @ rest, rest_t))
    except np.linalg.LinAlgError:
        return None
    return -(rest + rows.T @ y[:k]) / curve, float(y[k])


def _reach(value: Array, change: Array) -> float:
    """How many times a change leaves positive values positive."""
    falling = change < 0
    return float((-value[falling] / change[falling]).min(initial=np.inf))
