"""Curves in l_p, 1 < p < inf, by an integrator of high order, in a time in which minimizers are met smoothly."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from maxslope._optional import optional
from maxslope._rows import flat
from maxslope._status import Status
from maxslope.energies import Energy
from maxslope.reference.base import LEAST, ROUNDING, Array, Piece, Row, TooLongError, first
from maxslope.sets import BallBox, Set
from maxslope.spaces import Lp

_ARRIVED = 1e-10  # of the slope at the start: unless the energy is flat, the rest of the way is as short
_MOST = 10_000  # gradients a curve may take


class Smooth(Row):
    """One curve u' = |xi|_*^(q-1) v(xi) of rate p, with xi the gradient along the faces that hold it.

    In the time s with dt = |xi|_*^(2-q) ds it reads du/ds = |xi|_* v(xi): a smooth field in l_2, that of gradient flow,
    which tends to a minimizer and does not overrun it; t comes along as one more unknown.
    """

    def __init__(self, energy: Energy, domain: Set, x: Tensor, tolerance: float, space: Lp, rate: float) -> None:
        Row.__init__(self, energy, domain, x, tolerance)
        self.space, self.q = space, 1.0 if math.isinf(rate) else rate / (rate - 1)
        self.center, self.radius = np.zeros_like(self.x), math.inf
        if isinstance(self.domain, BallBox):
            self.center, self.radius = flat(self.domain.center)[0].double().numpy(), float(self.domain.radius)

    def run(self, grid: Array) -> None:
        with optional("Reference curves in l_p need scipy", "[flows]"):
            from scipy.integrate import solve_ivp
        until, t, u = float(grid[-1]), 0.0, self.x
        self.begin()
        arrived = _ARRIVED * self.scale
        while t < until:
            held = self._held(u, self.gradient(u))
            if self._size(u, held) <= arrived:
                return self._arrive(t, u, held)
            answer = solve_ivp(
                self._field(held),
                (0.0, 1e300),
                np.r_[u, t],
                "DOP853",
                dense_output=True,
                events=self._events(held, until, arrived),
                rtol=max(self.tolerance, LEAST),
                atol=0.1 * self.tolerance * max(1e-3, float(np.abs(u).max())),
            )
            if answer.status != 1:
                return self.lose(t, u, Status.UNSOLVED)
            way = partial(self._along_solution, end=float(answer.t[-1]), solution=answer.sol)
            self.pieces.append(Piece(t, way))
            ended, arrives = (len(times) > 0 for times in answer.t_events[:2])
            t = until if ended else float(answer.y[-1, -1])
            u = self.snap(self._onto(answer.y[:-1, -1], held), ~held.faces)
            self.here = (t, u)
            self.events += [] if ended else [t]
            if arrives:
                return self._arrive(t, u, held)
        return None

    def _along_solution(self, t: float, end: float, solution: Callable[[float], Array]) -> Array:
        """The point at a time t, of a solution by the time s, which knows t as well and ends at s = ``end``."""
        s = first(0.0, end, lambda s: solution(s)[-1] >= t)
        return np.asarray(np.clip(solution(s)[:-1], self.lo, self.hi))

    def _arrive(self, t: float, u: Array, held: _Held) -> None:
        """Rest from now on: known to be the only way where the energy is strictly convex there."""
        self.here = (t, u)
        self.unique &= self._curved(u) if held.sphere else self.definite(u, np.flatnonzero(~held.faces))

    def floor(self, x: Array) -> float:
        """See :class:`Row`; larger, so that the rest of the way at arrival is a millionth at most."""
        return 1e3 * Row.floor(self, x)

    def _curved(self, u: Array) -> bool:
        """Whether the energy is strictly convex along the sphere, whose own curvature adds |DE| / radius."""
        g, way = self.gradient(u), u - self.center
        basis = np.linalg.svd(way[None])[2][1:]
        H = basis @ self.block(u, np.arange(len(u))) @ basis.T + np.eye(len(u) - 1) * np.linalg.norm(g) / self.radius
        return bool(np.linalg.eigvalsh(H)[0] > self.floor(u))

    def _held(self, u: Array, g: Array) -> _Held:
        held = ((u <= self.lo) & (g >= 0)) | ((u >= self.hi) & (g <= 0))
        way = u - self.center
        outside = float(np.linalg.norm(way)) >= self.radius * (1 - ROUNDING)
        return _Held(held, bool(outside and g @ way < 0))

    def _along(self, u: Array, held: _Held) -> Array:
        """The gradient less what faces and sphere take up."""
        g = np.where(held.faces, 0.0, self.gradient(u))
        if held.sphere:
            n = (u - self.center) / np.linalg.norm(u - self.center)
            g = g - (g @ n) * n
        return g

    def _size(self, u: Array, held: _Held) -> float:
        return float(self.space.dual_norm(torch.from_numpy(self._along(u, held))[None]))

    def _onto(self, u: Array, held: _Held) -> Array:
        way = u - self.center
        return np.asarray(self.center + way * (self.radius / np.linalg.norm(way)) if held.sphere else u)

    def _field(self, held: _Held) -> Callable[[float, Array], Array]:
        def field(_: float, state: Array) -> Array:
            if self.spent > _MOST:
                raise TooLongError
            xi = torch.from_numpy(self._along(self._onto(state[:-1], held), held))[None]
            size = float(self.space.dual_norm(xi))
            v = self.space.steepest(xi)[0].numpy()
            return np.asarray(np.r_[size * v, size ** (2 - self.q)])

        return field

    def _events(self, held: _Held, until: float, arrived: float) -> list[Any]:
        """Functions of (s, state) that fall through zero where the piece ends."""
        start = self.here[1]
        leaves = (start <= self.lo) | (start >= self.hi)  # coordinates that start the piece on a face and leave it

        def end(_: float, state: Array) -> float:
            return float(until - state[-1])

        def arrival(_: float, state: Array) -> float:
            return self._size(self._onto(state[:-1], held), held) - arrived

        def faces(_: float, state: Array) -> float:
            room = np.minimum(state[:-1] - self.lo, self.hi - state[:-1])
            return float(np.where(held.faces | (leaves & (room <= ROUNDING)), np.inf, room).min())

        def release(_: float, state: Array) -> float:
            u = self._onto(state[:-1], held)
            g = self.gradient(u)
            push = np.where(u <= self.lo, g, -g)
            inward = -float(g @ (u - self.center)) if held.sphere else np.inf
            return float(min(np.where(held.faces, push, np.inf).min(), inward)) + ROUNDING

        def sphere(_: float, state: Array) -> float:
            return self.radius - float(np.linalg.norm(state[:-1] - self.center))

        chosen = [end, arrival]
        if np.isfinite(self.lo).any() or np.isfinite(self.hi).any():
            chosen.append(faces)
        if held.faces.any() or held.sphere:
            chosen.append(release)
        if not held.sphere and math.isfinite(self.radius):
            chosen.append(sphere)
        for function in chosen:
            function.terminal, function.direction = True, -1.0  # type: ignore[attr-defined]
        return chosen


class _Held(NamedTuple):
    """What holds a curve: the coordinates that a face does, ``[d]`` bool, and whether the sphere does."""

    faces: Array
    sphere: bool
