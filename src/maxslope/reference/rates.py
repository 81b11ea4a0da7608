"""Finite rates: a curve of unit speed, run through at the speed |dE|^(q-1)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from maxslope._optional import optional
from maxslope._status import Status
from maxslope.reference.base import Array, Row
from maxslope.spaces import Lp


class Rated(Row):
    """The curve t -> U(s(t)) with s' = |dE|(U(s))^(q-1), integrated from event to event of U.

    Near a minimizer the logarithm of the slope is what falls steadily, and the integrator's steps shrink with it; a
    curve whose slope has fallen by thirteen digits rests.

    Args:
        unit: the curve of unit speed, not yet followed.
        space: the norm of the motion.
        rate: p < inf.
    """

    def __init__(self, unit: Row, space: Lp, rate: float) -> None:
        Row.__init__(self, unit.energy, unit.domain, unit.like, 0, unit.tolerance)
        self.unit, self.space, self.power = unit, space, 1 / (rate - 1)

    def slope(self, s: float) -> float:
        """|dE|(U(s))."""
        point = torch.from_numpy(np.ascontiguousarray(self.unit.at(s) if s > 0 else self.x)).reshape(self.like.shape)
        self.spent += 1
        return float(self.domain.slope(self.energy.evaluate(point).gradient, point, self.space))

    def point(self, t: float) -> Array:
        """See :class:`Row`."""
        for start, end, solution in self.pieces:
            if t <= end:
                return self.unit.at(float(solution(max(t, start))))
        return self.here[1]

    def run(self, grid: Array) -> None:
        """See :class:`Row`."""
        with optional("Reference curves of finite rate need scipy", "[flows]"):
            from scipy.integrate import solve_ivp
        until, t, s = float(grid[-1]), 0.0, 0.0
        start = self.slope(0.0)
        length = 1.5 * until * start**self.power
        if not math.isfinite(start):
            self.status = Status.NON_FINITE
            return
        while (t < until and s < length) or not self.pieces:
            self.unit.follow(np.linspace(0.0, length or 1.0, len(grid)))
            stops = [e for e in self.unit.events if e > s * (1 + 1e-12)] + [length]
            for stop in stops:
                rest = max(stop * (1 - 1e-13), s)
                small = 1e-13 * start

                def speed(_: float, state: Array, stop: float = rest) -> list[float]:
                    return [self.slope(min(float(state[0]), stop)) ** self.power]

                def over(_: float, state: Array, stop: float = rest) -> float:
                    return float(stop - state[0])

                def still(_: float, state: Array, small: float = small, stop: float = rest) -> float:
                    return self.slope(min(float(state[0]), stop)) - small

                stopping: list[Any] = [over, still]
                for event in stopping:
                    event.terminal = True
                if self.slope(rest) <= small and self.slope(s) <= small:
                    return self._rest(t, s)
                tolerances = {"rtol": max(self.tolerance, 1e-12), "atol": 1e-12 * max(1e-3, length)}
                answer = solve_ivp(speed, (t, until), [s], "DOP853", dense_output=True, events=stopping, **tolerances)
                self.pieces.append((t, float(answer.t[-1]), lambda t, sol=answer.sol: sol(t)[0]))
                t, s = until if answer.status == 0 else float(answer.t[-1]), float(answer.y[0, -1])
                self.here = (t, self.unit.at(s))
                if answer.status < 0:
                    self.status = Status.UNSOLVED
                    return None
                if t >= until or len(answer.t_events[1]):
                    break
                self.events.append(t)
            else:
                length *= 2
                continue
            break
        if t < until:
            return self._rest(t, s)
        self._take(s)
        return None

    def _rest(self, t: float, s: float) -> None:
        self.here = (t, self.unit.at(s))
        self.pieces.append((t, math.inf, lambda _: s))
        self._take(s)

    def _take(self, s: float) -> None:
        """What is known of the unit curve as far as it was run through."""
        self.unique, self.spent = self.unit.unique, self.spent + self.unit.spent
        if self.unit.status != Status.FINISHED and s >= self.unit.here[0] * (1 - 1e-9):
            self.status = self.unit.status
