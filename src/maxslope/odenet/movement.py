"""Minimizing movements of a network: the implicit step, solved to rounding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from maxslope.odenet.movers import Move, Mover
from maxslope.odenet.probe import Probe, Spot
from maxslope.schemes.minimizing_movement import gauss


@dataclass(frozen=True)
class ParticleMovement(Mover):
    """X+ in argmin J(z) + d(z, x)^2 / (2 tau), by inexact Newton steps with conjugate gradients in the metric.

    J does not change when the particles of a layer are permuted, so the minimum over families of measures with m
    particles is this Euclidean one with labels held: no transport problem inside the step.

    De Giorgi's identity J(x+) + d^2/(2 tau) + int_0^tau d(z_r, x)^2 / (2 r^2) dr = J(x), z_r the minimizer with step r,
    tests the solver: ``Curve.excess`` holds left minus right side by Gauss's rule. It detects steps so long that the
    branch followed is not the global minimizer.

    Args:
        tolerance: on |G(z) + (z - x)/tau| over |G(x)|.
        nodes: points of Gauss's rule; 0 leaves the identity unchecked.
        most: Newton steps.

    Raises:
        ValueError: if the tolerance is not in (0, 1) or ``nodes`` is negative.

    Source: arXiv:2311.15365 (minimizing movements converge to the curve of maximal slope).
    """

    tolerance: float = 1e-10
    nodes: int = 0
    most: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1 or self.nodes < 0:
            raise ValueError(
                f"A movement needs a tolerance in (0, 1) and nodes >= 0, got {self.tolerance!r} and {self.nodes!r}."
            )

    order: ClassVar[int] = 2

    def move(self, probe: Probe, here: Spot, tau: float, stiffness: float) -> Move:
        """See :class:`Mover`; y is affine."""
        end, solved = self.minimize(probe, here, tau)
        way = end.x - here.x
        first, last = way / tau + here.gradient, way / tau + end.gradient
        inner = probe.hilbert.inner
        defect = tau / 6 * (probe.square(first) + inner(first, last) + probe.square(last))
        drop = -(inner(here.gradient, way) + inner(end.gradient, way)) / 2
        excess = self._excess(probe, here, end, tau) if self.nodes else math.nan
        return Move(end, defect, drop, probe.norm(way), math.nan, solved, excess)

    def minimize(self, probe: Probe, here: Spot, tau: float) -> tuple[Spot, bool]:
        """Return the minimizer for one tau, and whether the residual met the tolerance (or rounding)."""
        now, residual = here, here.gradient
        size = first = here.slope
        eps = torch.finfo(here.x.dtype).eps
        floor = 8 * eps * (1 + probe.norm(here.x)) * (1 + 1 / tau)
        for _ in range(self.most):
            if size <= max(self.tolerance * first, floor):
                return now, True
            step = self._newton(probe, now.x, residual, tau, min(0.1, size / first))
            found = self._search(probe, here, now, residual, step, tau)
            if found is None:
                return now, False
            now, residual = found
            size = probe.norm(residual)
        return now, size <= max(self.tolerance * first, floor)

    def _newton(self, probe: Probe, x: Tensor, residual: Tensor, tau: float, forcing: float) -> Tensor:
        """Solve (Hess J + 1/tau) step = -residual by conjugate gradients; stop where curvature is negative."""
        step, r = torch.zeros_like(x), -residual
        way, square = r, probe.square(r)
        enough = forcing**2 * square
        for _ in range(200):
            bent = probe.bend(x, way) + way / tau
            curvature = probe.hilbert.inner(way, bent)
            if curvature <= 0:
                return step if bool(step.any()) else way * tau
            share = square / curvature
            step = step + share * way
            r = r - share * bent
            before, square = square, probe.square(r)
            if square <= enough:
                break
            way = r + square / before * way
        return step

    def _search(
        self, probe: Probe, here: Spot, now: Spot, residual: Tensor, step: Tensor, tau: float
    ) -> tuple[Spot, Tensor] | None:
        """Halve the step until J + d^2/(2 tau) falls enough, or, at rounding, the residual halves."""
        expected, size = probe.hilbert.inner(residual, step), probe.norm(residual)
        value = now.value + probe.square(now.x - here.x) / (2 * tau)
        share = 1.0
        for _ in range(30):
            trial = probe.spot(now.x + share * step)
            done = trial.x - here.x
            left = trial.gradient + done / tau
            lower = trial.value + probe.square(done) / (2 * tau) <= value + 1e-4 * share * expected
            if lower or probe.norm(left) <= size / 2:
                return trial, left
            share /= 2
        return None

    def _excess(self, probe: Probe, here: Spot, end: Spot, tau: float) -> float:
        """Left minus right side of De Giorgi's identity."""
        total = end.value - here.value + probe.square(end.x - here.x) / (2 * tau)
        at, weights = gauss(self.nodes, torch.empty(0, dtype=torch.float64))
        for share, weight in zip(at.tolist(), weights.tolist(), strict=True):
            r = tau * share
            found, _ = self.minimize(probe, here, r)
            total += tau * weight * probe.square(found.x - here.x) / (2 * r * r)
        return total
