"""Curves in l_1 with unit speed: the coordinates of the largest gradient share the motion."""

from __future__ import annotations

import itertools
import math

import numpy as np

from maxslope._status import Status
from maxslope.reference.base import FAILED, JUMP, ROUNDING, SAME, SLACK, TIED, Array, Part, Turning, first

_SOUGHT = 8  # coordinates among which sharing sets are sought by going through all
_STEPS = 40  # of Newton's method; ten are enough for smooth energies
_LENGTH = (
    1e-14  # of the time: how exactly shares sum to it, dozens of roundings; less takes up to six times the gradients
)
_STILL = 10  # slacks: so small a gradient is that of a minimizer
_ALIKE = 1e-6  # relative: sets down whose curvatures, which are differences, gradients fall alike are one way


class _Share(Part):
    """A piece of the curve: the coordinates A move, with |xi_i| equal on A and sum of |u_i - u_i(t_0)| = t - t_0."""

    def __init__(self, row: Single, t0: float, x0: Array, A: Array) -> None:
        self.row, self.t0, self.x0, self.A = row, t0, x0.copy(), A
        self.s = np.sign(row.gradient(x0)[A])
        self.known = {t0: x0[A]}

    def at(self, t: float) -> Array:
        """The point at time t: a straight line, or Newton's method for what is shared."""
        x, A, s = self.x0.copy(), self.A, self.s
        if not len(A):
            return x
        if len(A) == 1:
            x[A] -= s * (t - self.t0)
            return x
        near = min(self.known, key=lambda k: abs(k - t))
        x[A] = self.known[near] + (t - near) * self.velocity(x)[A] if near == self.t0 else self.known[near]
        for _ in range(_STEPS):
            xi = s * self.row.gradient(x)[A]
            rest = np.r_[xi[1:] - xi[0], s @ (self.x0[A] - x[A]) - (t - self.t0)]
            alike = np.abs(rest[:-1]).max() <= self.row.tolerance * self.row.scale
            if alike and abs(rest[-1]) <= _LENGTH * max(1.0, t):
                self.known[t] = x[A].copy()
                return x
            H = s[:, None] * self.row.block(x, A)
            step = np.linalg.lstsq(np.vstack([H[1:] - H[0], -s]), -rest, rcond=None)[0]
            x[A] += step
        if np.abs(rest).max() > FAILED * max(1.0, self.row.scale):
            self.row.lose(self.t0, self.x0, Status.UNSOLVED)
        return x

    def velocity(self, x: Array) -> Array:
        """H_AA v_A = -c s_A with sum |v_i| = 1."""
        v = np.zeros_like(x)
        v[self.A] = share(self.row.block(x, self.A), self.s) if len(self.A) > 1 else -self.s
        return v

    def margins(self, t: float) -> tuple[Array, Array]:
        """What others lack to the largest |xi|, the shares of the moving ones, and that |xi|, ``[3, d]``; the point."""
        x, A = self.at(t), self.A
        g = self.row.gradient(x) / self.row.scale
        m = float((self.s * g[A]).mean()) if len(A) else 0.0
        lack = m - np.abs(g)
        lack[A] = np.inf
        kept = np.full_like(g, np.inf)
        if len(A) > 1:
            kept[A] = -self.s * self.velocity(x)[A]
        left = np.full_like(g, np.inf)
        left[A] = m if m > 0 else -1.0  # none left: a minimizer, or a flat part
        return np.stack([lack, kept, left]), x

    def advance(self, t: float, end: float) -> tuple[float, Array, Array | None]:
        margins, x = self.margins(end) if len(self.A) else (np.zeros(0), self.x0)
        if not (margins < -self.row.slack).any():
            return end, x, None
        when = first(t, end, lambda s: bool((self.margins(s)[0] < -self.row.slack / 2).any()))
        return when, self.margins(when)[1], self.A


class Single(Turning):
    """One curve in l_1 without constraint."""

    def start(self) -> _Share:
        self.begin()
        self.slack = 2 * SLACK * self.tolerance  # margins are differences of two gradients
        return _Share(self, 0.0, self.x, self._sharing(self.x))

    def turn(self, part: _Share, t: float, x: Array, which: Array) -> _Share:
        """See :class:`Turning`; a gradient that jumps ends the curve: the energy has a kink there."""
        g = np.abs(self.gradient(x)) / self.scale
        shared, others = g[which], np.delete(g, which)
        if others.max(initial=0.0) - shared.max() > JUMP or np.ptp(shared) > max(JUMP, self.slack):
            self.lose(t, x, Status.UNSOLVED)
            return part
        return _Share(self, t, x, self._sharing(x))

    def _sharing(self, x: Array) -> Array:
        """The coordinates that move on from x: of those tied for the largest |xi|, a set that keeps its tie.

        For A with v_A from :func:`share` they are right if no share is negative and no |xi_j| left behind overtakes.
        Of several such sets the one that moves down the least curvature is taken, and the curve is not unique.
        """
        g = self.gradient(x)
        m = float(np.abs(g).max())
        if m <= _STILL * self.slack * self.scale:
            self.unique &= self.definite(x, np.arange(len(x)))
            return np.zeros(0, dtype=int)
        tied = np.flatnonzero(np.abs(g) >= m - TIED * self.slack * self.scale)
        if len(tied) == 1:
            return tied
        s, H = np.sign(g[tied]), self.block(x, tied)
        self.unique &= bool(np.linalg.eigvalsh(H)[0] > self.floor(x))
        found: list[tuple[float, Array]] = []
        for size in range(1, min(len(tied), _SOUGHT) + 1):
            for subset in itertools.combinations(range(len(tied)), size):
                A = np.array(subset)
                v = np.zeros(len(tied))
                v[A] = share(H[np.ix_(A, A)], s[A]) if size > 1 else -s[A]
                change = s * (H @ v)  # of the |xi_i|
                eps = SAME * float(np.abs(H).max())
                if (-s[A] * v[A] >= -ROUNDING).all() and (change <= change[A].max() + eps).all():
                    found.append((float(change[A].max()), tied[A]))
        if not found:
            self.lose(self.here[0], x, Status.UNSOLVED)
            return np.zeros(0, dtype=int)
        self.unique &= len(found) == 1 or all(
            math.isclose(found[0][0], c, rel_tol=_ALIKE, abs_tol=ROUNDING) for c, _ in found
        )
        return max(found, key=lambda one: len(one[1]))[1]


def share(H: Array, s: Array) -> Array:
    """v with H v = -c s and sum of |v_i| = 1: all |xi_i| change alike.

    >>> share(np.eye(2), np.array([1.0, -1.0]))
    array([-0.5,  0.5])
    """
    v = -np.linalg.lstsq(H, s, rcond=ROUNDING)[0]
    size = float(np.abs(v).sum())
    return v / size if size > 0 else -s / len(s)
