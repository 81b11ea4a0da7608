"""The step that lowers several linear forms at once, and the mixture of them that no step lowers more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Chosen = np.ndarray[Any, np.dtype[np.bool_]]

_MOST = 60  # steps
_OFF = 0.2  # of its radius, or its p-th power: how far a step may miss a cap
_HALVINGS = 12
_NEAR = 0.95  # of the way to the next constraint or multiplier: how far a step goes
_ACCURACY = 1e-4  # of the largest decrease that one form alone could promise
_SHARE = 0.05  # of the decrease that is left: likewise
_SLOW, _FAST, _GOOD = 0.1, 0.02, 0.9  # of the gap: what a step aims at, and where the one before it went nearly whole
_LEAST = 0.1  # of the largest decrease: the gap to begin with
_INSIDE = 0.02  # of its width: how far from a bound the search starts


@dataclass(frozen=True, eq=False)
class Cap:
    """The constraint |w (offset + d)|_p <= radius on a step d, p < inf; off p = 2 its kinks are rounded off."""

    p: float
    weights: Array
    offset: Array
    radius: float

    def of(self, d: Array) -> tuple[float, Array, Array]:
        """The p-th power of the norm over that of the radius, less 1, with derivatives and second derivatives."""
        p, scale = self.p, self.weights / self.radius
        u = scale * (self.offset + d)
        if p == 2:
            return float(u @ u) - 1, 2 * u * scale, 2 * scale**2
        delta = 2e-2 * len(u) ** (-1 / p)  # a fiftieth of what a coordinate has on average
        square = u * u + delta * delta
        power = square ** (p / 2 - 1)
        value = float((power * square).sum()) - len(u) * delta**p - 1
        return value, p * u * power * scale, p * power * (p - 1 - (p - 2) * delta * delta / square) * scale**2

    def take(self, free: Chosen) -> Cap:
        """Return the constraint where the other coordinates do not move."""
        held = float(((self.weights * np.abs(self.offset))[~free] ** self.p).sum())
        radius = max(self.radius**self.p - held, 0.0) ** (1 / self.p)
        return Cap(self.p, self.weights[free], self.offset[free], max(radius, 1e-12 * self.radius))

    def reach(self, g: Array) -> float:
        """Return by how much a form can fall, where the constraint is a ball around 0; infinite elsewhere."""
        if self.offset.any():
            return math.inf
        q = math.inf if self.p == 1 else self.p / (self.p - 1)
        return self.radius * float(np.linalg.norm(g / self.weights, q))

    @property
    def room(self) -> Array:
        """What a coordinate has on average, ``[n]``."""
        return np.asarray(self.radius * len(self.offset) ** (-1 / self.p) / self.weights)


def mixture(
    forms: Array, low: Array, high: Array, caps: Sequence[Cap], lags: Array | None = None
) -> tuple[Array, Array]:
    """Return a step d that minimizes max_i <g_i, d> - lag_i, and the weights of the forms g_i there, to a few digits.

    By interior point methods, whose systems have as many unknowns as there are forms, ``[m, n]``, and caps: Boyd and
    Vandenberghe, Convex optimization (2004), 11.7. The bounds ``low`` <= 0 <= ``high`` may be infinite, the caps hold
    at 0, and lags say by how much each form lies below the largest at 0, ``[m]``; by default not at all.

    >>> d, w = mixture(np.array([[1.0, 0.0], [-1.0, 1.0]]), -np.ones(2), np.ones(2), ())
    >>> np.round(d, 1), np.round(w, 2)
    (array([-0.5, -1. ]), array([0.5, 0.5]))
    """
    lags = np.zeros(len(forms)) if lags is None else lags
    if caps and all(cap.p == 1 for cap in caps):
        return _split(forms, low, high, caps, lags)
    return _solve(forms, low, high, caps, lags)


def _split(forms: Array, low: Array, high: Array, caps: Sequence[Cap], lags: Array) -> tuple[Array, Array]:
    """:func:`mixture` in l_1, where caps are linear in the parts of a step: back to an offset of 0, beyond, away."""
    offset = next((cap.offset for cap in caps if cap.offset.any()), np.zeros_like(low))
    side = np.where(offset >= 0, 1.0, -1.0)
    room = np.where(side > 0, -low, high)
    back = np.minimum(room, np.abs(offset))
    tops = np.concatenate([back, room - back, np.where(side > 0, high, -low)])
    signs = np.stack([-side, -side, side])
    rows = []
    for cap in caps:
        w, size = cap.weights, float((cap.weights * np.abs(cap.offset)).sum())
        rates = np.concatenate([-w if size else w, w, w])
        rows.append(_Linear(rates / cap.radius, size / cap.radius - 1))
    wide = np.concatenate([forms * sign for sign in signs], 1)
    parts, weights = _solve(wide, np.zeros_like(tops), tops, rows, lags)
    return np.asarray((signs * parts.reshape(3, -1)).sum(0)), weights


@dataclass(frozen=True, eq=False)
class _Linear:
    """The constraint <rates, d> + constant <= 0."""

    rates: Array
    constant: float

    def of(self, d: Array) -> tuple[float, Array, Array]:
        return float(self.rates @ d) + self.constant, self.rates, np.zeros_like(d)

    def take(self, free: Chosen) -> _Linear:
        return _Linear(self.rates[free], self.constant)

    def reach(self, g: Array) -> float:
        """Return by how much a form can fall along steps that are not negative."""
        falls = np.maximum(-g, 0)
        if (self.rates[falls > 0] <= 0).any():
            return math.inf
        return -self.constant * float((falls / np.where(falls > 0, self.rates, 1)).max(initial=0.0))

    @property
    def room(self) -> Array:
        return np.asarray(1 / (len(self.rates) * np.maximum(np.abs(self.rates), 1e-300)))


def _solve(forms: Array, low: Array, high: Array, caps: Sequence[Cap | _Linear], lags: Array) -> tuple[Array, Array]:
    """:func:`mixture` as the constraints are."""
    free = high - low > 1e-12 * max(1e-300, float(np.abs(np.where(np.isfinite(high), high, 0)).max(initial=0.0)))
    step, even = np.zeros(forms.shape[1]), (lags == 0) / max(float((lags == 0).sum()), 1.0)
    if not free.any():
        return step, even
    G, a, b = forms[:, free], low[free], high[free]
    inner = [cap.take(free) for cap in caps]
    d = _start(a, b, inner)
    scale = max(float(np.abs(G @ d).max()), max((_promise(g, a, b, inner) for g in G), default=0.0))
    if not 0 < scale < np.inf:
        return step, even
    G, lags = G / scale, lags / scale
    step[free], weights = _central(G, a, b, inner, lags, d) if inner else _bounded(G, a, b, lags)
    return step, weights


def _promise(g: Array, a: Array, b: Array, caps: Sequence[Cap | _Linear]) -> float:
    """An upper bound of the decrease of one form: by its bounds, or by a ball around 0."""
    pull = g != 0
    best = float((np.abs(g[pull]) * np.maximum(-a, b)[pull]).sum())
    return min([best, *(cap.reach(g) for cap in caps)])


def _start(a: Array, b: Array, caps: Sequence[Cap | _Linear]) -> Array:
    """A step a little off the bounds; caps are met later."""
    off = np.minimum.reduce([_INSIDE * (b - a), *(cap.room for cap in caps)])
    return np.asarray(np.clip(0.0, a + off, b - off))


def _bounded(G: Array, a: Array, b: Array, lags: Array) -> tuple[Array, Array]:
    """:func:`mixture` within bounds alone: steps and multipliers are feasible from the first on, so their gap is known.

    The step is (a + b) / 2 + s (b - a) / 2 with s in (-1, 1), ``values`` are the forms there; ``force`` are the
    multipliers of s < 1 and of s > -1.
    """
    m, n = G.shape
    middle, half = (a + b) / 2, (b - a) / 2
    center, G = G @ middle - lags, G * half
    s, w, values = np.zeros(n), np.full(m, 1 / m), center
    pull = w @ G
    mu = max(float(np.abs(pull).sum()), _LEAST) / n
    force, t = np.maximum([-pull, pull], 0) + mu, float(values.max()) + m * mu
    far = 0.0
    for _ in range(_MOST):
        gap = float(values.max() - w @ center + np.abs(force[1] - force[0]).sum())
        if gap <= max(_ACCURACY, -_SHARE * float(values.max())):
            break
        slack, left = np.stack([1 - s, 1 + s]), t - values
        mu = (_FAST if far > _GOOD else _SLOW) * float(w @ left + (force * slack).sum()) / (m + 2 * n)
        ratio, aim = force / slack, mu / slack
        curve, rest = ratio.sum(0), force[1] - force[0] + aim[0] - aim[1]
        solved = _bordered((G / curve) @ G.T + np.diag(left / w), mu / w - left - G @ (rest / curve))
        if solved is None:
            break
        move_w, move_t = solved
        move = -(rest + move_w @ G) / curve
        change, change_slack = G @ move, np.stack([-move, move])
        move_force = aim - force - ratio * change_slack
        ahead = min(1.0, _NEAR * _reach(slack, change_slack), _NEAR * _reach(left, move_t - change))
        far = min(1.0, _NEAR * _reach(w, move_w), _NEAR * _reach(force, move_force))
        s, t, values = s + ahead * move, t + ahead * move_t, values + ahead * change
        w, force = w + far * move_w, force + far * move_force
        far = min(far, ahead)
    return np.clip(middle + s * half, a, b), w / w.sum()


def _bordered(system: Array, right: Array) -> tuple[Array, float] | None:
    """Solve system w + t = right for w of sum 0; None where rounding leaves nothing to solve."""
    m = len(right)
    whole = np.ones((m + 1, m + 1))
    whole[:m, :m], whole[m, m] = system, 0
    try:
        solved = np.linalg.solve(whole, np.append(right, 0.0))
    except np.linalg.LinAlgError:
        return None
    return solved[:m], float(solved[m])


def _central(G: Array, a: Array, b: Array, caps: Sequence[Cap | _Linear], lags: Array, d: Array) -> tuple[Array, Array]:
    """Follow the central path, steps and multipliers together, to the accuracy wanted; see :func:`mixture`.

    The multipliers are those of forms, caps, lower and upper bounds, one after the other; 0 where there is no bound.
    """
    m, k, n = len(G), len(G) + len(caps), len(d)
    t = float((G @ d - lags).max()) + 1.0
    slack = np.concatenate([t - G @ d + lags, [max(-cap.of(d)[0], _OFF) for cap in caps], d - a, b - d])
    live = np.isfinite(slack)
    force = np.where(live, 1 / slack, 0.0)
    force[:m] /= force[:m].sum()
    u = np.concatenate([-np.ones(m), np.zeros(len(caps))])  # derivatives of forms and caps in t
    for _ in range(_MOST):
        values, firsts, seconds = zip(*(cap.of(d) for cap in caps), strict=True)
        U = np.stack([*G, *firsts])
        dual = U.T @ force[:k] - force[k : k + n] + force[k + n :]
        gap = float((force[live] * slack[live]).sum())
        wrong = max(float(np.abs(dual * d).sum()), abs(1 + float(u @ force[:k])))
        if wrong <= 0.1 * _ACCURACY and gap < max(_ACCURACY, -_SHARE * float((G @ d - lags).max())):
            break
        missed = np.array(values) + slack[m:k]  # caps are met in the end, not on the way
        ratio, wanted = force / slack, np.where(live, 0.1 * gap / live.sum() / slack, 0.0)
        wanted[m:k] += ratio[m:k] * missed
        curve = sum((one * second for one, second in zip(force[m:k], seconds, strict=True)), start=np.zeros(n))
        curve += ratio[k : k + n] + ratio[k + n :]
        rest = U.T @ wanted[:k] - wanted[k : k + n] + wanted[k + n :]
        solved = _newton(U, u, ratio[:k], curve, rest, 1 + float(u @ wanted[:k]))
        if solved is None:
            break
        move, move_t = solved
        along = np.concatenate([U @ move + u * move_t, -move, move])
        change, fall = np.where(live, wanted - force + ratio * along, 0.0), -along
        fall[m:k] -= missed
        far = min(1.0, _NEAR * _reach(force, change), _NEAR * _reach(slack[live], fall[live]))
        for _ in range(_HALVINGS):  # where a cap is far from what its linear form says, steps are short
            new = slack[m:k] + far * fall[m:k]
            off = [abs(cap.of(d + far * move)[0] + own) for cap, own in zip(caps, new, strict=True)]
            if max(off, default=0.0) <= max(_OFF, float(np.abs(missed).max(initial=0.0))):
                break
            far /= 2
        d, t, slack, force = d + far * move, t + far * move_t, slack + far * fall, force + far * change
    return d, force[:m] / force[:m].sum()


def _newton(U: Array, u: Array, ratio: Array, curve: Array, rest: Array, rest_t: float) -> tuple[Array, float] | None:
    """Solve (diag(curve) + sum ratio (U, u) (U, u)^T) (move, move_t) = -(rest, rest_t), None where rounding forbids."""
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
    move = -(rest + rows.T @ y[:k]) / curve
    return (move, float(y[k])) if np.isfinite(move).all() else None


def _reach(value: Array, change: Array) -> float:
    """How many times a change leaves positive values positive."""
    falling = change < 0
    return float((-value[falling] / change[falling]).min(initial=np.inf))
