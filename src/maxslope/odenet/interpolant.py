"""The energy dissipation equality of a recorded curve, measured exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from maxslope.curve import Curve
from maxslope.energies import Energy
from maxslope.odenet.metric import Hilbert
from maxslope.odenet.probe import Probe, Spot
from maxslope.schemes.minimizing_movement import gauss


class Interpolant(ABC):
    """How instants become a curve y."""

    @abstractmethod
    def at(self, a: Spot, b: Spot, tau: float, share: float) -> tuple[Tensor, Tensor]:
        """Return y and y' after the share in [0, 1] of the step from a to b."""


@dataclass(frozen=True)
class Affine(Interpolant):
    """Straight lines: the defect has order two in tau for every scheme."""

    def at(self, a: Spot, b: Spot, tau: float, share: float) -> tuple[Tensor, Tensor]:
        return a.x + share * (b.x - a.x), (b.x - a.x) / tau


@dataclass(frozen=True)
class Hermite(Interpolant):
    """Cubics with slopes -G at the instants: order 2 for explicit Euler, 4 for second-order schemes, 6 for RK4."""

    def at(self, a: Spot, b: Spot, tau: float, share: float) -> tuple[Tensor, Tensor]:
        s, way = share, b.x - a.x
        y = a.x + s * s * (3 - 2 * s) * way
        y = y - tau * s * (1 - s) ** 2 * a.gradient + tau * s * s * (1 - s) * b.gradient
        speed = 6 * s * (1 - s) / tau * way - (1 - s) * (1 - 3 * s) * a.gradient - s * (3 * s - 2) * b.gradient
        return y, speed


def dissipation(energy: Energy, curve: Curve, interpolant: Interpolant, *, nodes: int = 6) -> Tensor:
    """Return int |y' + G(y)|^2 / 2 dt of every step of a curve of one row, by Gauss's rule, ``[K]``.

    It is the amount by which y fails the energy dissipation equality, a sum of squares that does not cancel. Its order
    in tau depends on the interpolant, not on the scheme alone: with left endpoint sums every scheme shows order one.

    Args:
        energy: of one row.
        curve: with all its instants.
        interpolant: :class:`Affine` or :class:`Hermite`.
        nodes: of Gauss's rule in each step.

    Raises:
        ValueError: if the curve has more than one row.

    Source: arXiv:2311.15365 (curve of maximal slope); the identity is the chain rule.

    >>> import torch
    >>> from maxslope import Lp, flow
    >>> from maxslope.energies import Quadratic
    >>> from maxslope.odenet import ExplicitEuler, Uniform
    >>> energy, x = Quadratic(torch.eye(1).double()), torch.ones(1, 1).double()
    >>> curve = flow(energy, x, scheme=Uniform(ExplicitEuler(), 0.5, Lp(2)), until=0.5)
    >>> round(float(dissipation(energy, curve, Affine())), 9)  # tau / 6 |G(b) - G(a)|^2
    0.020833333
    """
    if curve.points.shape[1] != 1:
        raise ValueError(f"The defect is measured row by row, got {curve.points.shape[1]} rows; flow them one by one.")
    probe = Probe(energy, Hilbert(curve.space))
    knots = [probe.spot(x) for x in curve.points]
    at, weights = gauss(nodes, curve.time)
    found = []
    for a, b, tau in zip(knots[:-1], knots[1:], curve.time[:, 0].diff().tolist(), strict=True):
        total = 0.0
        for share, weight in zip(at.tolist(), weights.tolist(), strict=True):
            y, speed = interpolant.at(a, b, tau, share)
            total += weight * probe.square(speed + probe.gradient(y)) / 2
        found.append(total * tau)
    return curve.time.new_tensor(found)
