"""Event-driven l_inf curves of smooth energies, with sliding, one curve at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from maxslope._rows import flat
from maxslope._status import Status
from maxslope.curve import Curve
from maxslope.energies import Constrained, Energy
from maxslope.reference.modes import Array, Mode, choose_mode, descent
from maxslope.sets import Box, Everything
from maxslope.spaces import Lp


@dataclass(frozen=True, eq=False)
class Reference:
    """Reference curves and what is known about them.

    Attributes:
        curve: the curves, at a common grid of instants; float64. Status UNSOLVED marks rows where Newton's method lost
            the sliding set (the energy is not smooth there); they rest from then on.
        unique: whether the flow had only one way to go at every event, ``[rows]``. Where it had several, the curve is
            the one of least speed (v = 0 where xi = 0 and nothing drives it away).
        events: the times at which coordinates began or ceased to slide, crossed zero or met a face, row by row.
    """

    curve: Curve
    unique: Tensor
    events: list[list[float]]
    _rows: list[_Row] = field(repr=False)

    def at(self, t: float) -> Tensor:
        """Return the points at any time, ``[rows, *shape]`` float64, as exact as at the instants of the grid."""
        points = np.stack([row.at(t) for row in self._rows])
        return torch.from_numpy(points).reshape(self.curve.points.shape[1:])


def reference(energy: Energy, x: Tensor, until: float, *, instants: int = 512, tolerance: float = 1e-11) -> Reference:
    """Follow the inf-curve of maximal slope in l_inf to a tolerance, from event to event.

    Between events every coordinate moves with velocity -sign(xi_i), rests at a face, or slides with xi_i = 0. The first
    two kinds move along straight lines in time, so the curve needs no integration: the sliding coordinates solve
    xi_S(x) = 0 by Newton's method, at any time wanted. Events are zeros of xi_i, |v_i| = 1 on the sliding set, with
    H_SS v_S = -H_SI v_I, and faces; after each the admissible velocities are found anew.

    Args:
        energy: smooth; constrained by ``energy.within(box)`` to a box at most.
        x: ``[rows, *shape]``, computed in float64.
        until: the end.
        instants: the curve is recorded at ``instants`` equal steps of time (``Reference.at`` knows it between them),
            and scanned for events at least that finely; two events of one coordinate within half of a step may be
            missed.
        tolerance: of xi_S on the sliding set and of event times, relative.

    Returns:
        A :class:`Reference`.

    Raises:
        ValueError: if the domain is neither a box nor everything, or ``until`` or ``instants`` is not positive.

    Source: arXiv:2406.05376, section 2 (the inclusion u' in d|.|_*(-xi)); the event-driven solver is the project's own.

    >>> from maxslope.energies import Quadratic
    >>> found = reference(Quadratic(torch.eye(2)), torch.tensor([[1.0, 0.25]]), 0.5)
    >>> found.curve.end, found.unique.tolist()
    (tensor([[0.5000, 0.0000]], dtype=torch.float64), [True])
    """
    smooth, domain = (energy.smooth, energy.domain) if isinstance(energy, Constrained) else (energy, Everything())
    if not isinstance(domain, Box | Everything):
        raise ValueError(f"Reference curves are known in boxes and without constraint, got {type(domain).__name__}.")
    if not until > 0 or instants < 1:
        raise ValueError(f"A reference curve needs until > 0 and instants >= 1, got {until!r} and {instants!r}.")
    x = domain.project(x.detach().double())
    grid = np.linspace(0.0, until, instants + 1)
    rows = [_Row(smooth, domain, x, i, tolerance) for i in range(x.shape[0])]
    points = torch.stack([torch.from_numpy(row.follow(grid)) for row in rows], 1).reshape(instants + 1, *x.shape)
    return Reference(
        _record(smooth, domain, points, grid, rows),
        torch.tensor([row.unique for row in rows]),
        [row.events for row in rows],
        rows,
    )


def _record(energy: Energy, domain: Box | Everything, points: Tensor, grid: Array, rows: list[_Row]) -> Curve:
    n, k = points.shape[1], points.shape[0]
    space = Lp(math.inf)
    evaluations = [energy.evaluate(p) for p in points]
    status = torch.tensor([int(Status.UNSOLVED if row.lost else Status.FINISHED) for row in rows])
    count = (torch.tensor([row.spent for row in rows]) + k) * energy.passes
    return Curve(
        torch.from_numpy(grid)[:, None].expand(k, n).contiguous(),
        points,
        torch.stack([e.value for e in evaluations]),
        torch.stack([domain.slope(e.gradient, p, space) for e, p in zip(evaluations, points, strict=True)]),
        torch.stack([e.margin for e in evaluations]),
        status,
        count,
        count.clone(),
        space,
        math.inf,
    )


class _Row:
    """One curve."""

    def __init__(self, energy: Energy, domain: Box | Everything, x: Tensor, i: int, tolerance: float) -> None:
        index = torch.tensor([i])
        self.energy, self.like, self.tolerance = energy.take(index), x[i : i + 1], tolerance
        self.x = flat(self.like)[0].numpy().copy()
        self.lo, self.hi = np.full_like(self.x, -np.inf), np.full_like(self.x, np.inf)
        if isinstance(domain, Box):
            box = domain.take(index)
            self.lo, self.hi = (flat(b.expand_as(self.like))[0].double().numpy() for b in (box.lo, box.hi))
        self.unique, self.lost, self.spent = True, False, 0
        self.events: list[float] = []
        self.pieces: list[_Piece] = []

    def at(self, t: float) -> Array:
        """The point at time t of a curve that was followed."""
        later = [k for k, piece in enumerate(self.pieces) if piece.t0 > t]
        piece = self.pieces[later[0] - 1 if later else -1]
        return piece.x0 if piece.rest or self.lost else np.clip(piece.at(t), self.lo, self.hi)

    def gradient(self, x: Array) -> Array:
        self.spent += 1
        point = torch.from_numpy(x).reshape(self.like.shape)
        return flat(self.energy.evaluate(point).gradient)[0].numpy()

    def along(self, x: Array, v: Array) -> Array:
        """H v by a central difference."""
        size = float(np.abs(v).max())
        if size == 0:
            return np.zeros_like(v)
        h = 6e-6 * max(1.0, float(np.abs(x).max())) / size
        difference: Array = (self.gradient(x + h * v) - self.gradient(x - h * v)) / (2 * h)
        return difference

    def block(self, x: Array, S: Array) -> Array:
        """H_SS, symmetric."""
        columns = [self.along(x, np.eye(len(x))[i])[S] for i in S]
        H = np.stack(columns, 1) if len(S) else np.zeros((0, 0))
        return (H + H.T) / 2

    def follow(self, grid: Array) -> Array:
        """The points at the instants of the grid."""
        out = np.empty((len(grid), len(self.x)))
        out[0] = self.x
        t, k = 0.0, 1
        size = np.abs(self.gradient(self.x))
        scale = float(size.max())
        zero = size <= 1e-13 * scale
        while k < len(grid):
            piece = _Piece(self, t, self.mode(zero))
            self.pieces.append(piece)
            while k < len(grid):
                end, x, which = piece.advance(t, grid[k])
                if which is not None or self.lost:
                    break
                out[k], t, k = x, end, k + 1
            if self.lost:
                out[k:] = piece.x0
                break
            if k < len(grid):
                assert which is not None
                self.events.append(float(end))
                self.x, t = x, end
                zero = which & ~((x <= self.lo) | (x >= self.hi)) | piece.mode.slides
                zero |= np.abs(self.gradient(x)) <= 1e2 * self.tolerance * max(scale, 1e-300)
        return out

    def mode(self, zero: Array) -> Mode:
        """Choose how to go on from ``self.x``."""
        x = self.x
        g = self.gradient(x)
        at_lo, at_hi = x <= self.lo + 1e-14, x >= self.hi - 1e-14
        Z = np.flatnonzero(zero)
        drift = self.along(x, descent(g, zero, at_lo, at_hi))[Z]
        found = choose_mode(g, zero, at_lo, at_hi, self.block(x, Z), drift)
        self.unique &= found.unique
        return found


class _Piece:
    """The curve between two events."""

    def __init__(self, row: _Row, t: float, mode: Mode) -> None:
        self.row, self.t0, self.mode = row, t, mode
        self.x0 = row.x.copy()
        self.S = np.flatnonzero(mode.slides)
        self.rest = not mode.fixed.any()
        g = row.gradient(self.x0)
        self.scale = max(float(np.abs(g).max()), 1e-300)
        self.side = np.where(mode.fixed != 0, -mode.fixed, np.sign(g))  # the sign xi_i must keep off the sliding set
        self.v0 = self.velocity(self.x0)
        self.H: Array | None = None
        self.known = {t: self.x0[self.S]}
        arrive = np.where(mode.fixed > 0, (row.hi - self.x0), np.where(mode.fixed < 0, self.x0 - row.lo, np.inf))
        moving = mode.fixed != 0
        self.arrival = np.where(moving, self.t0 + arrive / np.where(moving, np.abs(mode.fixed), 1.0), np.inf)

    def velocity(self, x: Array) -> Array:
        v = self.mode.fixed.copy()
        if len(self.S) and not self.rest:
            drift = self.row.along(x, v)[self.S]
            v[self.S] = np.linalg.lstsq(self.row.block(x, self.S), -drift, rcond=None)[0]
        return v

    def at(self, t: float) -> Array:
        """The point at time t: straight lines, and Newton's method for what slides."""
        x = self.x0 + (t - self.t0) * self.v0
        if not len(self.S) or self.rest:
            return x
        x[self.S] = self._nearest(t)
        for k in range(16):
            g = self.row.gradient(x)[self.S]
            if np.abs(g).max() <= self.row.tolerance * self.scale:
                self.known[t] = x[self.S].copy()
                return x
            if self.H is None or k % 4 == 3:
                self.H = self.row.block(x, self.S)
            x[self.S] -= np.linalg.lstsq(self.H, g, rcond=None)[0]
        self.row.lost = self.row.lost or not np.abs(self.row.gradient(x)[self.S]).max() <= 1e-7 * self.scale
        return x

    def _nearest(self, t: float) -> Array:
        """A guess for what slides: from the nearest time solved for, along its velocity at the start of the piece."""
        s = min(self.known, key=lambda s: abs(s - t))
        return self.known[s] + (t - s) * self.v0[self.S]

    def margins(self, t: float) -> tuple[Array, Array]:
        """(2, d) numbers that are not negative while the mode holds, and the point."""
        x = self.at(t)
        g = self.row.gradient(x) / self.scale
        free = np.where(self.mode.slides | (self.side == 0), np.inf, self.side * g)
        held = np.full_like(free, np.inf)
        if len(self.S) and not self.rest:
            v = self.velocity(x)
            room = np.minimum(self.mode.upper - v, v - self.mode.lower)
            faces = np.minimum(self.row.hi - x, x - self.row.lo)
            sliding = np.where((self.x0 > self.row.lo) & (self.x0 < self.row.hi), np.minimum(room, faces), room)
            held = np.where(self.mode.slides, sliding, np.inf)
        return np.stack([free, held]), x

    def advance(self, t: float, end: float) -> tuple[float, Array, Array | None]:
        """Go on to ``end`` or to the first event: (time, point, which coordinates have it)."""
        if self.rest:
            return end, self.x0.copy(), None
        face = float(self.arrival.min())
        stop = min(end, face)
        before, (after, x) = t, self.margins(stop)
        slack = 20 * self.row.tolerance
        middle = (t + stop) / 2
        early, _ = self.margins(middle) if self._may_hide(after) else (after, x)
        if (early < -slack).any():
            stop, after = middle, early
        if (after < -slack).any():
            when = self._first(before, stop, slack)
            m, x = self.margins(when)
            return when, self._snap(x), (np.minimum(*m) <= slack * 4)
        if face <= end:
            return face, self._snap(x, self.arrival <= face * (1 + 1e-14)), self.arrival <= face * (1 + 1e-14)
        return end, x, None

    def _may_hide(self, after: Array) -> bool:
        return bool((after < 0.05).any())

    def _first(self, a: float, b: float, slack: float) -> float:
        """The first time at which some margin falls below zero, by bisection and secants on the least margin."""
        fa, fb = float(self.margins(a)[0].min()) + slack / 2, float(self.margins(b)[0].min()) + slack / 2
        if fa <= 0:
            return a
        for k in range(100):
            if b - a <= 2e-16 * max(1.0, abs(b)) or abs(fb) <= slack / 4:
                break
            secant = b - fb * (b - a) / (fb - fa)
            t = secant if k % 3 and a < secant < b else (a + b) / 2
            f = float(self.margins(t)[0].min()) + slack / 2
            a, b, fa, fb = (a, t, fa, f) if f < 0 else (t, b, f, fb)
        return b

    def _snap(self, x: Array, arrived: Array | None = None) -> Array:
        """Put coordinates that reached a face exactly onto it."""
        near_lo = np.abs(x - self.row.lo) <= 1e-12 if arrived is None else arrived & (self.mode.fixed < 0)
        near_hi = np.abs(x - self.row.hi) <= 1e-12 if arrived is None else arrived & (self.mode.fixed > 0)
        x = np.where(near_lo, self.row.lo, np.where(near_hi, self.row.hi, x))
        inside: Array = np.clip(x, self.row.lo, self.row.hi)
        return inside
