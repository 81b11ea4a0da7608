"""Event-driven l_inf curves of smooth energies, with sliding, one curve at a time."""

from __future__ import annotations

import numpy as np

from maxslope._status import Status
from maxslope.reference.base import EPS, FAILED, JUMP, ROUNDING, SLACK, TIED, Array, Part, Turning, first
from maxslope.reference.modes import Mode, choose_mode, descent

_NEAR = 0.05  # a margin below which it may have been negative on the way
_STEPS = 16  # of Newton's method; four are too few for a tanh network whose sliding set bends
_KEPT = 4  # steps with one Hessian
_FAINT = 1e-15  # a gradient, over that at the beginning of the piece, that is rounding


class Straight(Turning):
    """One curve in l_inf with unit speed."""

    def start(self) -> _Piece:
        self.begin()
        return self._piece(0.0, self.x, np.abs(self.gradient(self.x)) <= ROUNDING * self.scale)

    def turn(self, part: _Piece, t: float, x: Array, which: Array) -> _Piece:
        """See :class:`Turning`; a gradient that jumps ends the curve."""
        size = np.abs(self.gradient(x))
        free = which & ~((x <= self.lo) | (x >= self.hi))
        jump = float(size[free & (part.mode.fixed != 0)].max(initial=0.0))
        if jump > JUMP * max(self.scale, part.scale):
            self.lose(t, x, Status.UNSOLVED)
            return part
        zero = free | part.mode.slides | (size <= TIED * SLACK * self.tolerance * self.scale)
        return self._piece(t, x, zero)

    def _piece(self, t: float, x: Array, zero: Array) -> _Piece:
        """The way on from x, where the gradient of some coordinates is zero."""
        g = self.gradient(x)
        at_lo, at_hi = x <= self.lo, x >= self.hi
        Z = np.flatnonzero(zero)
        drift = self.along(x, descent(g, zero, at_lo, at_hi))[Z]
        mode = choose_mode(g, zero, at_lo, at_hi, self.block(x, Z), drift, self.floor(x))
        self.unique &= mode.unique
        return _Piece(self, t, x, mode)


class _Piece(Part):
    """The curve between two events."""

    def __init__(self, row: Straight, t: float, x: Array, mode: Mode) -> None:
        self.row, self.t0, self.x0, self.mode = row, t, x.copy(), mode
        self.moving = mode.fixed != 0
        self.S = np.flatnonzero(mode.slides & self.moving.any())  # nothing slides where nothing moves
        g = row.gradient(self.x0)
        self.scale = max(float(np.abs(g).max()), 1e-300)
        self.side = np.where(self.moving, -mode.fixed, np.sign(g))  # the sign xi_i must keep off the sliding set
        self.v0 = self.velocity(self.x0)
        self.H: Array | None = None
        self.known = {t: self.x0[self.S]}
        way = np.where(mode.fixed > 0, row.hi - self.x0, self.x0 - row.lo)
        self.arrival = np.where(self.moving, t + way, np.inf)

    def velocity(self, x: Array) -> Array:
        v = self.mode.fixed.copy()
        if len(self.S):
            drift = self.row.along(x, v)[self.S]
            v[self.S] = np.linalg.lstsq(self.row.block(x, self.S), -drift, rcond=None)[0]
        return v

    def at(self, t: float) -> Array:
        return np.asarray(np.clip(self._solved(t), self.row.lo, self.row.hi))

    def _solved(self, t: float) -> Array:
        """The point at time t: straight lines, and Newton's method for what slides, from the nearest time known."""
        x: Array = self.x0 + (t - self.t0) * self.v0
        if not len(self.S):
            return x
        near = min(self.known, key=lambda s: abs(s - t))
        x[self.S] = self.known[near] + (t - near) * self.v0[self.S]
        for k in range(_STEPS):
            g = self.row.gradient(x)[self.S]
            if np.abs(g).max() <= self.row.tolerance * self.scale:
                self.known[t] = x[self.S].copy()
                return x
            if self.H is None or k % _KEPT == _KEPT - 1:
                self.H = self.row.block(x, self.S)
            x[self.S] -= np.linalg.lstsq(self.H, g, rcond=None)[0]
        if not np.abs(self.row.gradient(x)[self.S]).max() <= FAILED * self.scale:
            self.row.lose(self.t0, self.x0, Status.UNSOLVED)
        return x

    def margins(self, t: float) -> tuple[Array, Array]:
        """(2, d) numbers that are not negative while the mode holds, and the point."""
        x = self._solved(t)
        g = self.row.gradient(x) / self.scale
        free = np.where(self.mode.slides | (self.side == 0), np.inf, self.side * g)
        held = np.full_like(free, np.inf)
        if len(self.S):
            v = self.velocity(x)
            room = np.minimum(self.mode.upper - v, v - self.mode.lower)
            faces = np.minimum(self.row.hi - x, x - self.row.lo)
            sliding = np.where((self.x0 > self.row.lo) & (self.x0 < self.row.hi), np.minimum(room, faces), room)
            held = np.where(self.mode.slides, sliding, np.inf)
        return np.stack([free, held]), x

    def advance(self, t: float, end: float) -> tuple[float, Array, Array | None]:
        if not self.moving.any():
            return end, self.x0.copy(), None
        face = float(self.arrival.min())
        stop = min(end, face)
        after, x = self.margins(stop)
        slack = SLACK * self.row.tolerance
        middle = (t + stop) / 2
        early, _ = self.margins(middle) if (after < _NEAR).any() else (after, x)  # may fall below zero and return
        if (early < -slack).any():
            stop, after = middle, early
        if (after < -slack).any():
            when = self._first(t, stop, slack)
            m, x = self.margins(when)
            return when, self.row.snap(x), (np.minimum(*m) <= slack * TIED)
        if self._flat(after, _FAINT).any() and self._flat(self.margins((t + stop) / 2)[0], _FAINT).any():
            self.row.unique = False  # all along the way
        if self._flat(after).any():
            when = first(t, stop, lambda s: bool(self._flat(self.margins(s)[0]).any()))
            m, x = self.margins(when)
            return when, self.row.snap(x), self._flat(m)
        if face <= end:
            arrived = self.arrival <= face * (1 + ROUNDING)  # at one time, that is
            onto = np.where(self.mode.fixed < 0, self.row.lo, self.row.hi)
            return face, np.clip(np.where(arrived, onto, x), self.row.lo, self.row.hi), arrived
        return end, x, None

    def _flat(self, margins: Array, bound: float = 0.0) -> Array:
        """Which moving coordinates have no gradient above this: the energy is flat, and nothing drives them on."""
        flat: Array = self.moving & (np.abs(margins[0]) <= bound)
        return flat

    def _first(self, a: float, b: float, slack: float) -> float:
        """The first time at which some margin falls below zero, by bisection and secants on the least margin."""
        fa, fb = float(self.margins(a)[0].min()) + slack / 2, float(self.margins(b)[0].min()) + slack / 2
        if fa <= 0:
            return a
        for k in range(100):
            if b - a <= EPS * max(1.0, abs(b)) or abs(fb) <= slack / 4:
                break
            secant = b - fb * (b - a) / (fb - fa)
            t = secant if k % 3 and a < secant < b else (a + b) / 2
            f = float(self.margins(t)[0].min()) + slack / 2
            a, b, fa, fb = (a, t, fa, f) if f < 0 else (t, b, f, fb)
        return b
