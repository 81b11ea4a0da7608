"""Finite rates: a curve of unit speed, run through at the speed |dE|^(q-1)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from maxslope._optional import optional
from maxslope.reference.base import LEAST, ROUNDING, SAME, Array, NotFiniteError, Piece, Row, TooLongError
from maxslope.spaces import Lp

_FURTHER = 1.5  # times the length of a curve whose slope does not grow: so far is the unit curve followed at first
_RESTS = 1e-13  # of the slope at the start: from there on the curve rests


class Rated(Row):
    """The curve t -> U(s(t)) with s' = |dE|(U(s))^(q-1), integrated from event to event of U.

    Near a minimizer the logarithm of the slope is what falls steadily, and the integrator's steps shrink with it; a
    curve whose slope has fallen by thirteen digits rests. The unit curve is given not yet followed.
    """

    def __init__(self, unit: Row, space: Lp, rate: float) -> None:
        Row.__init__(self, unit.energy, unit.domain, unit.like, unit.tolerance)
        self.unit, self.space, self.power = unit, space, 1 / (rate - 1)

    def slope(self, s: float) -> float:
        """|dE|(U(s))."""
        point = torch.from_numpy(np.ascontiguousarray(self.unit.at(s) if s > 0 else self.x)).reshape(self.like.shape)
        self.spent += 1
        return float(self.domain.slope(self.energy.evaluate(point).gradient, point, self.space))

    def run(self, grid: Array) -> None:
        until, t, s = float(grid[-1]), 0.0, 0.0
        start = self.slope(0.0)
        if not math.isfinite(start):
            raise NotFiniteError
        length, small = _FURTHER * until * start**self.power, _RESTS * start
        while t < until:
            self.unit.follow(np.linspace(0.0, length or 1.0, len(grid)))
            for stop in [*(e for e in self.unit.events if e > s * (1 + ROUNDING)), length]:
                t, s, still = self._run_through(t, s, until, max(stop * (1 - LEAST), s), small, length)
                if still:  # it rests
                    t = until
                if t >= until:
                    break
                self.events += [t] if stop < length else []
            length *= 2
        self.unique, self.spent = self.unit.unique, self.spent + self.unit.spent
        if self.unit.ended() and s >= self.unit.here[0] * (1 - SAME):
            self.status = self.unit.status

    def _run_through(
        self, t: float, s: float, until: float, stop: float, small: float, length: float
    ) -> tuple[float, float, bool]:
        """Go on until the time ``until``, the length ``stop`` or a small slope, and say whether it was that."""
        with optional("Reference curves of finite rate need scipy", "[flows]"):
            from scipy.integrate import solve_ivp

        def speed(_: float, state: Array) -> list[float]:
            return [self.slope(min(float(state[0]), stop)) ** self.power]

        def over(_: float, state: Array) -> float:
            return float(stop - state[0])

        def still(_: float, state: Array) -> float:
            return self.slope(min(float(state[0]), stop)) - small

        stopping: list[Any] = [over, still]
        for event in stopping:
            event.terminal = True
        self.here = (t, self.unit.at(s))
        if self.slope(stop) <= small and self.slope(s) <= small:
            return t, s, True
        tolerances = {"rtol": max(self.tolerance, LEAST), "atol": ROUNDING * max(1e-3, length)}
        answer = solve_ivp(speed, (t, until), [s], "DOP853", dense_output=True, events=stopping, **tolerances)
        self.pieces.append(Piece(t, lambda t: self.unit.at(float(answer.sol(t)[0]))))
        t, s = until if answer.status == 0 else float(answer.t[-1]), float(answer.y[0, -1])
        self.here = (t, self.unit.at(s))
        if answer.status < 0:
            raise TooLongError
        return t, s, len(answer.t_events[1]) > 0
