"""One row of a reference curve: its energy in float64, its Hessian by differences, what became known of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from maxslope._rows import flat
from maxslope._status import Status
from maxslope.energies import Energy
from maxslope.sets import BallBox, Box, Set

Array = np.ndarray
# Tolerances of the solvers, with their reasons; what a hundredth and a hundred times of each change is measured by
# benchmarks/reference.py.
EPS = float(np.finfo(float).eps)
ROUNDING = 1e-12  # of coordinates, times and velocities, relative to their sizes: that of thousands of operations
SAME = 1e-9  # relative: what is nearer to each other is the same, with a Hessian that differences know to nine digits
LEAST = 1e-13  # the least relative tolerance of an integrator, which scipy wants to be above 100 EPS
SLACK = 20  # tolerances by which a margin may be negative before a piece ends: Newton's method is as inexact
TIED = 4  # slacks up to which margins count as zero where one of them is
STEP = 6e-6  # of differences, EPS^(1/3): there the errors of truncation and rounding of a central difference meet
FLAT = 1e-7  # of the gradient at the start: curvatures up to this one may be those of differences, EPS / STEP and more
FAILED = 1e-7  # of the scale: what Newton's method may leave where it does not reach the tolerance
JUMP = 1e-4  # of the largest gradient component: a gradient that changes by more at an event has a kink there
SINGULAR = 1e8  # of the gradient at the start: from there on the energy counts as singular


class TooLongError(ArithmeticError):
    """An integrator takes more gradients than a smooth curve needs."""


class NotFiniteError(ArithmeticError):
    """The energy or its gradient is NaN, infinite, or has grown beyond all bounds."""


class Piece(NamedTuple):
    """A curve from the time ``t0`` until the next piece, as the point at each time."""

    t0: float
    at: Callable[[float], Array]


class Row(ABC):
    """One curve, followed once and known at every time after.

    Attributes:
        unique: whether there was only one way to go at every event.
        status: why it ended.
        spent: gradients evaluated.
        events: times at which something changed.
        here: the last time and point of which the curve is sure.
        pieces: what it is made of, in order.
    """

    status: Status
    here: tuple[float, Array]
    pieces: list[Piece]
    events: list[float]

    def __init__(self, energy: Energy, domain: Set, x: Tensor, tolerance: float) -> None:
        self.energy, self.domain, self.like, self.tolerance = energy, domain, x, tolerance
        self.x = flat(self.like)[0].numpy().copy()
        self.lo, self.hi = np.full_like(self.x, -np.inf), np.full_like(self.x, np.inf)
        box = self.domain.box if isinstance(self.domain, BallBox) else self.domain
        if isinstance(box, Box):
            self.lo, self.hi = (flat(b.expand_as(self.like))[0].double().numpy() for b in (box.lo, box.hi))
        self.unique, self.spent = True, 0
        self.bound, self.scale = np.inf, 0.0

    @abstractmethod
    def run(self, grid: Array) -> None:
        """Go on until the last instant of the grid, which is increasing from 0, noting ``here`` on the way."""

    def follow(self, grid: Array) -> Array:
        """Return the points at the instants of the grid; a curve that cannot go on rests where it was last known."""
        self.pieces, self.events, self.status, self.here = [], [], Status.FINISHED, (0.0, self.x)
        try:
            self.run(grid)
        except NotFiniteError:
            self.status = Status.NON_FINITE
        except TooLongError:
            self.status = Status.UNSOLVED
        return np.stack([self.at(t) for t in grid])

    def at(self, t: float) -> Array:
        """Return the point at any time of a curve that was followed."""
        when, x = self.here
        return x if t >= when else self.pieces[bisect_right(self.pieces, t, key=lambda piece: piece.t0) - 1].at(t)

    def ended(self) -> bool:
        """Whether the curve cannot go on."""
        return self.status != Status.FINISHED

    def lose(self, t: float, x: Array, status: Status) -> None:
        """End here, with a reason."""
        self.status, self.here = status, (t, x)

    def begin(self) -> None:
        """Find the scale that gradients are measured by: their largest component at the start, or 1 where all are 0."""
        if not np.isfinite(self.x).all():
            raise NotFiniteError
        self.scale = float(np.abs(self.gradient(self.x)).max()) or 1.0
        self.bound = SINGULAR * self.scale

    def gradient(self, x: Array) -> Array:
        """DE at x, ``[d]``; a :class:`NotFiniteError` where it is so large that the energy must be singular."""
        self.spent += 1
        e = self.energy.evaluate(torch.from_numpy(x).reshape(self.like.shape))
        g = flat(e.gradient)[0].numpy()
        if not (np.isfinite(g).all() and bool(e.value.isfinite().all())) or np.abs(g).max() > self.bound:
            raise NotFiniteError
        return g

    def snap(self, x: Array, free: Array | bool = True) -> Array:
        """Put the coordinates, of those that are free, that met a face exactly onto it."""
        x = np.where(free & (np.abs(x - self.lo) <= ROUNDING), self.lo, x)
        x = np.where(free & (np.abs(x - self.hi) <= ROUNDING), self.hi, x)
        return np.asarray(np.clip(x, self.lo, self.hi))

    def along(self, x: Array, v: Array) -> Array:
        """H v by a central difference."""
        size = float(np.abs(v).max())
        if size == 0:
            return np.zeros_like(v)
        h = STEP * max(1.0, float(np.abs(x).max())) / size
        difference: Array = (self.gradient(x + h * v) - self.gradient(x - h * v)) / (2 * h)
        return difference

    def block(self, x: Array, S: Array) -> Array:
        """H_SS, symmetric."""
        columns = [self.along(x, np.eye(len(x))[i])[S] for i in S]
        H = np.stack(columns, 1) if len(S) else np.zeros((0, 0))
        return (H + H.T) / 2

    def definite(self, x: Array, S: Array) -> bool:
        """Whether H_SS is positive definite beyond the error of differences."""
        if not len(S):
            return True
        return bool(np.linalg.eigvalsh(self.block(x, S))[0] > self.floor(x))

    def floor(self, x: Array) -> float:
        """Curvatures up to this one are those of rounding: the energy may as well be flat."""
        return FLAT * self.scale / max(1.0, float(np.abs(x).max()))


class Part(ABC):
    """What is solved for between two events."""

    @abstractmethod
    def at(self, t: float) -> Array:
        """Return the point at a time of the part."""

    @abstractmethod
    def advance(self, t: float, end: float) -> tuple[float, Array, Array | None]:
        """Go on to ``end`` or to the first event: (time, point, which coordinates have it)."""


class Turning(Row):
    """A curve of unit speed that is solved for between events, and chooses its way anew at each."""

    @abstractmethod
    def start(self) -> Part:
        """Return the part with which the curve begins."""

    @abstractmethod
    def turn(self, part: Any, t: float, x: Array, which: Array) -> Part:
        """Return the part that follows an event of some coordinates; where none may, :meth:`lose` the curve."""

    def run(self, grid: Array) -> None:
        t, part = 0.0, self.start()
        self.pieces.append(Piece(t, part.at))
        for end in grid[1:]:
            while not self.ended():
                t, x, which = part.advance(t, end)
                if self.ended():
                    return
                self.here = (t, np.clip(x, self.lo, self.hi))
                if which is None:
                    break
                self.events.append(float(t))
                part = self.turn(part, t, x, which)
                self.pieces.append(Piece(t, part.at))


def first(a: float, b: float, happened: Callable[[float], bool]) -> float:
    """Return the first time in [a, b] at which something has happened that has at b, by bisection."""
    if happened(a):
        return a
    for _ in range(100):
        middle = (a + b) / 2
        if b - a <= EPS * max(1.0, abs(b)):
            break
        a, b = (a, middle) if happened(middle) else (middle, b)
    return b
